//! A shard's log: one commit at a time on the blocking pool. What arrives while a group is being synced is the next group,
//! so that each sync is shared among all who wait.

use std::{collections::BTreeMap, io, time::Duration};

use mesher_common::id::ProjectId;
use tokio::{
    sync::{OwnedSemaphorePermit, oneshot},
    task::{JoinError, JoinSet},
    time::Instant,
};

pub(super) use self::cleaning::{Cleaned, Emptied};
use super::{
    EngineError,
    health::Health,
    pace::Pace,
    segments::Segments,
    tidy::{Tidied, tidy},
};
use crate::{
    event::Event,
    log::{Log, Position, fs::FileSystem},
};

mod cleaning;

/// The most bytes that wait to be written. Beyond them a shard takes nothing in until the group before is synced.
const MAX_WAITING_BYTES: u64 = 4 * 1024 * 1024;
/// How long after a failed write or sync it is tried whether the disk takes anything again.
const PROBE_DELAY: Duration = Duration::from_secs(1);
/// How long something may be written and synced until the disk is taken for stuck.
const STUCK_AFTER: Duration = Duration::from_secs(10);
/// How long what is to be taken in waits for segments to be removed. After that it is refused if there is no room.
const TIDY_WAIT: Duration = Duration::from_secs(1);
/// An active segment without an unsettled event is only replaced when it has this part of its size: what is left of it is
/// read again after a crash, and found settled.
const SEAL_PART: u32 = 32;

/// Events of one project that are to be acknowledged together.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) project: ProjectId,
    pub(super) events: Vec<Event>,
    /// How many bytes they take in the log.
    pub(super) bytes: u64,
    /// What it takes of what may wait for the shard.
    pub(super) room: OwnedSemaphorePermit,
    pub(super) done: oneshot::Sender<Result<(), EngineError>>,
}

/// A group that was committed, or was not.
#[derive(Debug)]
pub(super) struct Committed<F: FileSystem> {
    entries: Vec<Entry>,
    /// The positions of all events, in their order.
    result: io::Result<Vec<Position>>,
    log: Log<F>,
}

/// Something that was done off the shard's task.
#[derive(Debug)]
pub(super) enum Done<F: FileSystem> {
    Committed(Committed<F>),
    Cleaned(Cleaned<F>),
    Tidied(Tidied),
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Journal<F: FileSystem> {
    directory: F,
    /// Away while something is written to it.
    log: Option<Log<F>>,
    /// Since when it is.
    away_since: Instant,
    /// Whether it has been for too long: the disk does not answer.
    is_stuck: bool,
    /// At most one that writes, and one that tidies.
    jobs: JoinSet<Done<F>>,
    /// Since when something is tidied.
    tidying: Option<Instant>,
    /// How many bytes the segments have that are being removed, if some are.
    removing: Option<u64>,
    /// When removing may be tried again.
    remove_at: Option<Instant>,
    /// Where events were that are settled, by their segments; to be noted. They are fewer than those that waited.
    settled: BTreeMap<u64, Vec<u32>>,
    waiting: Vec<Entry>,
    waiting_bytes: u64,
    pace: Pace,
    segments: Segments,
    /// The most bytes on disk.
    max_bytes: u64,
    segment_bytes: u64,
    cleaning: bool,
    /// When cleaning may be tried again.
    clean_at: Option<Instant>,
    /// When to try whether the disk takes anything again; set while the log is failed.
    probe_at: Option<Instant>,
    health: Health,
}

impl<F: FileSystem> Journal<F> {
    /// The journal of a log that was just opened, with what it holds. It has `max_bytes` on disk at the most.
    pub(super) fn new(directory: F, log: Log<F>, segments: Segments, max_bytes: u64, health: Health) -> Self {
        Self {
            directory,
            segment_bytes: log.segment_bytes().into(),
            log: Some(log),
            away_since: Instant::now(),
            is_stuck: false,
            jobs: JoinSet::new(),
            tidying: None,
            removing: None,
            remove_at: None,
            settled: BTreeMap::new(),
            waiting: Vec::new(),
            waiting_bytes: 0,
            pace: Pace::default(),
            segments,
            max_bytes,
            cleaning: false,
            clean_at: None,
            probe_at: None,
            health,
        }
    }

