//! A shard's log: one commit at a time on the blocking pool. What arrives while a group is being synced is the next group,
//! so that each sync is shared among all who wait.

use std::{collections::BTreeMap, io, time::Duration};

use mesher_common::id::ProjectId;
use tokio::{
    sync::oneshot,
    task::{JoinError, JoinSet},
    time::Instant,
};

use super::{EngineError, health::Health};
use crate::{
    event::Event,
    log::{Log, Position, fs::Directory},
};

/// The most bytes that wait to be written. Beyond them a shard takes nothing in until the group before is synced.
const MAX_WAITING_BYTES: u64 = 8 * 1024 * 1024;
/// How long after a failed write or sync it is tried whether the disk takes anything again.
const PROBE_DELAY: Duration = Duration::from_secs(1);
/// An active segment without an unsettled event is only replaced when it has so many bytes: what is left of it is read
/// again after a crash, and found settled.
const SEAL_BYTES: u32 = 1024 * 1024;

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
    unremoved: Vec<u64>,
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Journal {
    directory: Directory,
    /// Away while a group is being committed.
    log: Option<Log<Directory>>,
    commits: JoinSet<Committed>,
    waiting: Vec<Entry>,
    waiting_bytes: u64,
    /// How many events of each segment are not settled.
    unsettled: BTreeMap<u64, u64>,
    /// When to try whether the disk takes anything again; set while the log is failed.
    probe_at: Option<Instant>,
    health: Health,
}

impl Journal {
    /// The journal of a log that was just opened. Its `segments` have so many unsettled events each.
    pub(super) fn new(
        directory: Directory,
        log: Log<Directory>,
        segments: BTreeMap<u64, u64>,
        health: Health,
    ) -> Self {
        Self {
            directory,
            log: Some(log),
            commits: JoinSet::new(),
            waiting: Vec::new(),
            waiting_bytes: 0,
            unsettled: segments,
            probe_at: None,
            health,
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

    /// Begins to commit the next group, if there is one and none is being committed.
    pub(super) fn start(&mut self) {
        let due = !self.waiting.is_empty() || self.probe_at.is_some_and(|at| at <= Instant::now());
        if due && let Some(mut log) = self.log.take() {
            let removable = self.take_removable(&mut log);
            let entries = std::mem::take(&mut self.waiting);
            self.waiting_bytes = 0;
            self.commits.spawn_blocking(move || {
                let records: Vec<_> =
                    entries.iter().flat_map(|entry| &entry.events).map(Event::record).collect();
                let result = log.commit(&records);
                drop(records);
                let unremoved =
                    removable.into_iter().filter(|segment| removed(&mut log, *segment).is_err()).collect();
                Committed { entries, result, log, unremoved }
            });
        }
    }

    /// Waits for the group that is being committed; for ever if there is none.
    pub(super) async fn committed(&mut self) -> Result<Committed, JoinError> {
        match self.commits.join_next().await {
            Some(committed) => committed,
            None => std::future::pending().await,
        }
    }

    /// Takes the log back from a commit, and notes what it says of the disk. Gives what is to be acknowledged.
    pub(super) fn finish(&mut self, committed: Committed) -> (Vec<Entry>, io::Result<Vec<Position>>) {
        let Committed { entries, result, log, unremoved } = committed;
        // Also what could not be begun may have left a file.
        if log.newest() > 0 {
            self.unsettled.entry(log.newest()).or_default();
        }
        for segment in unremoved {
            self.unsettled.insert(segment, 0);
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
        if let Some(mut log) = self.log.take() {
            log.seal();
            let removable = self.take_removable(&mut log);
            // What cannot be removed is read again at the next start.
            let _ = tokio::task::spawn_blocking(move || {
                removable.into_iter().try_for_each(|segment| removed(&mut log, segment))
            })
            .await;
        }
    }

    /// Takes the segments without an unsettled event, but for the active one while it is small.
    fn take_removable(&mut self, log: &mut Log<Directory>) -> Vec<u64> {
        if let Some((segment, bytes)) = log.active()
            && bytes >= SEAL_BYTES
            && self.unsettled.get(&segment) == Some(&0)
        {
            log.seal();
        }
        let active = log.active().map(|(segment, _)| segment);
        let settled = |segment: &u64, unsettled: &mut u64| *unsettled == 0 && Some(*segment) != active;
        self.unsettled.extract_if(.., settled).map(|(segment, _)| segment).collect()
    }
}

fn removed(log: &mut Log<Directory>, segment: u64) -> io::Result<()> {
    match log.remove(segment) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}
