//! What takes off with a flush, and what is done when it lands.
//!
//! Projects share a flush by bytes: in each round every project that is due gets a turn of so many bytes, and what it does
//! not use, because its next event is larger, counts the next time (deficit round robin). So a flood cannot starve the
//! others, nor can large events take several times what small ones get. Within a project the oldest go first. If there is
//! room left, others are taken along before their time.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use mesher_common::id::ProjectId;
use rand::{SeedableRng as _, rngs::StdRng};
use tokio::time::Instant;

use super::Shard;
use crate::{
    engine::{
        account::{DropReason, Settled},
        flight::{Landing, Seat, fly},
        flush::{End, Perseverance},
        held::Held,
        memory::Memory,
        project::Project,
        sink::Sink,
    },
    log::fs::FileSystem,
};

/// The most events in one flush. Beyond some hundreds a transaction's own cost no longer shows.
const BATCH_EVENTS: usize = 500;
/// About the most bytes in one flush: what a failed try has to send again.
const BATCH_BYTES: usize = 2 * 1024 * 1024;
/// How long a flush waits to be full while others are in flight: longer than those are when all is well.
const HOLD: Duration = Duration::from_millis(100);
/// The bytes of a project's turn.
const TURN_BYTES: usize = 256 * 1024;

/// What is on board of a flush.
#[derive(Debug, Default)]
struct Boarded {
    seats: Vec<Seat>,
    batch: Vec<Held>,
    bytes: usize,
}

impl Boarded {
    fn has_room(&self) -> bool {
        self.batch.len() < BATCH_EVENTS && self.bytes < BATCH_BYTES
    }

    /// Gives a project its turn: up to `share` of its events in all, those that were put back among them if they are to be
    /// tried `again`.
    fn take_turn(
        &mut self,
        id: ProjectId,
        project: &mut Project,
        share: usize,
        again: bool,
        memory: &mut Memory,
    ) {
        project.give_turn(TURN_BYTES);
        while self.has_room()
            && let Some(held) = project.take(share, again, memory)
        {
            self.bytes += held.size();
            self.seats.push(Seat::of(id, &held));
            self.batch.push(held);
        }
    }
}

impl<S: Sink, F: FileSystem> Shard<S, F> {
    /// Flushes what is due, if there is room for a flight.
    pub(super) fn take_off(&mut self) {
        while self.flights.len() < self.settings.flights
            && !self.due.is_empty()
            && !self.left
            && self.may_take_off(Instant::now())
        {
            let Boarded { seats, batch, .. } = self.board();
            let sink = Arc::clone(&self.sink);
            let directory = self.journal.as_ref().map(|journal| journal.directory().clone());
            let perseverance = match directory {
                Some(_) => Perseverance::UntilClosed(self.closing.clone()),
                None => Perseverance::ThreeTries,
            };
            let closed = self.closing.clone();
            let random = StdRng::from_rng(&mut self.random);
            self.flights.spawn(async move {
                let started = Instant::now();
                let ends = fly(&*sink, batch, directory, &closed, &perseverance, random).await;
                Landing { seats, ends, took: started.elapsed() }
            });
        }
    }

    /// Whether to flush what is due now. While others are in flight a flush waits until it is full, but not for long: what
    /// it brings in is worth less than the transaction that it costs.
    fn may_take_off(&mut self, now: Instant) -> bool {
        if self.flights.is_empty() || self.closed || self.due_events >= BATCH_EVENTS {
            self.hold_until = None;
            return true;
        }
        let is_over = *self.hold_until.get_or_insert(now + HOLD) <= now;
        if is_over {
            self.hold_until = None;
        }
        is_over
    }

    /// Takes a batch from the projects that are due, each its share, and from others if there is room.
    fn board(&mut self) -> Boarded {
        let now = Instant::now();
        let mut boarded = Boarded::default();
        let mut is_last_round = false;
        let mut turns = self.due.len();
        while boarded.has_room()
            && let Some(id) = self.due.pop_front()
        {
            if let Some(project) = self.projects.get_mut(&id) {
                let again = self.closed || project.tries_again(now);
                let share = project.share(self.settings.buffer_events).min(BATCH_EVENTS);
                boarded.take_turn(id, project, share, again, &mut self.memory);
                project.queued = project.has_more(share, again);
                if project.queued {
                    self.due.push_back(id);
                } else {
                    // It has had its share of events: others, with larger ones, are not to go on without it.
                    is_last_round |= project.has_waiting();
                }
            }
            turns -= 1;
            if turns == 0 {
                if is_last_round && !boarded.batch.is_empty() {
                    break;
                }
                turns = self.due.len();
            }
        }
        // Those that are in flight are looked at again when they land.
        let projects = &mut self.projects;
        self.due_events = 0;
        self.due.retain(|id| {
            projects.get_mut(id).is_some_and(|project| {
                project.queued = project.in_flight() == 0;
                if project.queued {
                    self.due_events += project.due_events(self.settings.buffer_events);
                }
                project.queued
            })
        });
        if self.due.is_empty() && !boarded.batch.is_empty() {
            self.take_along(&mut boarded);
        }
        boarded
    }

    /// Fills a batch up with what is not due yet, soonest first: a few hundred events are stored for little more than a few,
    /// and what is stored now needs no transaction of its own later.
    fn take_along(&mut self, boarded: &mut Boarded) {
        for (_, id) in &self.timers {
            if !boarded.has_room() {
                return;
            }
            if let Some(project) = self.projects.get_mut(id)
                && project.in_flight() == 0
            {
                let share = project.share(self.settings.buffer_events).min(BATCH_EVENTS);
                boarded.take_turn(*id, project, share, false, &mut self.memory);
                // What did not fit into the turn waits for the project's own time.
                project.forfeit_turn();
            }
        }
    }

    /// Notes what became of a flush.
    pub(super) fn land(&mut self, landing: &Landing) {
        self.metrics.flushed(landing.took);
        if landing.ends.contains(&End::Left) {
            // The end has begun: the log keeps them, and those of them that are stored are found to be.
            self.left = true;
            return;
        }
        let now = Instant::now();
        // Each project that was on board, and whether some of its events were put back.
        let mut landed = BTreeMap::new();
        for (seat, end) in landing.seats.iter().zip(&landing.ends) {
            let Some(project) = self.projects.get_mut(&seat.project) else { continue };
            let has_put_back = landed.entry(seat.project).or_insert(false);
            let settled = match (*end, seat.position) {
                (End::PutBack, Some(position)) => {
                    project.put_back(Held::left_to_log(seat.number, position, seat.since));
                    *has_put_back = true;
                    continue;
                }
                (End::Settled(settled), _) => settled,
                // What is nowhere but in memory is never put back.
                (End::PutBack | End::Left, _) => Settled::Dropped(DropReason::DatabaseFailed),
            };
            project.settle(seat.number, seat.position, settled);
            self.metrics.settle(settled, 1);
            if let (Some(journal), Some(position)) = (&mut self.journal, seat.position) {
                journal.settle(position);
            }
        }
        for (id, has_put_back) in landed {
            if let Some(project) = self.projects.get_mut(&id) {
                project.landed(has_put_back, now);
            }
            self.look_at(id, now);
        }
    }
}