    /// The log's directory, to read from.
    pub(super) fn directory(&self) -> &F {
        &self.directory
    }

    /// Whether more can be taken in before the group before is synced.
    pub(super) fn has_room(&self) -> bool {
        // Whatever comes is refused while nothing can be promised, and nobody waits for that.
        self.is_failed()
            || self.waiting_bytes < MAX_WAITING_BYTES && !(self.is_nearly_full() && self.is_giving_back())
    }

    /// Whether what would be refused now may be taken in soon: a segment is being emptied or removed, or about to be.
    fn is_giving_back(&self) -> bool {
        let is_to_be_removed = || {
            // All but the active one.
            let mut others = self.segments.iter().rev().skip(1);
            self.remove_at.is_none() && others.any(|(_, segment)| segment.unsettled == 0)
        };
        let is_tidied_soon = self.log.is_none() || self.tidied_by().is_some();
        self.cleaning || is_tidied_soon && (self.removing.is_some() || is_to_be_removed())
    }

    /// Until when it is waited for what is being tidied.
    fn tidied_by(&self) -> Option<Instant> {
        self.tidying.map(|since| since + TIDY_WAIT).filter(|until| Instant::now() < *until)
    }

    /// Whether so many bytes more are within what there may be on disk.
    pub(super) fn has_disk(&self, bytes: u64) -> bool {
        self.bytes() + bytes <= self.max_bytes
    }

    /// Whether it is time to make room.
    fn is_nearly_full(&self) -> bool {
        self.bytes() + self.segment_bytes > self.max_bytes
    }

    /// How many bytes there are on disk, and are about to be.
    fn bytes(&self) -> u64 {
        self.segments.bytes() + self.removing.unwrap_or(0) + self.waiting_bytes
    }

    /// Whether nothing can be promised now.
    pub(super) fn is_failed(&self) -> bool {
        self.probe_at.is_some() || self.is_stuck
    }

    /// When something is to be done although nothing arrives: to try whether the disk takes anything again, to see that it is
    /// stuck, or to wait no longer for what is being removed.
    pub(super) fn look_at(&self) -> Option<Instant> {
        let look_at = match &self.log {
            Some(_) => self.probe_at,
            None => (!self.is_stuck).then(|| self.away_since + STUCK_AFTER),
        };
        look_at.into_iter().chain(self.tidied_by()).min()
    }

    /// Notes it if the disk is stuck.
    pub(super) fn look(&mut self) {
        if self.log.is_none() && !self.is_stuck && self.away_since.elapsed() >= STUCK_AFTER {
            tracing::error!(directory = ?self.directory, "the disk is stuck: no events are taken in");
            self.is_stuck = true;
            self.health.failed();
        }
    }

    /// Gives the log away to be written to.
    fn take(&mut self) -> Option<Log<F>> {
        let log = self.log.take()?;
        self.away_since = Instant::now();
        Some(log)
    }

    /// Whether a group is being committed, or waits to be.
    pub(super) fn is_busy(&self) -> bool {
        self.log.is_none() || !self.waiting.is_empty()
    }

    /// Whether the next group would be begun at once, although others may be about to join it.
    pub(super) fn is_about_to_start(&self) -> bool {
        self.log.is_some() && !self.waiting.is_empty() && self.pace.is_busy()
    }

    /// Adds to the next group.
    pub(super) fn append(&mut self, entry: Entry) {
        self.waiting_bytes += entry.bytes;
        self.waiting.push(entry);
    }

    /// Begins to commit the next group, if there is one. Gives when to call again, if it is to wait for more.
    pub(super) fn start(&mut self) -> Option<Instant> {
        let now = Instant::now();
        let due = !self.waiting.is_empty() || self.probe_at.is_some_and(|at| at <= now);
        let wait = self.log.as_ref().and_then(|_| self.pace.wait(self.waiting_bytes, now));
        if due
            && wait.is_none()
            && let Some(mut log) = self.take()
        {
            self.pace.begin(now);
            let entries = std::mem::take(&mut self.waiting);
            self.waiting_bytes = 0;
            self.jobs.spawn_blocking(move || {
                let records: Vec<_> =
                    entries.iter().flat_map(|entry| &entry.events).map(Event::record).collect();
                let result = log.commit(&records);
                drop(records);
                Done::Committed(Committed { entries, result, log })
            });
        }
        wait
    }

