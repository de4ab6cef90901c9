//! The engine: buffers admitted events by project and has them stored in batches.
//!
//! ```text
//! accept ──▶ shard (a task; a project belongs to one of them by hash)
//!              └─ project: bounded buffer, account, whoever waits for a flush
//!            ──▶ flush: what is due of many projects, one transaction, one COPY ──▶ Sink
//! ```
//!
//! A shard's task owns everything of its projects, so that nothing is locked, and an account is right at every
//! moment it is looked at. It never waits for the database: that is the flushes' tasks, of which a shard has some in
//! flight. Nor does it wait for the disk: an event goes by the shard's journal into its log, and is acknowledged and
//! buffered when it is synced there. Without a log (`--durability memory`) it is acknowledged once it is buffered; all
//! the rest is the same.

pub mod account;
mod blame;
mod carry;
mod flight;
mod flush;
mod found;
mod health;
mod held;
mod journal;
mod load;
mod memory;
pub mod metrics;
mod open;
mod pace;
mod project;
mod put_back;
mod refused;
mod segments;
mod shard;
pub mod sink;
mod tidy;
mod tries;
mod waiting;

use std::{sync::Arc, time::Duration};

use mesher_common::id::ProjectId;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use self::{
    account::{Account, RefuseReason},
    metrics::Metrics,
    project::Limits,
    refused::Refused,
    sink::Sink,
};
pub use self::{
    health::Health,
    open::{Logs, LogsError, SEGMENT_BYTES},
    shard::Shard,
};
use crate::{
    config::{WhenFull, WriterArgs},
    event::Event,
    log::fs::FileSystem,
};

/// The most commands that wait for a shard.
const QUEUE: usize = 1024;
/// How long a command waits for room in a shard's queue before it is refused. A full queue means that there is more work than the
/// machine, or its disk, can do.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(1);
/// The most memory of events that wait for a shard, to be buffered or to be in the log, in KiB. More than that is let through
/// when it comes alone.
const QUEUE_KIB: u32 = 8 * 1024;
/// The least that a shard may have in memory without a log, in bytes: a few of the largest events.
const MIN_MEMORY: u64 = 4 * 1024 * 1024;
/// The least that the log of a shard may have on disk, in segments: cleaning needs some to work with.
const MIN_SEGMENTS: u64 = 8;

/// Why the engine did not do what it was asked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// Too much is waiting.
    #[error("too much is waiting to be buffered")]
    Overloaded,
    /// The shutdown has begun.
    #[error("the writer is stopping")]
    Closing,
    /// The project has as much on disk as it may, or all projects have.
    #[error("the quota on disk is full")]
    QuotaFull,
    /// The log on disk cannot be written.
    #[error("the log on disk cannot be written")]
    LogFailed,
    /// The database did not take in all that waited for a flush.
    #[error("not all events could be stored")]
    FlushFailed,
}

/// When a project's events are flushed, and how many are kept.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How many shards there are.
    pub shards: usize,
    /// The most flushes of a shard in flight, each of other projects.
    pub flights: usize,
    /// Flushed when so many are buffered.
    pub flush_events: usize,
    /// Flushed so long after the first was buffered.
    pub flush_interval: Duration,
    /// The most in memory, those in flight included.
    pub buffer_events: usize,
    /// The most on disk.
    pub quota_events: usize,
    /// The most bytes on disk, or in memory without a log.
    pub quota_bytes: u64,
    /// The most bytes on disk of all projects together.
    pub log_bytes: u64,
    /// The most bytes in memory of all projects together, without a log.
    pub memory_bytes: u64,
    /// What happens past the most on disk.
    pub when_full: WhenFull,
    /// What the jitter of its waits is made from, and the order in which it goes through a batch that failed.
    pub seed: u64,
}

impl Settings {
    /// What a project may hold, with a log on disk or without.
    fn limits(&self, with_log: bool) -> Limits {
        let memory = self.buffer_events;
        if with_log {
            Limits { memory, events: self.quota_events, bytes: self.quota_bytes }
        } else {
            Limits { memory, events: memory, bytes: self.quota_bytes }
        }
    }

    /// How many events of a project are worth a flush.
    fn flush_events(&self, with_log: bool) -> usize {
        // Without a log what fills the buffer drops the oldest: half of it is left for what comes while it is flushed.
        if with_log { self.flush_events } else { self.flush_events.min(self.buffer_events.div_ceil(2)) }
    }

    /// The most bytes of a shard in memory, without a log.
    fn shard_memory_bytes(&self) -> usize {
        let bytes = (self.memory_bytes / count(self.shards).max(1)).max(MIN_MEMORY);
        usize::try_from(bytes).unwrap_or(usize::MAX)
    }

    /// The most bytes of a shard's log.
    fn shard_log_bytes(&self, segment_bytes: u32) -> u64 {
        (self.log_bytes / count(self.shards).max(1)).max(MIN_SEGMENTS * u64::from(segment_bytes))
    }
}

impl From<&WriterArgs> for Settings {
    fn from(args: &WriterArgs) -> Self {
        Self {
            shards: args.shards.get(),
            flights: args.concurrent_flushes.get(),
            flush_events: args.flush_events.get(),
            flush_interval: args.flush_interval,
            buffer_events: args.buffer_events.get(),
            quota_events: args.quota_events.get(),
            quota_bytes: args.quota_bytes,
            log_bytes: args.log_bytes,
            memory_bytes: args.memory_bytes,
            when_full: args.when_full,
            seed: rand::random::<u32>().into(),
        }
    }
}

