//! How much a project, and all of them, may hold.

use super::*;

/// A hundred times this is more than anything here holds.
const EVENT: usize = 20_000;

fn size(project: ProjectId) -> u64 {
    count(sized(project, EVENT).record().length())
}

/// Accepts so many large events, and gives the ids of the last `kept`.
async fn accept(bench: &Bench, project: ProjectId, events: usize, kept: usize) -> Vec<EventId> {
    let mut ids = Vec::new();
    for _ in 0..events {
        let event = sized(project, EVENT);
        ids.push(event.id);
        bench.engine.accepted(project, vec![event]).await.unwrap();
    }
    ids.split_off(events - kept)
}

/// Room for a little more than ten large events, and nothing that flushes before the time.
fn of_bytes(project: ProjectId, when_full: WhenFull) -> Settings {
    Settings { quota_bytes: size(project) * 21 / 2, when_full, ..settings() }
}

#[tokio::test(start_paused = true)]
async fn at_the_quota_of_bytes_events_are_refused() {
    let (sink, project) = (Script::closed(), ProjectId::new());
    let disks = [Simulated::default()];
    let bench = Bench::simulated(&sink, of_bytes(project, WhenFull::Reject), &disks);
    accept(&bench, project, 10, 0).await;
    let more = bench.engine.accepted(project, vec![sized(project, EVENT)]).await;
    assert_eq!(more, Err(EngineError::QuotaFull));
    let account = bench.account(project).await;
    assert_eq!((account.accepted, account.refused_for(RefuseReason::QuotaFull)), (10, 1));
    // What is stored makes room.
    sink.permits.add_permits(Semaphore::MAX_PERMITS);
    bench.settled(project).await;
    accept(&bench, project, 10, 0).await;
    bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn at_the_quota_of_bytes_the_oldest_are_dropped_with_a_log_and_without() {
    for with_log in [true, false] {
        let (sink, project) = (Script::closed(), ProjectId::new());
        let settings = of_bytes(project, WhenFull::DropOldest);
        let bench = if with_log {
            Bench::simulated(&sink, settings, &[Simulated::default()])
        } else {
            Bench::with(&sink, settings, None::<Logs>)
        };
        let last = accept(&bench, project, 40, 10).await;
        let account = bench.account(project).await;
        assert_eq!((account.buffered, account.dropped(DropReason::BufferFull)), (10, 30), "{with_log}");
        sink.permits.add_permits(Semaphore::MAX_PERMITS);
        bench.settled(project).await;
        assert_eq!(ids(&sink.stored(), project), last, "{with_log}");
        bench.close().await;
    }
}

#[tokio::test(start_paused = true)]
async fn past_the_bound_of_memory_a_flood_loses_its_own_oldest() {
    const FLOODS: usize = 40;
    let (sink, quiet) = (Script::closed(), ProjectId::new());
    let settings = Settings { memory_bytes: 1, ..settings() };
    let bench = Bench::with(&sink, settings, None::<Logs>);
    let mut left = accept(&bench, quiet, 3, 3).await;
    let mut buffered = 0;
    for _ in 0..FLOODS {
        let flood = ProjectId::new();
        // Not enough to be flushed.
        accept(&bench, flood, 40, 0).await;
        buffered += bench.account(flood).await.buffered;
    }
    assert!(buffered < 40 * count(FLOODS), "{buffered}");
    let held = bench.shards.len() * usize::try_from(MIN_MEMORY).unwrap();
    assert!(buffered * size(quiet) > count(held) / 2, "{buffered}: no more is dropped than has to be");
    let account = bench.account(quiet).await;
    assert_eq!((account.accepted, account.buffered), (3, 3));
    sink.permits.add_permits(Semaphore::MAX_PERMITS);
    bench.settled(quiet).await;
    left.sort_unstable();
    let mut stored = ids(&sink.stored(), quiet);
    stored.sort_unstable();
    assert_eq!(stored, left);
}

#[tokio::test(start_paused = true)]
async fn without_a_log_a_buffer_is_flushed_before_it_is_full_whatever_is_worth_a_flush() {
    let (sink, project) = (Script::open(), ProjectId::new());
    let settings = Settings { flush_events: 1000, ..settings() };
    let bench = Bench::with(&sink, settings, None::<Logs>);
    let started = Instant::now();
    for _ in 0..30 {
        bench.accept(project, 100).await;
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(started.elapsed() < INTERVAL);
    assert_eq!(bench.settled(project).await.dropped(DropReason::BufferFull), 0);
}

#[tokio::test(start_paused = true)]
async fn what_is_refused_before_it_waits_for_a_shard_is_counted_at_once() {
    let (sink, project) = (Script::open(), ProjectId::new());
    let (engine, shards) =
        Engine::new(settings(), &sink, &Metrics::new(&mut Registry::default()), None::<Logs>);
    // Its shard is not run: the queue is full.
    let mut waiting = JoinSet::new();
    for _ in 0..=QUEUE {
        let engine = engine.clone();
        waiting.spawn(async move { engine.accepted(project, vec![event(project)]).await });
    }
    assert_eq!(waiting.join_next().await.unwrap().unwrap(), Err(EngineError::Overloaded));
    engine.refuse(project, RefuseReason::Invalid, 4);
    let bench = Bench { engine, shards: shards.into_iter().map(Shard::run).collect() };
    while let Some(result) = waiting.join_next().await {
        assert_eq!(result.unwrap(), Ok(()));
    }
    let account = bench.settled(project).await;
    assert_eq!((account.accepted, account.refused), (count(QUEUE), 5));
    let refused = [RefuseReason::Invalid, RefuseReason::Overloaded].map(|reason| account.refused_for(reason));
    assert_eq!(refused, [4, 1]);
}
