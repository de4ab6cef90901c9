//! A flush on its way: from a batch that may have to be read first, to what became of each event.

use std::time::Duration;

use mesher_common::id::ProjectId;
use rand::rngs::StdRng;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{
    account::{DropReason, Settled},
    flush::{End, Perseverance, flush},
    held::Held,
    load::{Missing, load},
    sink::Sink,
};
use crate::log::{Position, fs::FileSystem};

/// What is remembered of an event in flight.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seat {
    pub(super) project: ProjectId,
    pub(super) number: u64,
    pub(super) since: Instant,
    pub(super) position: Option<Position>,
    /// Its [size](Held::size).
    pub(super) bytes: usize,
}

impl Seat {
    pub(super) fn of(project: ProjectId, held: &Held) -> Self {
        let (number, since, position, bytes) = (held.number, held.since, held.position(), held.size());
        Self { project, number, since, position, bytes }
    }
}

/// A flush that ended: which events it had, and what became of them.
#[derive(Debug)]
pub(super) struct Landing {
    pub(super) seats: Vec<Seat>,
    pub(super) ends: Vec<End>,
    pub(super) took: Duration,
}

/// Flushes a batch, of which some may have to be read from the log in `directory` first.
pub(super) async fn fly<S: Sink, F: FileSystem>(
    sink: &S,
    batch: Vec<Held>,
    directory: Option<F>,
    closed: &CancellationToken,
    perseverance: &Perseverance,
    random: StdRng,
) -> Vec<End> {
    let seats = batch.len();
    let Some(loaded) = load(batch, directory, closed).await else { return vec![End::Left; seats] };
    let mut ends = vec![End::Unreadable; seats];
    let (mut places, mut events) = (Vec::with_capacity(seats), Vec::with_capacity(seats));
    for (place, event) in loaded.into_iter().enumerate() {
        match event {
            Ok(event) => {
                places.push(place);
                events.push(event);
            }
            Err(Missing::Damaged) => ends[place] = End::Settled(Settled::Dropped(DropReason::LogDamaged)),
            Err(Missing::Unreadable) => {}
        }
    }
    if !events.is_empty() {
        for (place, end) in places.into_iter().zip(flush(sink, &events, perseverance, random).await) {
            ends[place] = end;
        }
    }
    ends
}
