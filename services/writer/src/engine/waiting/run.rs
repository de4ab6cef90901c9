//! Events that are only in the log, told by where they are.

use std::collections::VecDeque;

use tokio::time::Instant;

use super::{
    Held,
    packed::{Packed, Place},
};
use crate::log::Position;

/// The most events of a run. While events are added to it or taken from it, it has eight bytes for each.
const RUN_EVENTS: usize = 512;

/// Events with consecutive numbers that are only in the log, one behind the other in one segment; at least one.
#[derive(Debug)]
pub(super) struct Run {
    /// The first event's number.
    number: u64,
    /// When one was accepted that is as old as the first one, or older.
    since: Instant,
    segment: u64,
    /// Where the last one ends.
    end: u32,
    places: Places,
}

#[derive(Debug)]
enum Places {
    Open(VecDeque<Place>),
    /// Nothing more is added, and nothing was taken yet.
    Packed(Packed),
}

impl Run {
    /// A run of one event, if that is in the log.
    pub(super) fn of(held: &Held) -> Option<Self> {
        let Position { segment, offset, length } = held.position()?;
        let place = Place { offset, length };
        let places = Places::Open(VecDeque::from([place]));
        Some(Self { number: held.number, since: held.since, segment, end: place.end(), places })
    }

    /// Appends an event, if it is the next one and there is room.
    pub(super) fn push(&mut self, held: &Held) -> bool {
        let Places::Open(places) = &mut self.places else { return false };
        if places.len() >= RUN_EVENTS {
            return false;
        }
        let is_next =
            Some(held.number) == u64::try_from(places.len()).ok().map(|events| self.number + events);
        let is_behind = |position: &Position| position.segment == self.segment && position.offset >= self.end;
        let Some(position) = held.position().filter(|position| is_next && is_behind(position)) else {
            return false;
        };
        let place = Place { offset: position.offset, length: position.length };
        places.push_back(place);
        self.end = place.end();
        true
    }

    /// Has it take less memory, now that no more is added to it.
    pub(super) fn pack(&mut self) {
        if let Places::Open(places) = &mut self.places {
            self.places = Places::Packed(Packed::of(places.make_contiguous()));
        }
    }

    pub(super) fn len(&self) -> usize {
        match &self.places {
            Places::Open(places) => places.len(),
            Places::Packed(packed) => packed.len(),
        }
    }

    /// The number of the first event.
    pub(super) fn first_number(&self) -> u64 {
        self.number
    }

    /// When the first event was accepted, or one before it.
    pub(super) fn since(&self) -> Instant {
        self.since
    }

    /// The first event, which stays.
    pub(super) fn front(&self) -> Option<Held> {
        match &self.places {
            Places::Open(places) => places.front().map(|place| self.held(self.number, *place)),
            Places::Packed(packed) => packed.iter().next().map(|place| self.held(self.number, place)),
        }
    }

    /// Takes the first event.
    pub(super) fn pop_front(&mut self) -> Option<Held> {
        if let Places::Packed(packed) = &self.places {
            self.places = Places::Open(packed.iter().collect());
        }
        let Places::Open(places) = &mut self.places else { return None };
        let place = places.pop_front()?;
        let held = self.held(self.number, place);
        self.number += 1;
        Some(held)
    }

    /// All events, which stay.
    pub(super) fn events(&self) -> impl Iterator<Item = Held> {
        let (open, packed) = match &self.places {
            Places::Open(places) => (Some(places.iter().copied()), None),
            Places::Packed(packed) => (None, Some(packed.iter())),
        };
        let places = open.into_iter().flatten().chain(packed.into_iter().flatten());
        (self.number..).zip(places).map(|(number, place)| self.held(number, place))
    }

    fn held(&self, number: u64, Place { offset, length }: Place) -> Held {
        Held::left_to_log(number, Position { segment: self.segment, offset, length }, self.since)
    }

    /// About how many bytes it takes of memory.
    #[cfg(test)]
    pub(super) fn memory(&self) -> usize {
        let places = match &self.places {
            Places::Open(places) => places.capacity() * size_of::<Place>(),
            Places::Packed(packed) => packed.memory(),
        };
        size_of::<Self>() + places
    }
}
