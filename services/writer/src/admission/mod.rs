//! Admission: from what a sender sent to an [`Event`], or to the reason why it is refused. What can be normalised
//! is; what cannot be gets an error that names the field. Nothing that passes here can spoil a batch.

mod depth;
mod fields;
mod grouping;
mod numbers;
mod shape;
mod struct_json;
mod surrogates;

use std::{borrow::Cow, io};

use chrono::{DateTime, Utc};
use mesher_common::{
    id::{EventId, ProjectId},
    payload::{self, MAX_EVENT_BYTES, MAX_EVENT_DEPTH},
    status::Violation,
};
use prost_types::Struct;
use serde_json::{Map, Value};

pub use self::grouping::{Fingerprint, VERSION as FINGERPRINT_VERSION};
use crate::{event::Event, log::Record};

/// Why an event is refused.
#[derive(Debug, thiserror::Error)]
pub enum AdmissionError {
    /// A field cannot be read, or the event says nothing.
    #[error(transparent)]
    Invalid(#[from] Violation),
    /// The event is too large.
    #[error("{0}")]
    TooLarge(Violation),
    /// The payload could not be compressed.
    #[error("the payload cannot be compressed")]
    Compression(#[source] io::Error),
}

/// What a sender sent.
#[derive(Debug)]
pub enum Sent<'a> {
    /// JSON text.
    Json(&'a [u8]),
    /// The same, as protobuf has it.
    Struct(&'a Struct),
}

/// Admits an event of `project` that arrived at `now`.
pub fn admit(project: ProjectId, sent: &Sent<'_>, now: DateTime<Utc>) -> Result<Event, AdmissionError> {
    admit_with_id(project, sent, None, now)
}

/// As [`admit`]; an `id` that came beside the event holds, whatever stands in the event.
pub fn admit_with_id(
    project: ProjectId,
    sent: &Sent<'_>,
    id: Option<EventId>,
    now: DateTime<Utc>,
) -> Result<Event, AdmissionError> {
    match sent {
        Sent::Json(json) => admit_json(project, "json", json, id, now),
        Sent::Struct(event) => admit_json(project, "event", &struct_json::to_json(event), id, now),
    }
}

fn admit_json(
    project: ProjectId,
    field: &'static str,
    json: &[u8],
    id: Option<EventId>,
    now: DateTime<Utc>,
) -> Result<Event, AdmissionError> {
    check_size(field, json)?;
    if depth::exceeds(json, MAX_EVENT_DEPTH) {
        return Err(Violation::new(field, format!("is nested deeper than {MAX_EVENT_DEPTH} levels")).into());
    }
    let mut json = surrogates::replace(json);
    let mut read = serde_json::from_slice(&json);
    if read.is_err()
        && let Some(quoted) = numbers::quote_too_large(&json)
    {
        check_size(field, &quoted)?;
        json = Cow::Owned(quoted);
        read = serde_json::from_slice(&json);
    }
    let event: Map<String, Value> = match read {
        Ok(Value::Object(event)) => event,
        Ok(other) => {
            let kind = shape::kind(&other);
            return Err(Violation::new(field, format!("must be a JSON object, and is {kind}")).into());
        }
        Err(error) => return Err(Violation::new(field, format!("cannot be read as JSON: {error}")).into()),
    };
    let given = match id {
        Some(id) => Some(id),
        None => fields::event_id(&event)?,
    };
    let exceptions = fields::exceptions(&event)?;
    let fields = fields::read(&event, &exceptions, now)?;
    Ok(Event {
        id: given.unwrap_or_else(EventId::new),
        id_given: given.is_some(),
        project_id: project,
        received_at: now,
        fingerprint: grouping::fingerprint(&event, &exceptions, fields.message.as_deref()),
        fields,
        payload: payload::compress(&json).map_err(AdmissionError::Compression)?,
    })
}

fn check_size(field: &'static str, json: &[u8]) -> Result<(), AdmissionError> {
    if json.len() <= MAX_EVENT_BYTES {
        return Ok(());
    }
    let description = format!("has {} bytes; {MAX_EVENT_BYTES} are allowed", json.len());
    Err(AdmissionError::TooLarge(Violation::new(field, description)))
}

/// Makes of a record in the log the event that was admitted.
pub fn restore(record: Record) -> io::Result<Event> {
    let damaged = |reason: &str| io::Error::new(io::ErrorKind::InvalidData, reason.to_owned());
    let json = payload::decompress(&record.payload)?;
    let event: Map<String, Value> = serde_json::from_slice(&json)?;
    let invalid = |violation: Violation| damaged(&violation.to_string());
    let exceptions = fields::exceptions(&event).map_err(invalid)?;
    let received_at = DateTime::from_timestamp_micros(record.received_at)
        .ok_or_else(|| damaged("the time of a record is out of range"))?;
    Ok(Event {
        id: record.id,
        id_given: record.id_given,
        project_id: record.project,
        received_at,
        fingerprint: record.fingerprint,
        fields: fields::read(&event, &exceptions, received_at).map_err(invalid)?,
        payload: record.payload,
    })
}

#[cfg(test)]
mod tests;
