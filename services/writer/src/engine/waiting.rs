//! A queue of events that wait.
//!
//! An outage leaves a great many of them to the log alone. Of those nothing is kept but where they are, a few bytes each: what
//! they take of memory hardly grows with how long an outage lasts.

use std::collections::VecDeque;

use prost::encoding::{decode_varint, encode_varint};
use tokio::time::Instant;

use super::held::Held;
use crate::log::Position;

/// The most bytes of a run: so much of what is settled already may take memory.
const RUN_BYTES: usize = 2048;
/// The most bytes of one position.
const POSITION_BYTES: usize = 20;

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Waiting {
    parts: VecDeque<Part>,
    events: usize,
}

#[derive(Debug)]
enum Part {
    /// An event that is in memory.
    Loaded(Held),
    /// Events that are only in the log.
    Logged(Box<Run>),
}

impl Waiting {
    pub(super) fn len(&self) -> usize {
        self.events
    }

    pub(super) fn is_empty(&self) -> bool {
        self.events == 0
    }

    pub(super) fn push_back(&mut self, held: Held) {
        self.events += 1;
        if held.is_loaded() {
            return self.parts.push_back(Part::Loaded(held));
        }
        if let Some(Part::Logged(run)) = self.parts.back_mut()
            && run.push(&held)
        {
            return;
        }
        self.parts.push_back(match Run::of(&held) {
            Some(run) => Part::Logged(Box::new(run)),
            None => Part::Loaded(held),
        });
    }

    /// The number of the first event.
    pub(super) fn first_number(&self) -> Option<u64> {
        self.parts.front().map(Part::first_number)
    }

    /// The lowest number, where they do not wait in the order of their numbers.
    pub(super) fn lowest_number(&self) -> Option<u64> {
        self.parts.iter().map(Part::first_number).min()
    }

    /// When the first event was accepted, or one before it.
    pub(super) fn since(&self) -> Option<Instant> {
        self.parts.front().map(|part| match part {
            Part::Loaded(held) => held.since,
            Part::Logged(run) => run.since,
        })
    }

    pub(super) fn pop_front(&mut self) -> Option<Held> {
        self.pop_front_if(|_| true)
    }

    /// Takes the first event if its [size](Held::size) allows for that.
    pub(super) fn pop_front_if(&mut self, allows: impl FnOnce(usize) -> bool) -> Option<Held> {
        let is_allowed = match self.parts.front()? {
            Part::Loaded(held) => allows(held.size()),
            Part::Logged(run) => allows(run.clone_front()?.size()),
        };
        if !is_allowed {
            return None;
        }
        self.events -= 1;
        if let Some(Part::Logged(run)) = self.parts.front_mut()
            && run.events > 1
        {
            return run.next();
        }
        match self.parts.pop_front()? {
            Part::Loaded(held) => Some(held),
            Part::Logged(mut run) => run.next(),
        }
    }

    /// Where they are in the log, those that are.
    pub(super) fn positions(&self) -> impl Iterator<Item = Position> {
        self.parts.iter().flat_map(|part| {
            let (held, run) = match part {
                Part::Loaded(held) => (held.position(), None),
                Part::Logged(run) => (None, Some(run.cursor())),
            };
            held.into_iter().chain(run.into_iter().flatten().filter_map(|held| held.position()))
        })
    }

    /// Passes each event through `change`, which gives it back or takes it away.
    pub(super) fn change(&mut self, mut change: impl FnMut(Held) -> Option<Held>) {
        for part in std::mem::take(self).parts {
            match part {
                Part::Loaded(held) => change(held).into_iter().for_each(|held| self.push_back(held)),
                Part::Logged(run) => {
                    run.cursor().filter_map(&mut change).for_each(|held| self.push_back(held));
                }
            }
        }
    }
}

impl Part {
    fn first_number(&self) -> u64 {
        match self {
            Self::Loaded(held) => held.number,
            Self::Logged(run) => run.number,
        }
    }
}

/// Events with consecutive numbers that are only in the log; at least one.
///
/// Each position is what it differs by from where the one before it ends, as varints: neighbours in a log differ by little.
#[derive(Debug)]
struct Run {
    /// The first event's number.
    number: u64,
    /// When one was accepted that is as old as the first one, or older.
    since: Instant,
    events: usize,
    bytes: Vec<u8>,
    /// How many of the bytes are read.
    read: usize,
    /// Where what was read ends.
    front: End,
    /// Where the last one ends.
    back: End,
}

/// Where a record ends.
#[derive(Clone, Copy, Debug, Default)]
struct End {
    segment: u64,
    offset: u32,
}

impl Run {
    /// A run of one event, if that is in the log.
    fn of(held: &Held) -> Option<Self> {
        let position = held.position()?;
        // The first record of a segment is not far from its beginning; any other costs some bytes once.
        let before = End { segment: position.segment, offset: 0 };
        let mut run = Self {
            number: held.number,
            since: held.since,
            events: 1,
            bytes: Vec::new(),
            read: 0,
            front: before,
            back: before,
        };
        run.encode(position);
        Some(run)
    }

    /// Appends an event, if it is the next one and there is room.
    fn push(&mut self, held: &Held) -> bool {
        let is_next = Some(held.number) == u64::try_from(self.events).ok().map(|events| self.number + events);
        let fits = is_next && self.bytes.len() + POSITION_BYTES <= RUN_BYTES;
        let Some(position) = held.position().filter(|_| fits) else { return false };
        self.encode(position);
        self.events += 1;
        true
    }

