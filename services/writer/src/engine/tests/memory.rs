//! When what is flushed, in memory mode.

use super::*;

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
async fn flushes_in_flight_together_are_of_different_projects() {
    let sink = Script::closed();
    let settings = Settings { flights: 2, buffer_events: 1000, ..settings() };
    let bench = Bench::with(&sink, settings, None::<Logs>);
    let [busy, other, third] = [(); 3].map(|()| ProjectId::new());
    // The second flush is full, and waits for nobody.
    for (project, count) in [(busy, 50), (busy, 50), (other, 500), (third, 50)] {
        bench.accept(project, count).await;
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let begun: Vec<usize> = sink.begun.lock().unwrap().iter().map(|(_, events)| *events).collect();
    assert_eq!(begun, [50, 500]);
    sink.permits.add_permits(2);
    bench.settled(other).await;
    let flown = |project| -> Vec<usize> {
        let batches = sink.batches.lock().unwrap();
        batches.iter().map(|(_, batch)| ids(batch, project).len()).collect()
    };
    assert_eq!(flown(busy).iter().sum::<usize>(), 50, "the rest waits for the first flush of its project");
    assert_eq!(flown(third).iter().sum::<usize>(), 0, "two are in flight");
    sink.permits.add_permits(2);
    for project in [busy, third] {
        bench.settled(project).await;
    }
    assert_eq!((flown(busy).iter().sum::<usize>(), flown(third).iter().sum::<usize>()), (100, 50));
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
async fn a_bad_event_goes_to_the_dead_letters_alone() {
    let (sink, project) = (Script::open(), ProjectId::new());
    let bench = Bench::new(&sink);
    let events: Vec<Event> = (0..50).map(|_| event(project)).collect();
    let bad = [events[0].id, events[17].id, events[49].id];
    sink.poison.lock().unwrap().extend(bad);
    bench.engine.accepted(project, events).await.unwrap();
    let account = bench.settled(project).await;
    assert_eq!((account.stored, account.dead_lettered), (47, 3));
    assert_eq!(*sink.dead.lock().unwrap(), bad.map(|id| (id, "22000".to_owned())));
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
