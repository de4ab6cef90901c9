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
        Settings,
        account::{DropReason, Settled},
        flight::{Landing, Seat, fly},
        flush::{End, Perseverance},
        held::Held,
        memory::Memory,
        project::{Project, Share},
        sink::Sink,
    },
    log::fs::FileSystem,
};

/// The most events in one flush. Beyond some hundreds a transaction's own cost no longer shows.
const BATCH_EVENTS: usize = 500;
/// About the most bytes in one flush: what a failed try has to send again.
const BATCH_BYTES: usize = 2 * 1024 * 1024;
/// How long a flush waits for more while others are in flight: longer than those are when all is well.
const HOLD: Duration = Duration::from_millis(100);
/// How many timers are looked at for what can be taken along.
const MAX_TIMERS: usize = 2 * BATCH_EVENTS;
/// A flush that takes longer than this says that not all is well with the database.
const CALM: Duration = Duration::from_secs(1);
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

    /// Gives a project its turn: up to its share in all, with those that were put back if they are to be tried `again`.
    fn take_turn(
        &mut self,
        id: ProjectId,
        project: &mut Project,
        share: Share,
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

/// What a project may have in a flush.
fn share(project: &Project, settings: &Settings) -> Share {
    project.share(settings.buffer_events, BATCH_EVENTS)
}

impl<S: Sink, F: FileSystem> Shard<S, F> {
    /// Flushes what is due, if there is room for a flight.
    pub(super) fn take_off(&mut self) {
        while self.is_boarding() && self.may_take_off(Instant::now()) {
            let Boarded { seats, batch, .. } = self.board();
            if batch.is_empty() {
                // What was due was dropped meanwhile.
                continue;
            }
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

    /// Whether something is due, and there is room for a flight.
    pub(super) fn is_boarding(&self) -> bool {
        self.flights.len() < self.settings.flights && !self.due.is_empty() && !self.left
    }

    /// Whether to flush what is due now. While others are in flight it waits, but not for long, for more to share its
    /// transaction.
    fn may_take_off(&mut self, now: Instant) -> bool {
        let may = self.flights.is_empty()
            || self.closed
            || self.due_events >= BATCH_EVENTS
            || *self.hold_until.get_or_insert(now + HOLD) <= now;
        if may {
            self.hold_until = None;
        }
        may
    }

    /// Counts events that a due project has more than the `before` that were counted.
    pub(super) fn count_due(&mut self, id: ProjectId, before: usize, now: Instant) {
        self.due_events += self.counted_due(id).saturating_sub(before);
        self.hurry(id, now);
    }

    /// Ends the waiting for more if a project is due that is worth a flush.
    pub(super) fn hurry(&mut self, id: ProjectId, now: Instant) {
        let Some(project) = self.projects.get(&id).filter(|project| project.queued) else { return };
        if project.is_urgent(share(project, &self.settings), TURN_BYTES as u64) {
            self.hold_until = Some(now);
        }
    }

    /// How many events of a project are counted as due.
    pub(super) fn counted_due(&self, id: ProjectId) -> usize {
        let queued = self.projects.get(&id).filter(|project| project.queued);
        queued.map_or(0, |project| project.due_events(share(project, &self.settings)))
    }

    /// Takes a batch from the projects that are due, each its share, and from others if there is room.
    fn board(&mut self) -> Boarded {
        let now = Instant::now();
        let mut boarded = Boarded::default();
        let mut is_last_round = false;
        let mut turns = self.due.len();
        // Those of which nothing could be taken.
        let mut left = Vec::new();
        while boarded.has_room()
            && let Some(id) = self.due.pop_front()
        {
            if let Some(project) = self.projects.get_mut(&id) {
                let again = self.closed || project.tries_again(now);
                let share = share(project, &self.settings);
                boarded.take_turn(id, project, share, again, &mut self.memory);
                project.queued = project.has_more(share, again);
                if project.queued {
                    self.due.push_back(id);
                } else {
                    // It has had its share of events: others, with larger ones, are not to go on without it.
                    is_last_round |= project.has_waiting();
                    left.extend((project.in_flight() == 0).then_some(id));
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
        self.due.retain(|id| {
            projects.get_mut(id).is_some_and(|project| {
                project.queued = project.in_flight() == 0;
                project.queued
            })
        });
        if self.due.is_empty() && !boarded.batch.is_empty() {
            self.take_along(&mut boarded);
        }
        self.due_events = 0;
        for id in self.due.iter().copied().collect::<Vec<_>>() {
            self.count_due(id, 0, now);
        }
        for id in left {
            self.look_at(id, now);
        }
        boarded
    }

    /// Fills a batch up with what is not due yet, soonest first: a few hundred events are stored for little more than a few,
    /// and what is stored now needs no transaction of its own later. Only while all is well, and what fails is kept in a log:
    /// nothing is to share the fate of others before its time.
    fn take_along(&mut self, boarded: &mut Boarded) {
        if !self.is_calm || self.journal.is_none() {
            return;
        }
        let mut on_board = Vec::new();
        for timer in self.timers.iter().take(MAX_TIMERS) {
            if !boarded.has_room() {
                break;
            }
            let Some(project) = self.projects.get_mut(&timer.1) else { continue };
            if project.in_flight() == 0 && project.has_waiting() {
                boarded.take_turn(timer.1, project, share(project, &self.settings), false, &mut self.memory);
                // What did not fit into the turn waits for the project's own time.
                project.forfeit_turn();
            }
            if project.in_flight() > 0 {
                // It gets another when it lands, if it needs one.
                project.timer = None;
                on_board.push(*timer);
            }
        }
        for timer in on_board {
            self.timers.remove(&timer);
        }
    }

    /// Notes what became of a flush.
    pub(super) fn land(&mut self, landing: &Landing) {
        self.metrics.flushed(landing.took);
        // The end has begun: the log keeps those that are left.
        self.left |= landing.ends.contains(&End::Left);
        let is_kept = |end: &End| matches!(end, End::PutBack | End::Unreadable);
        self.is_calm = landing.took < CALM && !landing.ends.iter().any(is_kept);
        let now = Instant::now();
        // Each project that was on board, and whether some of its events were put back.
        let mut landed = BTreeMap::new();
        for (seat, end) in landing.seats.iter().zip(&landing.ends) {
            let Some(project) = self.projects.get_mut(&seat.project) else { continue };
            let has_put_back = landed.entry(seat.project).or_insert(false);
            let settled = match (*end, seat.position) {
                (End::Unreadable, Some(_)) if self.closed => {
                    // Others are still to be stored before the end.
                    project.leave(seat.number);
                    continue;
                }
                (End::PutBack | End::Unreadable, Some(position)) => {
                    project.put_back(Held::left_to_log(seat.number, position, seat.since));
                    *has_put_back = true;
                    continue;
                }
                (End::Left, Some(_)) => continue,
                (End::Settled(settled), _) => settled,
                // What is nowhere but in memory is never put back.
                (End::PutBack | End::Unreadable | End::Left, None) => {
                    Settled::Dropped(DropReason::DatabaseFailed)
                }
            };
            project.settle(seat.number, seat.bytes, settled);
            self.metrics.settle(settled, 1);
            if let (Some(journal), Some(position)) = (&mut self.journal, seat.position) {
                match settled {
                    Settled::Dropped(DropReason::LogDamaged) => journal.lose(position),
                    _ => journal.settle(position),
                }
            }
        }
        if self.left {
            return;
        }
        for (id, has_put_back) in landed {
            if let Some(project) = self.projects.get_mut(&id) {
                project.landed(has_put_back, now);
            }
            self.look_at(id, now);
        }
    }
}
