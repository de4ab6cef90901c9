//! What is given back of what events cost that turn out to be duplicates.

use std::collections::{HashMap, VecDeque};

use mesher_common::id::{EventId, ProjectId};

use super::{Holders, Limits};
use crate::{
    engine::sink::{Outcome, Sink, SinkError},
    event::Event,
};

/// The most events of which it is remembered what they were counted in, until it is known whether they are duplicates.
const MAX_COUNTED: usize = 100_000;

/// An event, by what makes it unique.
pub(super) type Name = (ProjectId, EventId);

/// What events were counted in that may be duplicates; of too many, the oldest are forgotten.
#[derive(Debug, Default)]
pub(super) struct Counted {
    pub(super) by_event: HashMap<Name, (Holders, u32)>,
    in_order: VecDeque<Name>,
}

impl Counted {
    /// Remembers what an event was counted in.
    pub(super) fn remember(&mut self, event: Name, holders: Holders) {
        let entry = self.by_event.entry(event).or_insert((holders, 0));
        *entry = (holders, entry.1 + 1);
        self.in_order.push_back(event);
        while self.in_order.len() > MAX_COUNTED {
            if let Some(oldest) = self.in_order.pop_front() {
                self.forget(oldest);
            }
        }
    }

    /// Forgets an event, once, and says what it was counted in.
    pub(super) fn forget(&mut self, event: Name) -> Option<Holders> {
        let (holders, times) = self.by_event.get_mut(&event)?;
        let holders = *holders;
        *times -= 1;
        if *times == 0 {
            self.by_event.remove(&event);
        }
        if self.by_event.is_empty() {
            self.in_order.clear();
        }
        Some(holders)
    }
}

/// A sink that is watched: see [`Limits::watch`].
#[derive(Debug)]
pub struct Watched<S> {
    sink: S,
    limits: Limits,
}

impl<S: Sink> Sink for Watched<S> {
    async fn store(&self, batch: &[Event]) -> Result<Vec<Outcome>, SinkError> {
        let outcomes = self.sink.store(batch).await?;
        self.limits.settle(batch, &outcomes);
        Ok(outcomes)
    }

    async fn dead_letter(&self, event: &Event, sqlstate: &str, reason: &str) -> Result<(), SinkError> {
        self.sink.dead_letter(event, sqlstate, reason).await
    }
}

impl Limits {
    /// Gives back what events cost that turn out to be duplicates, whatever `sink` finds out.
    pub fn watch<S>(&self, sink: S) -> Watched<S> {
        Watched { sink, limits: self.clone() }
    }

    /// Notes what became of events that were counted.
    pub(super) fn settle(&self, batch: &[Event], outcomes: &[Outcome]) {
        let mut counted = self.counted();
        if counted.by_event.is_empty() {
            return;
        }
        let given = batch.iter().zip(outcomes).filter(|(event, _)| event.id_given);
        let duplicates: Vec<Holders> = given
            .filter_map(|(event, outcome)| {
                let holders = counted.forget((event.project_id, event.id))?;
                (*outcome == Outcome::Duplicate).then_some(holders)
            })
            .collect();
        drop(counted);
        for holders in duplicates {
            self.put_back(&holders, 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_remembered_of_events_is_bounded() {
        let mut counted = Counted::default();
        for _ in 0..MAX_COUNTED + 1000 {
            counted.remember((ProjectId::new(), EventId::new()), [None; 2]);
        }
        assert_eq!((counted.by_event.len(), counted.in_order.len()), (MAX_COUNTED, MAX_COUNTED));
    }
}
