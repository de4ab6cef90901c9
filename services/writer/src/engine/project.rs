//! One project's part of a shard: its bounded buffer, its account, and whoever waits for it to be flushed.

use std::time::Duration;

use tokio::{sync::oneshot, time::Instant};

use self::flushes::Flushes;
use super::{
    EngineError,
    account::{Account, DropReason, RefuseReason, Settled},
    count,
    held::Held,
    memory::Memory,
    put_back::PutBack,
    waiting::Waiting,
};
use crate::log::Position;

mod flushes;

/// A project in a shard.
///
/// Its events are numbered in the order in which they were accepted. They are flushed and dropped in that order, but for
/// those that were put back because they could not be stored.
#[derive(Debug, Default)]
pub(super) struct Project {
    waiting: Waiting,
    put_back: PutBack,
    /// How many of those that wait take memory.
    loaded: usize,
    /// How many bytes those have that are not settled, by their [size](Held::size).
    bytes: u64,
    /// How many bytes those that wait take of memory.
    memory: usize,
    in_flight: usize,
    /// The lowest number in flight.
    in_flight_from: u64,
    /// How many are on their way into the log, and so not accepted yet.
    being_logged: usize,
    being_logged_bytes: u64,
    /// How many bytes it may still take off with in the turns that it had.
    credit: usize,
    account: Account,
    flushes: Flushes,
    /// Whether the shard has it in its queue of what is due.
    pub(super) queued: bool,
    /// When the shard will look at it again for the age of its events.
    pub(super) timer: Option<Instant>,
}

/// How much a project may hold.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// The most events in memory, those in flight included.
    pub(super) memory: usize,
    /// The most events in all.
    pub(super) events: usize,
    /// The most bytes in all.
    pub(super) bytes: u64,
}

/// What a project may have in a flush.
#[derive(Clone, Copy, Debug)]
pub(super) struct Share {
    /// The most events.
    events: usize,
    /// The most that may then be in memory, those in flight included.
    memory: usize,
}

impl Project {
    pub(super) fn account(&self) -> Account {
        self.account
    }

    pub(super) fn refuse(&mut self, reason: RefuseReason, count: u64) {
        self.account.refuse(reason, count);
    }

    /// How many events are not settled.
    fn held(&self) -> usize {
        self.waiting.len() + self.put_back.held.len() + self.in_flight
    }

    /// How many bytes its events have that are not settled.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many bytes its events that wait take of memory.
    pub(super) fn memory(&self) -> usize {
        self.memory
    }

    /// Whether so many more events, of so many bytes, are within the limits.
    pub(super) fn has_room(&self, events: usize, bytes: u64, limits: Limits) -> bool {
        self.held() + self.being_logged + events <= limits.events
            && self.bytes + self.being_logged_bytes + bytes <= limits.bytes
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
        let first = self.account.accepted;
        self.account.accept(count(events.len()));
        for (number, mut held) in (first..).zip(events) {
            held.number = number;
            // Behind what has to be read back anyway there is no use for it in memory, where that will need the room.
            let is_behind = self.waiting.len() > self.loaded;
            if is_behind || self.loaded + self.in_flight >= limits.memory || !memory.has_room(&held) {
                held.unload();
            }
            self.bytes += bytes_of(&held);
            self.load(&held, memory);
            self.waiting.push_back(held);
        }
        self.drop_oldest(memory, |project| project.held() > limits.events || project.bytes > limits.bytes)
    }

    /// Drops the oldest of those that wait for as long as it is `too_much`. Gives what was dropped.
    pub(super) fn drop_oldest(
        &mut self,
        memory: &mut Memory,
        too_much: impl Fn(&Self) -> bool,
    ) -> Vec<Option<Position>> {
        let mut dropped = Vec::new();
        while too_much(self)
            && let Some(held) = self.put_back.held.pop_front().or_else(|| self.waiting.pop_front())
        {
            dropped.push(held.position());
            self.forget(&held, Settled::Dropped(DropReason::BufferFull), memory);
        }
        if !dropped.is_empty() {
            self.answer_flushes();
        }
        dropped
    }

    /// Notes that an event waits.
    fn load(&mut self, held: &Held, memory: &mut Memory) {
        memory.load(held);
        self.memory += held.memory();
        self.loaded += usize::from(held.is_loaded());
    }

