//! The engine: buffers admitted events by project and has them stored in batches.
//!
//! ```text
//! accept ──▶ shard (a task; a project belongs to one of them by hash)
//!              └─ project: bounded buffer, account, whoever waits for a flush
//!            ──▶ flush: what is due of many projects, one transaction, one COPY ──▶ Sink
//! ```
//!
//! A shard's task owns everything of its projects, so that nothing is locked, and an account is right at every
//! moment it is looked at. It never waits for the database: that is the flush's task, of which a shard has one in
//! flight. An event is acknowledged once it is in its project's buffer (`Durability::Memory`); the shard's log on
//! disk will stand between [`shard::Shard`]'s accepting and its acknowledging.

pub mod account;
mod flush;
pub mod metrics;
mod project;
mod shard;
pub mod sink;

use std::{
    hash::{DefaultHasher, Hash as _, Hasher as _},
    sync::Arc,
    time::Duration,
};

use mesher_common::id::ProjectId;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

pub use self::shard::Shard;
use self::{account::Account, metrics::Metrics, sink::Sink};
use crate::{config::WriterArgs, event::Event};

/// The most commands that wait for a shard.
const QUEUE: usize = 1024;
/// How long a command waits for room in a shard's queue before it is refused. A shard never waits for anything
/// slow: a full queue means that there is more work than the machine can do.
const QUEUE_TIMEOUT: Duration = Duration::from_secs(1);

/// Why the engine did not do what it was asked to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EngineError {
    /// Too much is waiting.
    #[error("too much is waiting to be buffered")]
    Overloaded,
    /// The shutdown has begun.
    #[error("the writer is stopping")]
    Closing,
    /// The database did not take in all that waited for a flush.
    #[error("not all events could be stored")]
    FlushFailed,
}

/// When a project's events are flushed, and how many are kept.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How many shards there are.
    pub shards: usize,
    /// Flushed when so many are buffered.
    pub flush_events: usize,
    /// Flushed so long after the first was buffered.
    pub flush_interval: Duration,
    /// The most in memory, those in flight included.
    pub buffer_events: usize,
}

impl From<&WriterArgs> for Settings {
    fn from(args: &WriterArgs) -> Self {
        Self {
            shards: args.shards.get(),
            flush_events: args.flush_events.get(),
            flush_interval: args.flush_interval,
            buffer_events: args.buffer_events.get(),
        }
    }
}

/// What a shard is told.
#[derive(Debug)]
enum Command {
    /// Buffer events of one project, and say when it is done.
    Accept { project: ProjectId, events: Vec<Event>, done: oneshot::Sender<()> },
    /// Count events of a project that were refused at admission.
    Refuse { project: ProjectId, count: u64 },
    /// Store what is buffered of a project, and say how many events were stored.
    Flush { project: ProjectId, done: oneshot::Sender<Result<u64, EngineError>> },
    /// Give a project's account.
    Account { project: ProjectId, reply: oneshot::Sender<Account> },
}

/// The way to the shards; cheap to clone.
#[derive(Clone, Debug)]
pub struct Engine {
    shards: Arc<[mpsc::Sender<Command>]>,
    closing: CancellationToken,
}

impl Engine {
    /// An engine that stores in `sink`, and its shards, each of which is to be run as a task.
    pub fn new<S: Sink>(settings: Settings, sink: &Arc<S>, metrics: &Metrics) -> (Self, Vec<Shard<S>>) {
        let closing = CancellationToken::new();
        let (senders, shards): (Vec<_>, Vec<_>) = (0..settings.shards)
            .map(|_| {
                let (sender, commands) = mpsc::channel(QUEUE);
                (sender, Shard::new(settings, Arc::clone(sink), metrics.clone(), commands, closing.clone()))
            })
            .unzip();
        (Self { shards: senders.into(), closing }, shards)
    }

    /// Buffers events of one project; they are acknowledged when this returns.
    pub async fn accept(&self, project: ProjectId, events: Vec<Event>) -> Result<(), EngineError> {
        let (done, accepted) = oneshot::channel();
        self.send(project, Command::Accept { project, events, done }).await?;
        accepted.await.map_err(|_| EngineError::Closing)
    }

    /// Counts events of a project that were refused at admission.
    pub async fn refuse(&self, project: ProjectId, count: u64) -> Result<(), EngineError> {
        self.send(project, Command::Refuse { project, count }).await
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

    async fn send(&self, project: ProjectId, command: Command) -> Result<(), EngineError> {
        let mut hasher = DefaultHasher::new();
        project.hash(&mut hasher);
        let count = u64::try_from(self.shards.len()).unwrap_or(1);
        let shard = usize::try_from(hasher.finish() % count).unwrap_or(0);
        self.shards[shard].send_timeout(command, QUEUE_TIMEOUT).await.map_err(|error| match error {
            mpsc::error::SendTimeoutError::Timeout(_) => EngineError::Overloaded,
            mpsc::error::SendTimeoutError::Closed(_) => EngineError::Closing,
        })
    }
}

#[cfg(test)]
mod tests;