    fn encode(&mut self, position: Position) {
        let segments = position.segment.wrapping_sub(self.back.segment).cast_signed();
        encode_varint(zigzag(segments), &mut self.bytes);
        let from = if segments == 0 { self.back.offset } else { 0 };
        encode_varint(zigzag(i64::from(position.offset) - i64::from(from)), &mut self.bytes);
        encode_varint(position.length.into(), &mut self.bytes);
        self.back = End::of(position);
    }

    /// Takes the first event.
    fn next(&mut self) -> Option<Held> {
        let mut cursor = self.cursor();
        let held = cursor.next()?;
        let read = self.bytes.len() - cursor.bytes.len();
        (self.front, self.read) = (cursor.at, read);
        self.number += 1;
        self.events -= 1;
        Some(held)
    }

    /// The first event, which stays.
    fn clone_front(&self) -> Option<Held> {
        self.cursor().next()
    }

    fn cursor(&self) -> Cursor<'_> {
        let bytes = self.bytes.get(self.read..).unwrap_or_default();
        Cursor { bytes, at: self.front, number: self.number, since: self.since }
    }
}

/// Reads a run.
struct Cursor<'a> {
    bytes: &'a [u8],
    at: End,
    number: u64,
    since: Instant,
}

impl Iterator for Cursor<'_> {
    type Item = Held;

    fn next(&mut self) -> Option<Held> {
        if self.bytes.is_empty() {
            return None;
        }
        let mut varint = || decode_varint(&mut self.bytes).ok();
        let segments = unzigzag(varint()?);
        let distance = unzigzag(varint()?);
        let length = u32::try_from(varint()?).ok()?;
        let from = if segments == 0 { self.at.offset } else { 0 };
        let segment = self.at.segment.wrapping_add_signed(segments);
        let offset = u32::try_from(i64::from(from) + distance).ok()?;
        let position = Position { segment, offset, length };
        self.at = End::of(position);
        let number = self.number;
        self.number += 1;
        Some(Held::left_to_log(number, position, self.since))
    }
}

impl End {
    fn of(position: Position) -> Self {
        Self { segment: position.segment, offset: position.offset.saturating_add(position.length) }
    }
}

/// A number whose distance from zero tells how long its varint is.
fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)).cast_unsigned()
}

fn unzigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
}

#[cfg(test)]
mod tests {
    use chrono::Utc;
    use mesher_common::id::ProjectId;
    use proptest::prelude::*;

    use super::*;
    use crate::admission::{Sent, admit};

    /// An event that waits, as far as it can be told from others: its number, where it is, and whether it is loaded.
    type Told = (u64, Option<Position>, bool);

    fn tell(held: &Held) -> Told {
        (held.number, held.position(), held.is_loaded())
    }

    fn positions() -> impl Strategy<Value = Position> {
        let near = (0..4_u64, 0..1_u32 << 24, 1..5000_u32);
        let anywhere = (any::<u64>(), any::<u32>(), any::<u32>());
        prop_oneof![near, anywhere].prop_map(|(segment, offset, length)| Position { segment, offset, length })
    }

    proptest! {
        #[test]
        fn it_is_a_queue(
            steps in prop::collection::vec((positions(), 0..3_u64, any::<bool>(), 0..3_u8), 1..300),
        ) {
            let event = admit(ProjectId::new(), &Sent::Json(br#"{"message":"m"}"#), Utc::now()).unwrap();
            let since = Instant::now();
            let (mut waiting, mut model) = (Waiting::default(), VecDeque::new());
            let mut number = 0;
            for (position, gap, is_loaded, action) in steps {
                if action == 0 {
                    prop_assert_eq!(waiting.pop_front().as_ref().map(tell), model.pop_front());
                } else {
                    number += if gap == 0 { 2 } else { 1 };
                    let mut held = Held::logged(event.clone(), position, since);
                    held.number = number;
                    if !is_loaded {
                        held.unload();
                    }
                    model.push_back(tell(&held));
                    waiting.push_back(held);
                }
                prop_assert_eq!(waiting.len(), model.len());
                prop_assert_eq!(waiting.first_number(), model.front().map(|(number, ..)| *number));
                prop_assert_eq!(waiting.since(), model.front().map(|_| since));
            }
            let found: Vec<Position> = waiting.positions().collect();
            prop_assert_eq!(found, model.iter().filter_map(|(_, position, _)| *position).collect::<Vec<_>>());
            waiting.change(|mut held| {
                held.move_to(Position { segment: 9, ..held.position()? });
                (held.number % 2 == 0).then_some(held)
            });
            model.retain(|(number, ..)| number % 2 == 0);
            prop_assert_eq!(waiting.len(), model.len());
            while let Some(held) = waiting.pop_front() {
                let (number, position, is_loaded) = model.pop_front().unwrap();
                let position = position.map(|position| Position { segment: 9, ..position });
                prop_assert_eq!(tell(&held), (number, position, is_loaded));
            }
        }
    }

    #[test]
    fn what_is_only_in_the_log_takes_a_few_bytes() {
        let mut waiting = Waiting::default();
        for number in 0..100_000_u32 {
            // Every twentieth record of a log with segments of 16 MiB.
            let (segment, place) = (u64::from(number / 500), number % 500);
            let position = Position { segment, offset: 17 + place * 33_000, length: 1650 };
            waiting.push_back(Held::left_to_log(number.into(), position, Instant::now()));
        }
        let bytes: usize = waiting
            .parts
            .iter()
            .map(|part| match part {
                Part::Loaded(_) => panic!("it is only in the log"),
                Part::Logged(run) => run.bytes.capacity() + size_of::<Run>() + size_of::<Part>(),
            })
            .sum();
        assert!(bytes < 8 * 100_000, "{bytes} bytes");
    }
}
