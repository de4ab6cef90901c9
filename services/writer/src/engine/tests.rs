//! The engine under a paused clock, against a sink that does as it is told.

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

#[tokio::test(start_paused = true)]
async fn the_fiftieth_event_flushes_at_once() {
    let (sink, project) = (Script::open(), ProjectId::new());
    let bench = Bench::new(&sink);
    let started = Instant::now();
    let mut sent = bench.accept(project, 49).await;
    assert_eq!(bench.account(project).await.buffered, 49);
    assert!(sink.stored().is_empty());
    sent.extend(bench.accept(project, 1).await);
    assert_eq!(bench.settled(project).await.stored, 50);
    assert_eq!(ids(&sink.stored(), project), sent, "in order");
    assert!(started.elapsed() < INTERVAL);
}

#[tokio::test(start_paused = true)]
async fn a_lone_event_is_flushed_when_the_interval_is_over() {
    let (sink, project) = (Script::open(), ProjectId::new());
    let bench = Bench::new(&sink);
    let started = Instant::now();
    bench.accept(project, 1).await;
    advance(Duration::from_secs(3)).await;
    bench.accept(project, 1).await;
    assert_eq!(bench.settled(project).await.stored, 2);
    assert_eq!(sink.times(), [started + INTERVAL], "counted from the first event, and both in one");
    // The timer is set anew for what comes later.
    let again = Instant::now();
    bench.accept(project, 1).await;
    bench.settled(project).await;
    assert_eq!(sink.times()[1], again + INTERVAL);
}

#[tokio::test(start_paused = true)]
async fn what_is_due_of_many_projects_goes_in_one_flush() {
    let sink = Script::closed();
    let bench = Bench::new(&sink);
    let projects: Vec<ProjectId> = (0..4).map(|_| ProjectId::new()).collect();
    for project in &projects {
        bench.accept(*project, 50).await;
    }
    sink.permits.add_permits(2);
    for project in &projects {
        bench.settled(*project).await;
    }
    let sizes: Vec<usize> = sink.batches.lock().unwrap().iter().map(|(_, batch)| batch.len()).collect();
    assert_eq!(sizes, [50, 150], "the first took off alone, the others waited for it together");
}

#[tokio::test(start_paused = true)]
async fn a_flood_in_one_project_does_not_starve_another() {
    let (sink, flood, quiet) = (Script::closed(), ProjectId::new(), ProjectId::new());
    let bench = Bench::new(&sink);
    bench.accept(flood, 500).await;
    bench.accept(quiet, 50).await;
    bench.accept(flood, 500).await;
    sink.permits.add_permits(2);
    assert_eq!(bench.settled(quiet).await.stored, 50);
    let batches = sink.batches.lock().unwrap();
    assert!(batches[0].1.len() <= 250, "the flood gets its share and no more");
    assert_eq!(ids(&batches[1].1, quiet).len(), 50);
}

#[tokio::test(start_paused = true)]
async fn past_the_bound_the_oldest_are_dropped_and_counted() {
    let (sink, project) = (Script::closed(), ProjectId::new());
    let bench = Bench::new(&sink);
    let sent = bench.accept(project, 40).await;
    let more = bench.accept(project, 560).await;
    let account = bench.account(project).await;
    assert_eq!((account.accepted, account.buffered), (600, 500));
    assert_eq!(account.dropped(DropReason::BufferFull), 100);
    sink.permits.add_permits(Semaphore::MAX_PERMITS);
    bench.settled(project).await;
    let stored = ids(&sink.stored(), project);
    assert!(sent.iter().all(|id| !stored.contains(id)), "the oldest went");
    assert_eq!(stored.last(), more.last(), "the freshest stayed");
}

#[tokio::test(start_paused = true)]
async fn what_is_in_flight_counts_against_the_bound() {
    let (sink, project) = (Script::closed(), ProjectId::new());
    let bench = Bench::new(&sink);
    bench.accept(project, 500).await;
    // 250 are in flight now; of those that wait, the oldest make room.
    tokio::task::yield_now().await;
    bench.accept(project, 100).await;
    let account = bench.account(project).await;
    assert_eq!((account.buffered, account.dropped(DropReason::BufferFull)), (500, 100));
    sink.permits.add_permits(Semaphore::MAX_PERMITS);
    assert_eq!(bench.settled(project).await.stored, 500);
}

#[tokio::test(start_paused = true)]
async fn a_failed_flush_is_tried_after_100_and_500_ms_and_then_dropped() {
    let (sink, project) = (Script::open(), ProjectId::new());
    let bench = Bench::new(&sink);
    let started = Instant::now();
    sink.fail(2);
    bench.accept(project, 50).await;
    assert_eq!(bench.settled(project).await.stored, 50);
    assert_eq!(sink.times(), [started + Duration::from_millis(600)]);

    sink.fail(3);
    bench.accept(project, 50).await;
    let account = bench.settled(project).await;
    assert_eq!((account.stored, account.dropped(DropReason::DatabaseFailed)), (50, 50));
    // The next batch finds the database again.
    bench.accept(project, 50).await;
    assert_eq!(bench.settled(project).await.stored, 100);
}