    /// Begins to remove the segments without an unsettled event, and to note what is settled of the others, in a job of its
    /// own: nobody waits for it.
    pub(super) fn tidy(&mut self) {
        if self.tidying.is_some() {
            return;
        }
        let may_remove = self.remove_at.is_none_or(|at| at <= Instant::now());
        let segments = match self.log.as_mut().filter(|_| may_remove) {
            Some(log) => self.segments.take_settled(log, log.segment_bytes() / SEAL_PART),
            None => BTreeMap::new(),
        };
        let mut settled = std::mem::take(&mut self.settled);
        settled.retain(|segment, _| self.segments.contains(*segment));
        if !segments.is_empty() || !settled.is_empty() {
            self.tidying = Some(Instant::now());
            let bytes = segments.values().map(|segment| segment.bytes).sum();
            self.removing = (!segments.is_empty()).then_some(bytes);
            let directory = self.directory.clone();
            self.jobs.spawn_blocking(move || Done::Tidied(tidy(&directory, &settled, segments)));
        }
    }

    /// Waits for something to be done; for ever if nothing is being done.
    pub(super) async fn done(&mut self) -> Result<Done<F>, JoinError> {
        match self.jobs.join_next().await {
            Some(done) => done,
            None => std::future::pending().await,
        }
    }

    /// Notes what could be tidied.
    pub(super) fn tidied(&mut self, tidied: Tidied) {
        self.tidying = None;
        if self.removing.take().is_some() {
            self.remove_at = None;
        }
        if let Some(error) = tidied.error {
            tracing::warn!(directory = ?self.directory, %error, "a settled segment of the log could not be removed");
            self.segments.put_back(tidied.left);
            self.remove_at = Some(Instant::now() + PROBE_DELAY);
        }
    }

    /// Takes the log back from a commit, and notes what it says of the disk. Gives what is to be acknowledged.
    pub(super) fn finish(&mut self, committed: Committed<F>) -> (Vec<Entry>, io::Result<Vec<Position>>) {
        let Committed { entries, result, log } = committed;
        self.pace.end();
        self.take_back(log, result.as_ref().err());
        for position in result.iter().flatten() {
            self.segments.add(*position);
        }
        (entries, result)
    }

    fn take_back(&mut self, log: Log<F>, error: Option<&io::Error>) {
        if std::mem::take(&mut self.is_stuck) {
            tracing::warn!(directory = ?self.directory, "the disk is no longer stuck");
            self.health.recovered();
        }
        // Also what could not be begun may have left a file.
        self.segments.begin(log.newest());
        match error {
            None => {
                if self.probe_at.take().is_some() {
                    tracing::warn!(directory = ?self.directory, "the log takes events in again");
                    self.health.recovered();
                }
            }
            Some(error) => {
                if self.probe_at.is_none() {
                    tracing::error!(directory = ?self.directory, %error, "the log failed: no events are taken in");
                    self.health.failed();
                }
                self.probe_at = Some(Instant::now() + PROBE_DELAY);
            }
        }
        self.log = Some(log);
    }

    /// Notes that an event is lost: the disk has damaged it.
    pub(super) fn lose(&mut self, position: Position) {
        self.segments.damage(position.segment);
        self.settle(position);
    }

    /// Notes that an event is settled.
    pub(super) fn settle(&mut self, position: Position) {
        self.segments.settle(position);
        self.settled.entry(position.segment).or_default().push(position.offset);
    }

    /// Tidies up at the end: when all is settled, nothing is left to be read at the next start.
    pub(super) async fn close(mut self) {
        // Nothing waits to be committed any more; it may be tidied already.
        while self.jobs.join_next().await.is_some() {}
        if let Some(log) = &mut self.log {
            log.seal();
            let segments = self.segments.take_settled(log, 0);
            let (directory, mut settled) = (self.directory, self.settled);
            settled.retain(|segment, _| self.segments.contains(*segment));
            // What cannot be tidied is read again at the next start.
            let _ = tokio::task::spawn_blocking(move || tidy(&directory, &settled, segments)).await;
        }
    }
}
