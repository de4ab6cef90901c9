//! One project's part of a shard: its bounded buffer, its account, and whoever waits for it to be flushed.

use std::{collections::VecDeque, time::Duration};

use tokio::{sync::oneshot, time::Instant};

use super::{
    EngineError,
    account::{Account, DropReason, Settled},
};
use crate::event::Event;

/// A project in a shard.
///
/// Its events are numbered in the order in which they were accepted. Those in flight are older than those that
/// wait, and drop-oldest takes from the front of those that wait: what is unsettled is at most two runs of numbers.
#[derive(Debug, Default)]
pub(super) struct Project {
    waiting: VecDeque<(Instant, Event)>,
    in_flight: usize,
    /// The number of the first event in flight.
    in_flight_from: u64,
    account: Account,
    flushes: Vec<Flush>,
    /// Whether the shard has it in its queue of what is due.
    pub(super) queued: bool,
    /// When the shard will look at it again for the age of its events.
    pub(super) timer: Option<Instant>,
}

/// Somebody who waits for a flush.
#[derive(Debug)]
struct Flush {
    /// The events below this number are waited for.
    below: u64,
    stored: u64,
    failed: bool,
    done: oneshot::Sender<Result<u64, EngineError>>,
}

impl Project {
    pub(super) fn account(&self) -> Account {
        self.account
    }

    pub(super) fn refuse(&mut self, count: u64) {
        self.account.refused += count;
    }

    /// Buffers events that arrived at `now`. Past `capacity` the oldest of those that wait are dropped: fresh
    /// events matter more. How many were dropped.
    pub(super) fn accept(&mut self, events: Vec<Event>, now: Instant, capacity: usize) -> u64 {
        self.account.accept(count(events.len()));
        self.waiting.extend(events.into_iter().map(|event| (now, event)));
        let mut dropped = 0;
        while self.waiting.len() + self.in_flight > capacity && self.waiting.pop_front().is_some() {
            self.account.settle(Settled::Dropped(DropReason::BufferFull));
            dropped += 1;
        }
        if dropped > 0 {
            self.answer_flushes();
        }
        dropped
    }

    /// Waits for everything that was accepted so far.
    pub(super) fn flush(&mut self, done: oneshot::Sender<Result<u64, EngineError>>) {
        self.flushes.push(Flush { below: self.account.accepted, stored: 0, failed: false, done });
        self.answer_flushes();
    }

    /// When the oldest of the events that wait will have waited for `interval`.
    pub(super) fn deadline(&self, interval: Duration) -> Option<Instant> {
        self.waiting.front().map(|(arrived, _)| *arrived + interval)
    }

    /// Whether events wait that should be flushed now. Never while others are in flight: they would overtake.
    pub(super) fn is_due(&self, now: Instant, flush_events: usize, interval: Duration) -> bool {
        self.in_flight == 0
            && (self.waiting.len() >= flush_events
                || self.deadline(interval).is_some_and(|deadline| deadline <= now)
                || self.flushes.iter().any(|flush| flush.below > self.first_waiting()))
    }

    /// Takes the oldest events for a flush: at most `events` of about `bytes`, but at least one.
    /// How many bytes they have.
    pub(super) fn take(&mut self, events: usize, bytes: usize, batch: &mut Vec<Event>) -> usize {
        self.in_flight_from = self.first_waiting();
        let mut size = 0;
        while self.in_flight < events
            && let Some((_, event)) = self.waiting.front()
            && (self.in_flight == 0 || size + event.size() <= bytes)
            && let Some((_, event)) = self.waiting.pop_front()
        {
            size += event.size();
            batch.push(event);
            self.in_flight += 1;
        }
        size
    }

    /// Settles the events that were taken, in their order.
    pub(super) fn land(&mut self, settled: &[Settled]) {
        debug_assert_eq!(settled.len(), self.in_flight, "every event in flight lands");
        for (number, settled) in (self.in_flight_from..).zip(settled) {
            self.account.settle(*settled);
            for flush in self.flushes.iter_mut().filter(|flush| number < flush.below) {
                match settled {
                    Settled::Stored => flush.stored += 1,
                    Settled::Dropped(DropReason::DatabaseFailed) => flush.failed = true,
                    Settled::Dropped(_) | Settled::DeadLettered => {}
                }
            }
        }
        self.in_flight = 0;
        self.answer_flushes();
    }

    /// Whether some of its events are in flight.
    pub(super) fn is_in_flight(&self) -> bool {
        self.in_flight > 0
    }

    /// The number of the first event that waits, or that the next one will have.
    fn first_waiting(&self) -> u64 {
        self.account.accepted - count(self.waiting.len())
    }

    /// Answers those whose events are all settled.
    fn answer_flushes(&mut self) {
        let unsettled = if self.in_flight > 0 { self.in_flight_from } else { self.first_waiting() };
        for flush in self.flushes.extract_if(.., |flush| flush.below <= unsettled) {
            let answer = if flush.failed { Err(EngineError::FlushFailed) } else { Ok(flush.stored) };
            // Whoever asked may have gone away.
            let _ = flush.done.send(answer);
        }
    }
}

/// A number of events in memory, which is far below 2^64.
fn count(events: usize) -> u64 {
    u64::try_from(events).unwrap_or(u64::MAX)
}