#[tokio::test(start_paused = true)]
async fn a_bad_event_goes_to_the_dead_letters_alone() {
    let (sink, project) = (Script::open(), ProjectId::new());
    let bench = Bench::new(&sink);
    let events: Vec<Event> = (0..50).map(|_| event(project)).collect();
    let bad = [events[0].id, events[17].id, events[49].id];
    sink.poison.lock().unwrap().extend(bad);
    bench.engine.accept(project, events).await.unwrap();
    let account = bench.settled(project).await;
    assert_eq!((account.stored, account.dead_lettered), (47, 3));
    assert_eq!(*sink.dead.lock().unwrap(), bad);
}

#[tokio::test(start_paused = true)]
async fn a_flush_answers_when_all_that_was_accepted_before_is_stored() {
    let (sink, project) = (Script::closed(), ProjectId::new());
    let bench = Bench::new(&sink);
    assert_eq!(bench.engine.flush(project).await, Ok(0), "nothing waits");
    bench.accept(project, 50).await;
    bench.accept(project, 7).await;
    let engine = bench.engine.clone();
    let flush = tokio::spawn(async move { engine.flush(project).await });
    tokio::task::yield_now().await;
    bench.accept(project, 3).await;
    sink.permits.add_permits(1);
    while bench.account(project).await.stored < 50 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(!flush.is_finished(), "seven are not stored yet");
    sink.permits.add_permits(1);
    assert_eq!(flush.await.unwrap(), Ok(57), "what came after the call does not count");
}

#[tokio::test(start_paused = true)]
async fn a_flush_that_the_database_refuses_says_so() {
    let (sink, project) = (Script::open(), ProjectId::new());
    let bench = Bench::new(&sink);
    sink.fail(3);
    bench.accept(project, 5).await;
    assert_eq!(bench.engine.flush(project).await, Err(EngineError::FlushFailed));
}

