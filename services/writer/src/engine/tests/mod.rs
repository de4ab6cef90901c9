//! The engine under a paused clock, against a sink that does as it is told.

mod disk;
mod memory;

use std::{
    collections::{HashSet, VecDeque},
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

/// Records what it stores. Each batch waits for a permit; what fails is scripted, or marked in the event.
struct Script {
    permits: Semaphore,
    failures: Mutex<VecDeque<bool>>,
    poison: Mutex<HashSet<EventId>>,
    batches: Mutex<Vec<(Instant, Ids)>>,
    dead: Mutex<Vec<EventId>>,
}

impl Script {
    /// Lets every batch through.
    fn open() -> Arc<Self> {
        Arc::new(Self {
            permits: Semaphore::new(Semaphore::MAX_PERMITS),
            failures: Mutex::default(),
            poison: Mutex::default(),
            batches: Mutex::default(),
            dead: Mutex::default(),
        })
    }

    /// Keeps every batch waiting until permits are added.
    fn closed() -> Arc<Self> {
        let script = Self::open();
        script.permits.forget_permits(Semaphore::MAX_PERMITS);
        script
    }

    fn fail(&self, times: usize) {
        self.failures.lock().unwrap().extend(std::iter::repeat_n(true, times));
    }

    fn stored(&self) -> Vec<(ProjectId, EventId)> {
        self.batches.lock().unwrap().iter().flat_map(|(_, batch)| batch.clone()).collect()
    }

    fn times(&self) -> Vec<Instant> {
        self.batches.lock().unwrap().iter().map(|(at, _)| *at).collect()
    }
}

impl Sink for Script {
    async fn store(&self, batch: &[Event]) -> Result<Vec<Outcome>, SinkError> {
        self.permits.acquire().await.unwrap().forget();
        if self.failures.lock().unwrap().pop_front().is_some() {
            let away = DatabaseError::Unavailable(sqlx::Error::PoolTimedOut);
            return Err(SinkError::Unavailable(away));
        }
        if batch.iter().any(|event| self.poison.lock().unwrap().contains(&event.id)) {
            return Err(SinkError::Rejected { sqlstate: "22000".to_owned(), reason: "poison".to_owned() });
        }
        let ids = batch.iter().map(|event| (event.project_id, event.id)).collect();
        self.batches.lock().unwrap().push((Instant::now(), ids));
        Ok(vec![Outcome::Stored; batch.len()])
    }

    async fn dead_letter(&self, event: &Event, _: &str, _: &str) -> Result<(), SinkError> {
        self.dead.lock().unwrap().push(event.id);
        Ok(())
    }
}

type Ids = Vec<(ProjectId, EventId)>;

/// So small that segments come and go in every test.
const SMALL_SEGMENT: u32 = 4096;

const INTERVAL: Duration = Duration::from_secs(5);

struct Bench {
    engine: Engine,
    shards: JoinSet<anyhow::Result<()>>,
}

fn settings() -> Settings {
    Settings {
        shards: 1,
        flush_events: 50,
        flush_interval: INTERVAL,
        buffer_events: 500,
        quota_events: 10_000,
        quota_bytes: 1 << 30,
        when_full: WhenFull::Reject,
    }
}

impl Bench {
    fn new(sink: &Arc<Script>) -> Self {
        Self::with(sink, settings(), None)
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

    fn with(sink: &Arc<Script>, settings: Settings, logs: Option<Logs>) -> Self {
        let (engine, shards) = Engine::new(settings, sink, &Metrics::new(&mut Registry::default()), logs);
        Self { engine, shards: shards.into_iter().map(Shard::run).collect() }
    }

    async fn accept(&self, project: ProjectId, count: usize) -> Vec<EventId> {
        let events: Vec<Event> = (0..count).map(|_| event(project)).collect();
        let ids = events.iter().map(|event| event.id).collect();
        self.engine.accept(project, events).await.unwrap();
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
        loop {
            let account = self.account(project).await;
            if account.buffered == 0 {
                return account;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
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
    crate::admission::admit(project, &crate::admission::Sent::Json(br#"{"message":"m"}"#), Utc::now())
        .unwrap()
}

fn ids(stored: &[(ProjectId, EventId)], project: ProjectId) -> Vec<EventId> {
    stored.iter().filter(|(of, _)| *of == project).map(|(_, id)| *id).collect()
}
