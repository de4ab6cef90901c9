//! One project's part of a shard: its bounded buffer, its account, and whoever waits for it to be flushed.

use std::{collections::VecDeque, time::Duration};

use tokio::{sync::oneshot, time::Instant};

use super::{
    EngineError,
    account::{Account, DropReason, Settled},
    held::Held,
    memory::Memory,
};
use crate::log::Position;

/// A project in a shard.
///
/// Its events are numbered in the order in which they were accepted. Those in flight are older than those that
/// wait, and drop-oldest takes from the front of those that wait: what is unsettled is at most two runs of numbers.
#[derive(Debug, Default)]
pub(super) struct Project {
    waiting: VecDeque<Held>,
    /// How many of those that wait take memory.
    loaded: usize,
    /// How many bytes of those that wait, or are in flight, are in the log.
    logged_bytes: u64,
    in_flight: usize,
    in_flight_bytes: u64,
    /// The number of the first event in flight.
    in_flight_from: u64,
    /// How many are on their way into the log, and so not accepted yet.
    being_logged: usize,
    being_logged_bytes: u64,
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

/// How much a project may hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// The most events in memory, those in flight included.
    pub(super) memory: usize,
    /// The most events in all.
    pub(super) events: usize,
    /// The most bytes in the log.
    pub(super) bytes: u64,
}

impl Project {
    pub(super) fn account(&self) -> Account {
        self.account
    }

    pub(super) fn refuse(&mut self, count: u64) {
        self.account.refused += count;
    }

    /// Whether so many more events, of so many bytes in the log, are within the limits.
    pub(super) fn has_room(&self, events: usize, bytes: u64, limits: Limits) -> bool {
        self.waiting.len() + self.in_flight + self.being_logged + events <= limits.events
            && self.logged_bytes + self.being_logged_bytes + bytes <= limits.bytes
    }

    /// Notes events that are on their way into the log.
    pub(super) fn begin_logging(&mut self, events: usize, bytes: u64) {
        self.being_logged += events;
        self.being_logged_bytes += bytes;
    }

    /// Notes that they are there, or will never be.
    pub(super) fn end_logging(&mut self, events: usize, bytes: u64) {
        self.being_logged -= events;
        self.being_logged_bytes -= bytes;
    }

    /// Takes accepted events in. Past the limit of memory, or past what is left of `memory` for all projects, they are left
    /// to the log, if they are there. Past the other limits the oldest of those that wait are dropped: fresh events matter
    /// more. Gives what was dropped.
    pub(super) fn accept(
        &mut self,
        events: impl ExactSizeIterator<Item = Held>,
        limits: Limits,
        memory: &mut Memory,
    ) -> Vec<Option<Position>> {
        self.account.accept(count(events.len()));
        for mut held in events {
            if self.loaded + self.in_flight >= limits.memory || !memory.has_room(&held) {
                held.unload();
            }
            memory.load(&held);
            self.loaded += usize::from(held.is_loaded());
            self.logged_bytes += bytes_of(held.position());
            self.waiting.push_back(held);
        }
        let mut dropped = Vec::new();
        while (self.waiting.len() + self.in_flight > limits.events || self.logged_bytes > limits.bytes)
            && let Some(held) = self.waiting.pop_front()
        {
            memory.unload(&held);
            self.loaded -= usize::from(held.is_loaded());
            self.logged_bytes -= bytes_of(held.position());
            self.account.settle(Settled::Dropped(DropReason::BufferFull));
            dropped.push(held.position());
        }
        if !dropped.is_empty() {
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
        self.waiting.front().map(|held| held.since + interval)
    }

    /// Whether events wait that should be flushed now. Never while others are in flight: they would overtake.
    pub(super) fn is_due(&self, now: Instant, flush_events: usize, interval: Duration) -> bool {
        self.in_flight == 0
            && (self.waiting.len() >= flush_events
                || self.deadline(interval).is_some_and(|deadline| deadline <= now)
                || self.flushes.iter().any(|flush| flush.below > self.first_waiting()))
    }

    /// Takes the oldest events for a flush: at most `events` of about `bytes`, but at least one. How many bytes
    /// they have.
    pub(super) fn take(
        &mut self,
        events: usize,
        bytes: usize,
        batch: &mut Vec<Held>,
        memory: &mut Memory,
    ) -> usize {
        self.in_flight_from = self.first_waiting();
        let mut size = 0;
        while self.in_flight < events
            && let Some(held) = self.waiting.front()
            && (self.in_flight == 0 || size + held.size() <= bytes)
            && let Some(held) = self.waiting.pop_front()
        {
            size += held.size();
            memory.unload(&held);
            self.loaded -= usize::from(held.is_loaded());
            self.in_flight_bytes += bytes_of(held.position());
            self.in_flight += 1;
            batch.push(held);
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
        self.logged_bytes -= std::mem::take(&mut self.in_flight_bytes);
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

fn bytes_of(position: Option<Position>) -> u64 {
    position.map_or(0, |position| position.length.into())
}