    /// Notes that an event waits no longer.
    fn unload(&mut self, held: &Held, memory: &mut Memory) {
        memory.unload(held);
        self.memory -= held.memory();
        self.loaded -= usize::from(held.is_loaded());
    }

    /// Notes that an event that waited is settled.
    fn forget(&mut self, held: &Held, settled: Settled, memory: &mut Memory) {
        self.unload(held, memory);
        self.bytes -= bytes_of(held);
        self.account.settle(settled);
    }

    /// Waits for everything that was accepted so far.
    pub(super) fn flush(&mut self, done: oneshot::Sender<Result<u64, EngineError>>) {
        self.flushes.add(self.account.accepted, done);
        self.answer_flushes();
    }

    /// When the oldest of the events that wait will have waited for `interval`, or those that were put back are tried again.
    pub(super) fn next_look(&self, interval: Duration) -> Option<Instant> {
        let deadline = self.waiting.since().map(|since| since + interval);
        deadline.into_iter().chain(self.put_back.at()).min()
    }

    /// Whether events wait that should be flushed now. Never while others are in flight: they would overtake.
    pub(super) fn is_due(&self, now: Instant, flush_events: usize, interval: Duration) -> bool {
        self.in_flight == 0
            && (self.waiting.len() >= flush_events
                || self.next_look(interval).is_some_and(|at| at <= now)
                || self.is_waited_for())
    }

    /// Whether somebody waits for events to be flushed that are not in flight.
    fn is_waited_for(&self) -> bool {
        !self.flushes.is_empty() && self.flushes.wait_for(self.first_waiting())
    }

    /// What it may have in a flush of so many events, with so many in memory.
    pub(super) fn share(&self, memory: usize, flush: usize) -> Share {
        // One half takes in what arrives meanwhile, but for a backlog, behind which that is left to the log.
        let share = if self.held() > 2 * memory { memory } else { memory.div_ceil(2) };
        Share { events: share.min(flush), memory }
    }

    /// About how many of its events could be in a flush.
    pub(super) fn due_events(&self, share: Share) -> usize {
        (self.waiting.len() + self.put_back.held.len()).min(share.events)
    }

    /// Whether it is worth a flush of its own: somebody waits for it, or it has all that it may, or many bytes.
    pub(super) fn is_urgent(&self, share: Share, turn_bytes: u64) -> bool {
        self.is_waited_for() || self.due_events(share) >= share.events || self.bytes >= turn_bytes
    }

    /// Gives it another turn to take events for a flush, of so many bytes more.
    pub(super) fn give_turn(&mut self, bytes: usize) {
        self.credit = self.credit.saturating_add(bytes);
    }

    /// Whether it is time to try again what was put back.
    pub(super) fn tries_again(&self, now: Instant) -> bool {
        self.put_back.at().is_some_and(|at| at <= now) || self.is_waited_for()
    }

    /// Whether its next event for a flush is one that was put back, if there is a next one. Those come first, but leave half of
    /// the flush to the others.
    fn next(&self, share: Share, again: bool) -> Option<bool> {
        // What is read from the log needs room in memory; what is there already has it.
        let may_read = self.loaded + self.in_flight < share.memory;
        let put_back = again
            && may_read
            && !self.put_back.held.is_empty()
            && (self.in_flight < share.events.div_ceil(2) || self.waiting.is_empty());
        let waits = !self.waiting.is_empty() && (may_read || self.loaded > 0);
        (self.in_flight < share.events && (put_back || waits)).then_some(put_back)
    }

    /// Takes its next event for a flush, if the turns that it had allow for that; those that were put back are among them if
    /// they are to be tried `again`.
    pub(super) fn take(&mut self, share: Share, again: bool, memory: &mut Memory) -> Option<Held> {
        let put_back = self.next(share, again)?;
        let queue = if put_back { &mut self.put_back.held } else { &mut self.waiting };
        let held = queue.pop_front_if(|size| size <= self.credit)?;
        self.credit -= held.size();
        self.unload(&held, memory);
        self.in_flight_from =
            if self.in_flight == 0 { held.number } else { self.in_flight_from.min(held.number) };
        self.in_flight += 1;
        Some(held)
    }