#[tokio::test(start_paused = true)]
async fn closing_stores_what_waits_and_refuses_what_comes() {
    let (sink, projects) = (Script::open(), [ProjectId::new(), ProjectId::new()]);
    let bench = Bench::new(&sink);
    for project in projects {
        bench.accept(project, 3).await;
    }
    let engine = bench.engine.clone();
    bench.close().await;
    assert_eq!(sink.stored().len(), 6);
    assert_eq!(engine.accept(projects[0], vec![event(projects[0])]).await, Err(EngineError::Closing));
    assert_eq!(engine.flush(projects[0]).await, Err(EngineError::Closing));
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_is_counted_and_not_accepted() {
    let (sink, project) = (Script::open(), ProjectId::new());
    let bench = Bench::new(&sink);
    bench.engine.refuse(project, 4).await.unwrap();
    let account = bench.account(project).await;
    assert_eq!((account.accepted, account.refused), (0, 4));
}

#[test]
fn every_end_moves_an_event_out_of_the_buffer() {
    let mut account = Account::default();
    account.accept(3);
    account.settle(Settled::Stored);
    account.settle(Settled::DeadLettered);
    account.settle(Settled::Dropped(DropReason::Duplicate));
    assert_eq!((account.buffered, account.stored, account.dead_lettered), (0, 1, 1));
    assert_eq!(account.dropped(DropReason::Duplicate), 1);
}

#[tokio::test(start_paused = true)]
async fn with_a_log_more_than_memory_holds_waits_on_disk_and_is_stored_in_order() {
    let (sink, project, directory) = (Script::closed(), ProjectId::new(), ScratchDir::new());
    let bench = Bench::on_disk(&sink, settings(), &directory);
    let mut sent = Vec::new();
    for _ in 0..20 {
        sent.extend(bench.accept(project, 100).await);
    }
    let account = bench.account(project).await;
    assert_eq!((account.accepted, account.buffered), (2000, 2000), "nothing is dropped");
    sink.permits.add_permits(Semaphore::MAX_PERMITS);
    assert_eq!(bench.settled(project).await.stored, 2000);
    assert_eq!(ids(&sink.stored(), project), sent);
    bench.close().await;
    let left = Logs::open(directory.path(), 1, SMALL_SEGMENT).unwrap();
    assert!(left.shards[0].segments.is_empty(), "all is settled, and nothing is left");
}

#[tokio::test(start_paused = true)]
async fn what_was_acknowledged_survives_the_engine_and_a_change_of_its_shards() {
    let (sink, directory) = (Script::closed(), ScratchDir::new());
    let projects: Vec<ProjectId> = (0..8).map(|_| ProjectId::new()).collect();
    let bench = Bench::on_disk(&sink, Settings { shards: 3, ..settings() }, &directory);
    let mut sent = Vec::new();
    for project in &projects {
        sent.push(bench.accept(*project, 60).await);
    }
    bench.kill().await;
    for shards in [1, 4] {
        // It is killed again before it stores anything.
        let bench = Bench::on_disk(&sink, Settings { shards, ..settings() }, &directory);
        assert_eq!(bench.account(projects[0]).await.buffered, 60);
        bench.kill().await;
    }
    let sink = Script::open();
    let bench = Bench::on_disk(&sink, Settings { shards: 2, ..settings() }, &directory);
    for (project, sent) in projects.iter().zip(&sent) {
        assert_eq!(bench.settled(*project).await.stored, 60);
        assert_eq!(&ids(&sink.stored(), *project), sent);
    }
    bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn with_a_log_a_flush_is_tried_for_as_long_as_it_takes() {
    let (sink, project, directory) = (Script::open(), ProjectId::new(), ScratchDir::new());
    let bench = Bench::on_disk(&sink, settings(), &directory);
    sink.fail(100);
    bench.accept(project, 50).await;
    let account = bench.settled(project).await;
    assert_eq!((account.stored, account.accepted), (50, 50));
    bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn what_the_database_does_not_take_in_before_the_end_is_left_to_the_log() {
    let (sink, project, directory) = (Script::open(), ProjectId::new(), ScratchDir::new());
    let bench = Bench::on_disk(&sink, settings(), &directory);
    sink.fail(usize::MAX >> 40);
    let sent = bench.accept(project, 70).await;
    bench.close().await;
    assert!(sink.stored().is_empty());
    let sink = Script::open();
    let bench = Bench::on_disk(&sink, settings(), &directory);
    assert_eq!(bench.settled(project).await.stored, 70);
    assert_eq!(ids(&sink.stored(), project), sent);
    bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn at_the_quota_events_are_refused_or_the_oldest_dropped() {
    let (project, directory) = (ProjectId::new(), ScratchDir::new());
    let small = Settings { quota_events: 100, buffer_events: 20, ..settings() };
    let bench = Bench::on_disk(&Script::closed(), small, &directory);
    bench.accept(project, 95).await;
    let more = |count| (0..count).map(|_| event(project)).collect::<Vec<_>>();
    assert_eq!(bench.engine.accept(project, more(6)).await, Err(EngineError::QuotaFull));
    assert_eq!(bench.engine.accept(project, more(5)).await, Ok(()));
    let account = bench.account(project).await;
    assert_eq!((account.accepted, account.refused), (100, 6));
    bench.kill().await;

    let other = ScratchDir::new();
    let sink = Script::closed();
    let dropping = Settings { when_full: WhenFull::DropOldest, ..small };
    let bench = Bench::on_disk(&sink, dropping, &other);
    bench.accept(project, 90).await;
    let last = bench.accept(project, 60).await;
    let account = bench.account(project).await;
    assert_eq!((account.buffered, account.dropped(DropReason::BufferFull)), (100, 50));
    sink.permits.add_permits(Semaphore::MAX_PERMITS);
    bench.settled(project).await;
    assert_eq!(ids(&sink.stored(), project).last(), last.last());
    bench.close().await;
}

#[tokio::test]
async fn a_second_writer_on_the_same_log_is_refused() {
    let directory = ScratchDir::new();
    let first = Logs::open(directory.path(), 1, SMALL_SEGMENT).unwrap();
    let error = Logs::open(directory.path(), 1, SMALL_SEGMENT).unwrap_err();
    assert!(matches!(error, LogsError::InUse(_)), "{error}");
    drop(first);
    Logs::open(directory.path(), 1, SMALL_SEGMENT).unwrap();
}

#[tokio::test(start_paused = true)]
async fn segments_are_removed_as_soon_as_all_in_them_is_settled() {
    let (sink, project, directory) = (Script::open(), ProjectId::new(), ScratchDir::new());
    let bench = Bench::on_disk(&sink, settings(), &directory);
    for _ in 0..30 {
        bench.accept(project, 50).await;
    }
    bench.settled(project).await;
    // Without anything new to commit.
    while segments_left(&directory) > 1 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(bench.account(project).await.stored, 1500);
    bench.close().await;
    assert_eq!(segments_left(&directory), 0);
}

fn segments_left(directory: &ScratchDir) -> usize {
    std::fs::read_dir(directory.join("shard-0")).unwrap().count()
}

#[tokio::test(start_paused = true)]
async fn the_end_does_not_wait_for_a_database_that_hangs() {
    let (sink, project, directory) = (Script::closed(), ProjectId::new(), ScratchDir::new());
    let bench = Bench::on_disk(&sink, settings(), &directory);
    bench.accept(project, 300).await;
    let started = Instant::now();
    bench.close().await;
    assert!(started.elapsed() < Duration::from_secs(10));
    assert!(segments_left(&directory) > 0);
    let bench = Bench::on_disk(&Script::open(), settings(), &directory);
    assert_eq!(bench.settled(project).await.stored, 300);
    bench.close().await;
}
