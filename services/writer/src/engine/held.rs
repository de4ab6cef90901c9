//! An accepted event that is not settled yet, wherever it is.

use tokio::time::Instant;

use crate::{event::Event, log::Position};

/// An accepted event that is not settled yet. A long outage leaves many of them to the log alone: those are small.
#[derive(Debug)]
pub(super) struct Held {
    /// When it was accepted.
    pub(super) since: Instant,
    place: Place,
}

#[derive(Debug)]
enum Place {
    /// Only in memory.
    Memory(Box<Event>),
    /// In memory and in the log.
    Both(Box<Event>, Position),
    /// Only in the log.
    Log(Position),
}

impl Held {
    /// An event that is only in memory.
    pub(super) fn in_memory(event: Event, since: Instant) -> Self {
        Self { since, place: Place::Memory(Box::new(event)) }
    }

    /// An event that is in memory and in the log.
    pub(super) fn logged(event: Event, position: Position, since: Instant) -> Self {
        Self { since, place: Place::Both(Box::new(event), position) }
    }

    /// An event that was found in the log.
    pub(super) fn recovered(position: Position, since: Instant) -> Self {
        Self { since, place: Place::Log(position) }
    }

    /// Where it is in the log, if it is.
    pub(super) fn position(&self) -> Option<Position> {
        match &self.place {
            Place::Memory(_) => None,
            Place::Both(_, position) | Place::Log(position) => Some(*position),
        }
    }

    /// Whether it takes memory.
    pub(super) fn is_loaded(&self) -> bool {
        !matches!(self.place, Place::Log(_))
    }

    /// About how many bytes it has.
    pub(super) fn size(&self) -> usize {
        match &self.place {
            Place::Memory(event) | Place::Both(event, _) => event.size(),
            Place::Log(position) => usize::try_from(position.length).unwrap_or(usize::MAX),
        }
    }

    /// Leaves it to the log alone, if it is there.
    pub(super) fn unload(&mut self) {
        if let Some(position) = self.position() {
            self.place = Place::Log(position);
        }
    }

    /// The event, if it is in memory, or where it is in the log.
    pub(super) fn into_event(self) -> Result<Event, Position> {
        match self.place {
            Place::Memory(event) | Place::Both(event, _) => Ok(*event),
            Place::Log(position) => Err(position),
        }
    }
}
