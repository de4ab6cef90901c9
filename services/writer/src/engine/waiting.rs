//! A queue of events that wait.
//!
//! An outage leaves a great many of them to the log alone. Of those nothing is kept but where they are, a few bytes each: what
//! they take of memory hardly grows with how long an outage lasts.

use std::collections::VecDeque;

use tokio::time::Instant;

use self::run::Run;
use super::held::Held;
use crate::log::Position;

mod packed;
mod run;

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
        if let Some(Part::Logged(run)) = self.parts.back_mut() {
            if !held.is_loaded() && run.push(&held) {
                return;
            }
            run.pack();
        }
        let run = if held.is_loaded() { None } else { Run::of(&held) };
        self.parts.push_back(match run {
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
            Part::Logged(run) => run.since(),
        })
    }

    pub(super) fn pop_front(&mut self) -> Option<Held> {
        self.pop_front_if(|_| true)
    }

    /// Takes the first event if its [size](Held::size) allows for that.
    pub(super) fn pop_front_if(&mut self, allows: impl FnOnce(usize) -> bool) -> Option<Held> {
        let is_allowed = match self.parts.front()? {
            Part::Loaded(held) => allows(held.size()),
            Part::Logged(run) => allows(run.front()?.size()),
        };
        if !is_allowed {
            return None;
        }
        self.events -= 1;
        if let Some(Part::Logged(run)) = self.parts.front_mut()
            && run.len() > 1
        {
            return run.pop_front();
        }
        match self.parts.pop_front()? {
            Part::Loaded(held) => Some(held),
            Part::Logged(mut run) => run.pop_front(),
        }
    }

    /// Where they are in the log, those that are.
    pub(super) fn positions(&self) -> impl Iterator<Item = Position> {
        self.parts.iter().flat_map(Part::positions)
    }

    /// Where those are in the log that are in this segment.
    pub(super) fn positions_in(&self, segment: u64) -> impl Iterator<Item = Position> {
        let parts = self.parts.iter().filter(move |part| part.is_in(segment));
        parts.flat_map(Part::positions).filter(move |position| position.segment == segment)
    }

    /// Passes each event in this segment through `change`, which gives it back or takes it away.
    pub(super) fn change_in(&mut self, segment: u64, mut change: impl FnMut(Held) -> Option<Held>) {
        let mut change = |held: Held| match held.position() {
            Some(position) if position.segment == segment => change(held),
            _ => Some(held),
        };
        for part in std::mem::take(self).parts {
            match part {
                part if !part.is_in(segment) => self.push_part(part),
                Part::Loaded(held) => change(held).into_iter().for_each(|held| self.push_back(held)),
                Part::Logged(run) => {
                    run.events().filter_map(&mut change).for_each(|held| self.push_back(held));
                }
            }
        }
    }

    fn push_part(&mut self, part: Part) {
        if let Some(Part::Logged(run)) = self.parts.back_mut() {
            run.pack();
        }
        self.events += match &part {
            Part::Loaded(_) => 1,
            Part::Logged(run) => run.len(),
        };
        self.parts.push_back(part);
    }
}

impl Part {
    /// Where its events are in the log, those that are.
    fn positions(&self) -> impl Iterator<Item = Position> {
        let (held, run) = match self {
            Self::Loaded(held) => (held.position(), None),
            Self::Logged(run) => (None, Some(run.events())),
        };
        held.into_iter().chain(run.into_iter().flatten().filter_map(|held| held.position()))
    }

    /// Whether there is one in this segment.
    fn is_in(&self, segment: u64) -> bool {
        match self {
            Self::Loaded(held) => held.position().is_some_and(|position| position.segment == segment),
            Self::Logged(run) => run.is_in(segment),
        }
    }

    fn first_number(&self) -> u64 {
        match self {
            Self::Loaded(held) => held.number,
            Self::Logged(run) => run.first_number(),
        }
    }
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
            let is_here = |(_, position, _): &Told| position.is_some_and(|position| position.segment == 2);
            let here: Vec<Position> = waiting.positions_in(2).collect();
            let expected = model.iter().filter(|told| is_here(told)).filter_map(|(_, position, _)| *position);
            prop_assert_eq!(here, expected.collect::<Vec<_>>());
            waiting.change_in(2, |mut held| {
                held.move_to(Position { segment: 9, ..held.position()? });
                (held.number % 2 == 0).then_some(held)
            });
            model.retain(|told| !is_here(told) || told.0 % 2 == 0);
            prop_assert_eq!(waiting.len(), model.len());
            while let Some(held) = waiting.pop_front() {
                let mut told = model.pop_front().unwrap();
                if is_here(&told) {
                    told.1 = told.1.map(|position| Position { segment: 9, ..position });
                }
                prop_assert_eq!(tell(&held), told);
            }
            prop_assert!(model.is_empty());
        }
    }

    /// How many bytes each event takes when those of so many projects wait, in turn, in segments of 32 MiB, and one of so many
    /// was overtaken by the one behind it.
    fn bytes_of_each(projects: u32, overtaken: u32) -> usize {
        let in_segment = (32 << 20) / 1650;
        let mut waiting = Waiting::default();
        let events = 10_000;
        for number in 0..events {
            let place = match number % overtaken {
                0 => number + 1,
                1 => number - 1,
                _ => number,
            };
            let record = place * projects;
            let (segment, place) = (u64::from(record / in_segment), record % in_segment);
            let position = Position { segment, offset: 17 + place * 1650, length: 1500 + number % 151 };
            waiting.push_back(Held::left_to_log(number.into(), position, Instant::now()));
        }
        let bytes: usize = waiting
            .parts
            .iter()
            .map(|part| match part {
                Part::Loaded(_) => panic!("it is only in the log"),
                Part::Logged(run) => run.memory() + size_of::<Part>(),
            })
            .sum();
        bytes / events as usize
    }

    #[test]
    fn what_is_only_in_the_log_takes_a_few_bytes() {
        let bytes = [1, 20, 1000, 5000, 10_000].map(|projects| (projects, bytes_of_each(projects, u32::MAX)));
        assert!(bytes.iter().all(|(_, bytes)| *bytes < 12), "{bytes:?}");
        assert!(bytes[..2].iter().all(|(_, bytes)| *bytes < 5), "{bytes:?}");
        // As when calls of one project are admitted side by side.
        let bytes = bytes_of_each(20, 10);
        assert!(bytes < 8, "{bytes}");
    }
}
