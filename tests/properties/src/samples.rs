//! What the properties have in common.

use chrono::{DateTime, Utc};
use mesher_common::id::ProjectId;
use mesher_writer::{
    admission::{AdmissionError, Sent, admit},
    event::Event,
};
use uuid::Uuid;

/// A project: the same in every run, so that a failure is the same too.
pub(crate) const PROJECT: ProjectId = ProjectId(Uuid::from_u128(7));

/// Admits at a time that is the same in every run.
pub(crate) fn admitted(sent: &Sent<'_>) -> Result<Event, AdmissionError> {
    const NOW_MICROS: i64 = 1_767_323_045_123_456;
    let Some(now) = DateTime::<Utc>::from_timestamp_micros(NOW_MICROS) else {
        unreachable!("the time is in range");
    };
    admit(PROJECT, sent, now)
}
