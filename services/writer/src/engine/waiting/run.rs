//! Events that are only in the log, told by where they are.

use std::collections::VecDeque;

use tokio::time::Instant;

use super::{
    Held,
    packed::{Packed, Place},
};
use crate::log::Position;

/// The most events of a run. While events are added to it or taken from it, it has twelve bytes for each.
const RUN_EVENTS: usize = 256;

/// Events with consecutive numbers that are only in the log; at least one.
#[derive(Debug)]
pub(super) struct Run {
    /// The first event's number.
    number: u64,
    /// When one was accepted that is as old as the first one, or older.
    since: Instant,
    /// The segment that the places are counted from.
    segment: u64,
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
        let places = Places::Open(VecDeque::from([Place { step: 0, offset, length }]));
        Some(Self { number: held.number, since: held.since, segment, places })
    }

    /// Appends an event, if it is the next one and there is room.
    pub(super) fn push(&mut self, held: &Held) -> bool {
        let Places::Open(places) = &mut self.places else { return false };
        let is_next =
            Some(held.number) == u64::try_from(places.len()).ok().map(|events| self.number + events);
        let place = held.position().and_then(|Position { segment, offset, length }| {
            let step = u32::try_from(segment.checked_sub(self.segment)?).ok()?;
            Some(Place { step, offset, length })
        });
        match place {
            Some(place) if is_next && places.len() < RUN_EVENTS => {
                places.push_back(place);
                true
            }
            _ => false,
        }
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

    /// Whether there is one in this segment.
    pub(super) fn is_in(&self, segment: u64) -> bool {
        let step = segment.checked_sub(self.segment).and_then(|step| u32::try_from(step).ok());
        step.is_some_and(|step| match &self.places {
            Places::Open(places) => places.iter().any(|place| place.step == step),
            Places::Packed(packed) => packed.is_in(step),
        })
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

    fn held(&self, number: u64, Place { step, offset, length }: Place) -> Held {
        let segment = self.segment + u64::from(step);
        Held::left_to_log(number, Position { segment, offset, length }, self.since)
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
