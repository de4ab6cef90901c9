//! A shard's log: one commit at a time on the blocking pool. What arrives while a group is being synced is the next group,
//! so that each sync is shared among all who wait.

use std::{collections::BTreeMap, fs::File, io, sync::Arc, time::Duration};

use mesher_common::id::ProjectId;
use tokio::{
    sync::oneshot,
    task::{JoinError, JoinSet},
    time::Instant,
};

use super::{EngineError, health::Health};
use crate::{
    event::Event,
    log::{self, Log, Position, fs::Directory},
};

/// The most bytes that wait to be written. Beyond them a shard takes nothing in until the group before is synced.
const MAX_WAITING_BYTES: u64 = 8 * 1024 * 1024;
/// How long after a failed write or sync it is tried whether the disk takes anything again.
const PROBE_DELAY: Duration = Duration::from_secs(1);
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
    pub(super) done: oneshot::Sender<Result<(), EngineError>>,
}

/// A group that was committed, or was not.
#[derive(Debug)]
pub(super) struct Committed {
    pub(super) entries: Vec<Entry>,
    /// The positions of all events, in their order.
    pub(super) result: io::Result<Vec<Position>>,
    log: Log<Directory>,
}

/// Something that was done off the shard's task.
#[derive(Debug)]
pub(super) enum Done {
    /// A group was committed, or was not.
    Committed(Committed),
    /// Settled segments were removed, or some were not.
    Removed(io::Result<()>),
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Journal {
    directory: Directory,
    /// Away while a group is being committed.
    log: Option<Log<Directory>>,
    /// At most one commit and one removal.
    jobs: JoinSet<Done>,
    removing: bool,
    waiting: Vec<Entry>,
    waiting_bytes: u64,
    /// How many events of each segment are not settled.
    unsettled: BTreeMap<u64, u64>,
    /// When to try whether the disk takes anything again; set while the log is failed.
    probe_at: Option<Instant>,
    health: Health,
    /// Keeps other writers from the log. Each job holds it too: it may outlive the shard.
    lock: Arc<File>,
}

impl Journal {
    /// The journal of a log that was just opened. Its `segments` have so many unsettled events each.
    pub(super) fn new(
        directory: Directory,
        log: Log<Directory>,
        segments: BTreeMap<u64, u64>,
        lock: Arc<File>,
        health: Health,
    ) -> Self {
        Self {
            directory,
            log: Some(log),
            jobs: JoinSet::new(),
            removing: false,
            waiting: Vec::new(),
            waiting_bytes: 0,
            unsettled: segments,
            probe_at: None,
            health,
            lock,
        }
    }

    /// The log's directory, to read from.
    pub(super) fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Whether more can be taken in before the group before is synced.
    pub(super) fn has_room(&self) -> bool {
        self.waiting_bytes < MAX_WAITING_BYTES
    }

    /// Whether nothing can be promised now.
    pub(super) fn is_failed(&self) -> bool {
        self.probe_at.is_some()
    }

    /// When something is to be done although nothing arrives.
    pub(super) fn probe_at(&self) -> Option<Instant> {
        self.probe_at.filter(|_| self.log.is_some())
    }

    /// Whether a group is being committed, or waits to be.
    pub(super) fn is_busy(&self) -> bool {
        self.log.is_none() || !self.waiting.is_empty()
    }

    /// Adds to the next group.
    pub(super) fn append(&mut self, entry: Entry) {
        self.waiting_bytes += entry.bytes;
        self.waiting.push(entry);
    }

    /// Begins what there is to do: to commit the next group, and to remove what is settled.
    pub(super) fn start(&mut self) {
        self.remove();
        let due = !self.waiting.is_empty() || self.probe_at.is_some_and(|at| at <= Instant::now());
        if due && let Some(mut log) = self.log.take() {
            let entries = std::mem::take(&mut self.waiting);
            self.waiting_bytes = 0;
            let lock = Arc::clone(&self.lock);
            self.jobs.spawn_blocking(move || {
                let _lock = lock;
                let records: Vec<_> =
                    entries.iter().flat_map(|entry| &entry.events).map(Event::record).collect();
                let result = log.commit(&records);
                drop(records);
                Done::Committed(Committed { entries, result, log })
            });
        }
    }

