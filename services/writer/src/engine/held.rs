//! An accepted event that is not settled yet, wherever it is.

use tokio::time::Instant;

use crate::{event::Event, log::Position};

/// An accepted event that is not settled yet. A long outage leaves many of them to the log alone: those are small.
#[derive(Debug)]
pub(super) struct Held {
    /// Its number in its project, in the order in which they were accepted.
    pub(super) number: u64,
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
        Self { number: 0, since, place: Place::Memory(Box::new(event)) }
    }

    /// An event that is in memory and in the log.
    pub(super) fn logged(event: Event, position: Position, since: Instant) -> Self {
        Self { number: 0, since, place: Place::Both(Box::new(event), position) }
    }

    /// An event that is in the log.
    pub(super) fn left_to_log(number: u64, position: Position, since: Instant) -> Self {
        Self { number, since, place: Place::Log(position) }
    }

    /// Where it is in the log, if it is.
    pub(super) fn position(&self) -> Option<Position> {
        match &self.place {
            Place::Memory(_) => None,
            Place::Both(_, position) | Place::Log(position) => Some(*position),
        }
    }

    /// Notes that it is elsewhere in the log now.
    pub(super) fn move_to(&mut self, to: Position) {
        match &mut self.place {
            Place::Memory(_) => {}
            Place::Both(_, position) | Place::Log(position) => *position = to,
        }
    }

    /// Whether it takes memory.
    pub(super) fn is_loaded(&self) -> bool {
        !matches!(self.place, Place::Log(_))
    }

    /// How many bytes it has as it is written to a log: the measure by which projects share, wherever their events are.
    pub(super) fn size(&self) -> usize {
        match &self.place {
            Place::Memory(event) => event.record().length(),
            Place::Both(_, position) | Place::Log(position) => {
                usize::try_from(position.length).unwrap_or(usize::MAX)
            }
        }
    }

    /// About how many bytes it takes of memory.
    pub(super) fn memory(&self) -> usize {
        match &self.place {
            Place::Memory(event) | Place::Both(event, _) => event.size(),
            Place::Log(_) => 0,
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
