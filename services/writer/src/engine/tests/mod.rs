//! The engine under a paused clock, against a sink that does as it is told.

mod bound;
mod damage;
mod disk;
mod end;
mod fairness;
mod faults;
mod flush;
mod memory;
mod model;
mod quota;
mod restart;
mod sink;
mod stuck;
mod tries;
mod unreadable;

use std::{
    collections::{HashMap, HashSet, VecDeque},
    pin::pin,
    sync::Mutex,
};

use chrono::Utc;
use mesher_common::{db::DatabaseError, id::EventId};
use mesher_testing::ScratchDir;
use prometheus_client::registry::Registry;
use tokio::{
    sync::Semaphore,
    task::JoinSet,
    time::{Instant, advance},
};

use super::{
    account::{DropReason, Settled},
    sink::{Outcome, SinkError},
    *,
};
use crate::{
    admission::{Sent, admit},
    log::simulated::{Call, Choices, Simulated},
};
use sink::Script;

type Ids = Vec<(ProjectId, EventId)>;

/// So small that segments come and go in every test.
const SMALL_SEGMENT: u32 = 8192;

const INTERVAL: Duration = Duration::from_secs(5);

struct Bench {
    engine: Engine,
    shards: JoinSet<anyhow::Result<()>>,
}

fn settings() -> Settings {
    Settings {
        shards: 1,
        flights: 1,
        flush_events: 50,
        flush_interval: INTERVAL,
        buffer_events: 500,
        quota_events: 10_000,
        quota_bytes: 1 << 30,
        log_bytes: 1 << 30,
        memory_bytes: 1 << 30,
        when_full: WhenFull::Reject,
        seed: 1,
    }
}

impl Engine {
    /// Takes events in, and waits until they are accepted.
    async fn accepted(&self, project: ProjectId, events: Vec<Event>) -> Result<(), EngineError> {
        self.accept(project, events).await?.await
    }
}

impl Bench {
    fn new(sink: &Arc<Script>) -> Self {
        Self::with(sink, settings(), None::<Logs>)
    }

    /// An engine with a log in `directory`.
    fn on_disk(sink: &Arc<Script>, settings: Settings, directory: &ScratchDir) -> Self {
        // Whoever was killed may still have a job to end, and keeps the lock until then.
        let logs = loop {
            match Logs::open(directory.path(), settings.shards, SMALL_SEGMENT) {
                Err(LogsError::InUse(_)) => std::thread::yield_now(),
                logs => break logs.unwrap(),
            }
        };
        Self::with(sink, settings, Some(logs))
    }

    /// An engine with a log on simulated file systems, one for each shard.
    fn simulated(sink: &Arc<Script>, settings: Settings, disks: &[Simulated]) -> Self {
        let logs = Logs::open_in(disks.to_vec(), settings.shards, SMALL_SEGMENT).unwrap();
        assert_eq!(logs.damaged, 0);
        Self::with(sink, settings, Some(logs))
    }

    fn with<F: FileSystem>(sink: &Arc<Script>, settings: Settings, logs: Option<Logs<F>>) -> Self {
        let (engine, shards) = Engine::new(settings, sink, &Metrics::new(&mut Registry::default()), logs);
        Self { engine, shards: shards.into_iter().map(Shard::run).collect() }
    }

    async fn accept(&self, project: ProjectId, count: usize) -> Vec<EventId> {
        let events: Vec<Event> = (0..count).map(|_| event(project)).collect();
        let ids = events.iter().map(|event| event.id).collect();
        self.engine.accepted(project, events).await.unwrap();
        ids
    }

    /// A project's account, which adds up.
    async fn account(&self, project: ProjectId) -> Account {
        let account = self.engine.account(project).await.unwrap();
        let dropped: u64 = DropReason::ALL.into_iter().map(|reason| account.dropped(reason)).sum();
        let sum = account.stored + account.buffered + dropped + account.dead_lettered;
        assert_eq!(account.accepted, sum, "{account:?}");
        account
    }

    /// Waits until nothing of a project is buffered; the clock runs on by itself while all wait.
    async fn settled(&self, project: ProjectId) -> Account {
        let mut wait = Duration::from_millis(1);
        loop {
            let account = self.account(project).await;
            if account.buffered == 0 {
                return account;
            }
            tokio::time::sleep(wait).await;
            wait = (wait * 2).min(Duration::from_millis(200));
        }
    }

    /// Kills the engine: nothing is done in order.
    async fn kill(mut self) {
        self.shards.shutdown().await;
    }

    /// Closes the engine and waits for its end.
    async fn close(mut self) {
        self.engine.close();
        while let Some(ended) = self.shards.join_next().await {
            ended.unwrap().unwrap();
        }
    }
}

fn event(project: ProjectId) -> Event {
    sized(project, 1)
}

/// An event with so many bytes, of which half are left when it is compressed.
fn sized(project: ProjectId, bytes: usize) -> Event {
    let text: String =
        (0..bytes).map(|_| char::from(b"0123456789abcdef"[rand::random_range(0..16)])).collect();
    // What is in a tag or the message would be twice in memory.
    let json = format!(r#"{{"message":"m","extra":{{"noise":"{text}"}}}}"#);
    admit(project, &Sent::Json(json.as_bytes()), Utc::now()).unwrap()
}

fn ids(stored: &[(ProjectId, EventId)], project: ProjectId) -> Vec<EventId> {
    stored.iter().filter(|(of, _)| *of == project).map(|(_, id)| *id).collect()
}