    /// Begins to remove the segments without an unsettled event, in a job of its own: nobody waits for it.
    fn remove(&mut self) {
        let Some(log) = self.log.as_mut().filter(|_| !self.removing) else { return };
        let segments = {
            let seal_bytes = log.segment_bytes() / SEAL_PART;
            removable(&mut self.unsettled, log, seal_bytes)
        };
        if !segments.is_empty() {
            self.removing = true;
            let (directory, lock) = (self.directory.clone(), Arc::clone(&self.lock));
            self.jobs.spawn_blocking(move || {
                let _lock = lock;
                Done::Removed(log::remove(&directory, &segments))
            });
        }
    }

    /// Waits for something to be done; for ever if nothing is being done.
    pub(super) async fn done(&mut self) -> Result<Done, JoinError> {
        match self.jobs.join_next().await {
            Some(done) => done,
            None => std::future::pending().await,
        }
    }

    /// Notes that a removal ended.
    pub(super) fn removed(&mut self, result: io::Result<()>) {
        self.removing = false;
        if let Err(error) = result {
            // Not tried again: at the next start they are read, and found settled.
            tracing::warn!(directory = ?self.directory, %error, "a settled segment of the log could not be removed");
        }
    }

    /// Takes the log back from a commit, and notes what it says of the disk. Gives what is to be acknowledged.
    pub(super) fn finish(&mut self, committed: Committed) -> (Vec<Entry>, io::Result<Vec<Position>>) {
        let Committed { entries, result, log } = committed;
        // Also what could not be begun may have left a file.
        if log.newest() > 0 {
            self.unsettled.entry(log.newest()).or_default();
        }
        match &result {
            Ok(positions) => {
                for position in positions {
                    *self.unsettled.entry(position.segment).or_default() += 1;
                }
                if self.probe_at.take().is_some() {
                    tracing::warn!(directory = ?self.directory, "the log takes events in again");
                    self.health.recovered();
                }
            }
            Err(error) => {
                if self.probe_at.is_none() {
                    tracing::error!(directory = ?self.directory, %error, "the log failed: no events are taken in");
                    self.health.failed();
                }
                self.probe_at = Some(Instant::now() + PROBE_DELAY);
            }
        }
        self.log = Some(log);
        (entries, result)
    }

    /// Notes that an event is settled.
    pub(super) fn settle(&mut self, position: Position) {
        if let Some(unsettled) = self.unsettled.get_mut(&position.segment) {
            *unsettled = unsettled.saturating_sub(1);
        }
    }

    /// Removes what is settled, at the end: when all is, nothing is left to be read at the next start.
    pub(super) async fn close(mut self) {
        // Nothing waits to be committed any more; a removal may be under way.
        while self.jobs.join_next().await.is_some() {}
        if let Some(log) = &mut self.log {
            log.seal();
            let segments = removable(&mut self.unsettled, log, 0);
            let directory = self.directory;
            // What cannot be removed is read again at the next start.
            let _ = tokio::task::spawn_blocking(move || log::remove(&directory, &segments)).await;
        }
    }
}

/// Takes the segments without an unsettled event, but for the active one while it has less than `seal_bytes`.
fn removable(unsettled: &mut BTreeMap<u64, u64>, log: &mut Log<Directory>, seal_bytes: u32) -> Vec<u64> {
    if let Some((segment, bytes)) = log.active()
        && bytes >= seal_bytes
        && unsettled.get(&segment) == Some(&0)
    {
        log.seal();
    }
    let active = log.active().map(|(segment, _)| segment);
    let settled = |segment: &u64, unsettled: &mut u64| *unsettled == 0 && Some(*segment) != active;
    unsettled.extract_if(.., settled).map(|(segment, _)| segment).collect()
}