/// What a shard is told.
#[derive(Debug)]
enum Command {
    /// Take events of one project in, and say when they are safe.
    Accept {
        project: ProjectId,
        events: Vec<Event>,
        room: OwnedSemaphorePermit,
        done: oneshot::Sender<Result<(), EngineError>>,
    },
    /// Store what is buffered of a project, and say how many events were stored.
    Flush { project: ProjectId, done: oneshot::Sender<Result<u64, EngineError>> },
    /// Give a project's account.
    Account { project: ProjectId, reply: oneshot::Sender<Account> },
}

/// The way to a shard.
#[derive(Debug)]
struct Door {
    commands: mpsc::Sender<Command>,
    /// A permit for each KiB that may wait.
    room: Arc<Semaphore>,
    refused: Refused,
}

/// The way to the shards; cheap to clone.
#[derive(Clone, Debug)]
pub struct Engine {
    doors: Arc<[Door]>,
    closing: CancellationToken,
    health: Health,
    metrics: Metrics,
}

impl Engine {
    /// An engine that stores in `sink`, and its shards, each of which is to be run as a task. With `logs`, what they hold
    /// is stored first, and events are acknowledged when they are there.
    pub fn new<S: Sink, F: FileSystem>(
        settings: Settings,
        sink: &Arc<S>,
        metrics: &Metrics,
        logs: Option<Logs<F>>,
    ) -> (Self, Vec<Shard<S, F>>) {
        let closing = CancellationToken::new();
        let health = Health::default();
        metrics.damaged(logs.as_ref().map_or(0, |logs| logs.damaged));
        let logs = logs.map_or_else(Vec::new, |logs| logs.shards.into_iter().map(Some).collect());
        let logs = logs.into_iter().chain(std::iter::repeat_with(|| None));
        let (doors, shards): (Vec<_>, Vec<_>) = logs
            .take(settings.shards)
            .zip(settings.seed..)
            .map(|(log, seed)| {
                // Each with waits of its own, so that they do not all come back at once.
                let settings = Settings { seed, ..settings };
                let (sender, commands) = mpsc::channel(QUEUE);
                let room = Arc::new(Semaphore::new(usize::try_from(QUEUE_KIB).unwrap_or(usize::MAX)));
                let refused = Refused::default();
                let (metrics, counted) = (metrics.clone(), refused.clone());
                let mut shard =
                    Shard::new(settings, Arc::clone(sink), metrics, commands, counted, closing.clone());
                if let Some(log) = log {
                    shard.use_log(log, health.clone());
                }
                (Door { commands: sender, room, refused }, shard)
            })
            .unzip();
        (Self { doors: doors.into(), closing, health, metrics: metrics.clone() }, shards)
    }

    /// Whether events can be taken in.
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// Takes events of one project in. Once this gives something they may be accepted, also when nobody waits for what it is.
    pub async fn accept(
        &self,
        project: ProjectId,
        events: Vec<Event>,
    ) -> Result<impl Future<Output = Result<(), EngineError>> + use<>, EngineError> {
        let (done, accepted) = oneshot::channel();
        let count = count(events.len());
        let queued = async {
            let bytes: usize = events.iter().map(Event::size).sum();
            let kib = u32::try_from(bytes.div_ceil(1024)).unwrap_or(u32::MAX).min(QUEUE_KIB);
            let room = Arc::clone(&self.door(project).room).acquire_many_owned(kib);
            let room = room.await.map_err(|_| EngineError::Closing)?;
            self.send(project, Command::Accept { project, events, room, done }).await
        };
        let queued = timeout(QUEUE_TIMEOUT, queued).await.unwrap_or(Err(EngineError::Overloaded));
        if queued == Err(EngineError::Overloaded) {
            self.refuse(project, RefuseReason::Overloaded, count);
        }
        queued.map(|()| async { accepted.await.map_err(|_| EngineError::Closing)? })
    }

    /// Counts events of a project that are refused before they come here, for this reason.
    pub fn refuse(&self, project: ProjectId, reason: RefuseReason, count: u64) {
        self.metrics.refuse(reason, count);
        self.door(project).refused.add(project, reason, count);
    }

    /// Stores what was accepted of a project before the call, and says how many events that were.
    pub async fn flush(&self, project: ProjectId) -> Result<u64, EngineError> {
        let (done, flushed) = oneshot::channel();
        self.send(project, Command::Flush { project, done }).await?;
        flushed.await.map_err(|_| EngineError::Closing)?
    }

    /// A project's account at this moment.
    pub async fn account(&self, project: ProjectId) -> Result<Account, EngineError> {
        let (reply, account) = oneshot::channel();
        self.send(project, Command::Account { project, reply }).await?;
        account.await.map_err(|_| EngineError::Closing)
    }

    /// Refuses all that comes from now on. The shards store what they have, and end.
    pub fn close(&self) {
        self.closing.cancel();
    }

    fn door(&self, project: ProjectId) -> &Door {
        &self.doors[shard_of(project, self.doors.len())]
    }

    async fn send(&self, project: ProjectId, command: Command) -> Result<(), EngineError> {
        let sent = self.door(project).commands.send_timeout(command, QUEUE_TIMEOUT).await;
        sent.map_err(|error| match error {
            mpsc::error::SendTimeoutError::Timeout(_) => EngineError::Overloaded,
            mpsc::error::SendTimeoutError::Closed(_) => EngineError::Closing,
        })
    }
}

/// A number of what is in memory, which is far below 2^64.
fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// The shard that a project belongs to, by the random part of its id: the same in every run, as its log must be.
fn shard_of(project: ProjectId, shards: usize) -> usize {
    let (_, random) = project.0.as_u64_pair();
    usize::try_from(random % count(shards).max(1)).unwrap_or(0)
}

#[cfg(test)]
mod tests;