    /// Whether another turn would have it take more for a flush. If not, it was not for bytes: what is left of its turns is
    /// forfeited.
    pub(super) fn has_more(&mut self, share: Share, again: bool) -> bool {
        let has_more = self.next(share, again).is_some();
        if !has_more {
            self.forfeit_turn();
        }
        has_more
    }

    /// Forfeits what is left of its turns.
    pub(super) fn forfeit_turn(&mut self) {
        self.credit = 0;
    }

    /// Whether events wait that are not in flight.
    pub(super) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// How many events are in flight.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }

    /// Settles an event of so many bytes that was in flight.
    pub(super) fn settle(&mut self, number: u64, bytes: usize, settled: Settled) {
        self.account.settle(settled);
        self.bytes -= count(bytes);
        self.flushes.settle(number, settled);
    }

    /// Puts an event back that was in flight. Whoever waits for it is told that it failed.
    pub(super) fn put_back(&mut self, held: Held) {
        self.flushes.fail(held.number);
        self.put_back.push(held);
    }

    /// Leaves an event that was in flight to the next start. Whoever waits for it is told that it failed.
    pub(super) fn leave(&mut self, number: u64) {
        self.flushes.fail(number);
    }

    /// Notes that all that was in flight is settled, or that some was put back.
    pub(super) fn landed(&mut self, has_put_back: bool, now: Instant) {
        self.in_flight = 0;
        self.put_back.landed(has_put_back, now);
        self.answer_flushes();
    }

    /// The number of the first event that waits, or that the next one will have.
    fn first_waiting(&self) -> u64 {
        let waiting = self.waiting.first_number();
        waiting.into_iter().chain(self.put_back.first()).min().unwrap_or(self.account.accepted)
    }

    /// Answers those whose events are all settled.
    fn answer_flushes(&mut self) {
        if self.flushes.is_empty() {
            return;
        }
        let in_flight = if self.in_flight > 0 { self.in_flight_from } else { u64::MAX };
        self.flushes.answer(self.first_waiting().min(in_flight));
    }

    /// Where those that wait are in the log, with those that were put back.
    pub(super) fn waiting(&self) -> impl Iterator<Item = Position> {
        self.put_back.held.positions().chain(self.waiting.positions())
    }

    /// Where those that wait are in one segment of the log, with those that were put back.
    pub(super) fn waiting_in(&self, segment: u64) -> impl Iterator<Item = Position> {
        self.put_back.held.positions_in(segment).chain(self.waiting.positions_in(segment))
    }

    /// Notes where those are now that wait in a segment and were `moved`.
    pub(super) fn move_waiting(&mut self, segment: u64, mut moved: impl FnMut(Position) -> Option<Position>) {
        for queue in [&mut self.put_back.held, &mut self.waiting] {
            queue.change_in(segment, |mut held| {
                if let Some(to) = held.position().and_then(&mut moved) {
                    held.move_to(to);
                }
                Some(held)
            });
        }
    }

    /// Counts events that the process before had accepted, and that are damaged in its log.
    pub(super) fn lose(&mut self, count: u64) {
        self.account.accept(count);
        (0..count).for_each(|_| self.account.settle(Settled::Dropped(DropReason::LogDamaged)));
    }

    /// Drops what waits in a segment and is `chosen`; gives where that was.
    pub(super) fn drop_waiting(
        &mut self,
        segment: u64,
        reason: DropReason,
        memory: &mut Memory,
        mut chosen: impl FnMut(&Held, Position) -> bool,
    ) -> Vec<Position> {
        let mut dropped = Vec::new();
        for queue in [&mut self.put_back.held, &mut self.waiting] {
            // In their order, and in one pass.
            queue.change_in(segment, |held| match held.position() {
                Some(position) if chosen(&held, position) => {
                    dropped.push((held, position));
                    None
                }
                _ => Some(held),
            });
        }
        for (held, _) in &dropped {
            self.forget(held, Settled::Dropped(reason), memory);
        }
        self.answer_flushes();
        dropped.into_iter().map(|(_, position)| position).collect()
    }
}

fn bytes_of(held: &Held) -> u64 {
    count(held.size())
}

#[cfg(test)]
mod tests;
