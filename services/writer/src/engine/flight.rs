//! A flush on its way: from a batch that may have to be read first, to what became of each event.

use std::{ops::Range, time::Duration};

use mesher_common::id::ProjectId;
use tokio_util::sync::CancellationToken;

use super::{
    account::{DropReason, Settled},
    flush::{Perseverance, flush},
    held::Held,
    load::load,
    sink::Sink,
};
use crate::{
    event::Event,
    log::{Position, fs::Directory},
};

/// A flush that ended: whose events it had, where they are in the log, and what became of them.
#[derive(Debug)]
pub(super) struct Landing {
    pub(super) passengers: Vec<(ProjectId, Range<usize>)>,
    pub(super) positions: Vec<Option<Position>>,
    /// `None` where an event was left to the log.
    pub(super) settled: Vec<Option<Settled>>,
    pub(super) took: Duration,
}

/// Flushes a batch, of which some may have to be read from the log in `directory` first.
pub(super) async fn fly<S: Sink>(
    sink: &S,
    batch: Vec<Held>,
    directory: Option<Directory>,
    closed: &CancellationToken,
    perseverance: &Perseverance,
) -> Vec<Option<Settled>> {
    let seats = batch.len();
    let Some(loaded) = load(batch, directory, closed).await else { return vec![None; seats] };
    let damaged = Some(Settled::Dropped(DropReason::LogDamaged));
    let mut settled: Vec<Option<Settled>> =
        loaded.iter().map(|event| if event.is_some() { None } else { damaged }).collect();
    let places: Vec<usize> =
        loaded.iter().enumerate().filter(|(_, event)| event.is_some()).map(|(place, _)| place).collect();
    let events: Vec<Event> = loaded.into_iter().flatten().collect();
    for (place, outcome) in places.into_iter().zip(flush(sink, &events, perseverance).await) {
        settled[place] = outcome;
    }
    settled
}
