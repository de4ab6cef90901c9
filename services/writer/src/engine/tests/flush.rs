//! What a batch is tried again, halved, refused or put back for.

use super::*;

fn fifty(project: ProjectId) -> Vec<Event> {
    (0..50).map(|_| event(project)).collect()
}

#[tokio::test(start_paused = true)]
async fn an_event_that_fails_alone_while_others_are_stored_is_refused_for_itself() {
    for sqlstate in ["XX000", "XX001", "57014", "0A000"] {
        let (sink, project, disk) = (Script::open(), ProjectId::new(), Simulated::default());
        let bench = Bench::simulated(&sink, settings(), std::slice::from_ref(&disk));
        let events = fifty(project);
        let bad = [events[0].id, events[17].id];
        sink.broken.lock().unwrap().extend(bad.map(|id| (id, sqlstate)));
        bench.engine.accepted(project, events).await.unwrap();
        let account = bench.settled(project).await;
        assert_eq!((account.stored, account.dead_lettered), (48, 2), "{sqlstate}");
        assert_eq!(*sink.dead.lock().unwrap(), bad.map(|id| (id, sqlstate.to_owned())));
        bench.close().await;
        assert_eq!(disk.names(), Vec::<String>::new(), "nothing is left in the log");
    }
}

#[tokio::test(start_paused = true)]
async fn what_says_nothing_about_a_row_is_put_back_and_the_others_go_on() {
    let (sink, project, disk) = (Script::open(), ProjectId::new(), Simulated::default());
    let bench = Bench::simulated(&sink, settings(), &[disk]);
    let events = fifty(project);
    let late = events[17].id;
    sink.broken.lock().unwrap().insert(late, "42501");
    bench.engine.accepted(project, events).await.unwrap();
    while bench.account(project).await.stored < 49 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // The shard goes on with others, of this project and of another.
    let other = ProjectId::new();
    let started = Instant::now();
    for project in [project, other] {
        bench.accept(project, 50).await;
    }
    assert_eq!(bench.settled(other).await.stored, 50);
    while bench.account(project).await.stored < 99 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    assert!(started.elapsed() < Duration::from_secs(5));
    // However long it takes, it is not refused.
    tokio::time::sleep(Duration::from_mins(10)).await;
    let account = bench.account(project).await;
    assert_eq!((account.stored, account.buffered, account.dead_lettered), (99, 1, 0));
    sink.broken.lock().unwrap().clear();
    assert_eq!(bench.settled(project).await.stored, 100);
    assert_eq!(ids(&sink.stored(), project).last(), Some(&late));
    bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_lock_is_put_back_and_is_not_waited_for_again_and_again() {
    let (sink, project, disk) = (Script::open(), ProjectId::new(), Simulated::default());
    let bench = Bench::simulated(&sink, settings(), &[disk]);
    let events = fifty(project);
    let locked = [events[3].id, events[40].id];
    sink.broken.lock().unwrap().extend(locked.map(|id| (id, "55P03")));
    bench.engine.accepted(project, events).await.unwrap();
    while bench.account(project).await.stored < 48 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // The whole three times, and then each part once: five halvings down to each of the two, and four siblings that are stored.
    assert_eq!(*sink.tries.lock().unwrap(), 3 + 2 * (5 + 4));
    tokio::time::sleep(Duration::from_mins(10)).await;
    let account = bench.account(project).await;
    assert_eq!((account.stored, account.buffered, account.dead_lettered), (48, 2, 0));
    sink.broken.lock().unwrap().clear();
    assert_eq!(bench.settled(project).await.stored, 50);
    bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn while_nothing_is_stored_nothing_is_refused_and_no_batch_is_tried_to_pieces() {
    for sqlstate in ["XX000", "57014", "42501", "55P03"] {
        let (sink, project, disk) = (Script::open(), ProjectId::new(), Simulated::default());
        let bench = Bench::simulated(&sink, settings(), &[disk]);
        sink.fail_with(sqlstate, 100_000);
        let sent = bench.accept(project, 400).await;
        tokio::time::sleep(Duration::from_mins(10)).await;
        assert!(sink.dead.lock().unwrap().is_empty(), "{sqlstate}");
        let tries = *sink.tries.lock().unwrap();
        assert!(tries < 20 * 60, "{tries} tries in ten minutes");
        sink.succeed();
        let started = Instant::now();
        assert_eq!(bench.settled(project).await.stored, 400);
        assert!(started.elapsed() < Duration::from_secs(40), "{sqlstate}");
        let stored: HashSet<EventId> = ids(&sink.stored(), project).into_iter().collect();
        assert_eq!(stored, sent.into_iter().collect());
        bench.close().await;
    }
}

#[tokio::test(start_paused = true)]
async fn many_bad_events_together_do_not_keep_out_the_others() {
    let (sink, project, disk) = (Script::open(), ProjectId::new(), Simulated::default());
    let bench = Bench::simulated(&sink, settings(), &[disk]);
    let events: Vec<Event> = (0..200).map(|_| event(project)).collect();
    sink.broken.lock().unwrap().extend(events[..60].iter().map(|event| (event.id, "XX000")));
    bench.engine.accepted(project, events).await.unwrap();
    while bench.account(project).await.stored < 140 {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // The bad ones among them show when others are stored with them.
    let mut others = 0;
    while bench.account(project).await.buffered > 0 {
        bench.accept(project, 1).await;
        others += 1;
        assert!(others < 100, "{:?}", bench.account(project).await);
        tokio::time::sleep(Duration::from_secs(40)).await;
    }
    assert_eq!(bench.account(project).await.dead_lettered, 60);
    bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_reason_that_goes_away_while_a_batch_is_halved_costs_no_event() {
    let (sink, project, disk) = (Script::open(), ProjectId::new(), Simulated::default());
    let bench = Bench::simulated(&sink, settings(), &[disk]);
    // The first events fail alone, the others are stored.
    sink.fail_with("57014", 10);
    bench.accept(project, 50).await;
    let account = bench.settled(project).await;
    assert_eq!((account.stored, account.dead_lettered), (50, 0));
    bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_the_databases_own_business_keeps_a_batch_whole() {
    for sqlstate in ["08006", "25006", "28000", "40001", "53100", "55006", "57P01", "58030"] {
        let (sink, project, disk) = (Script::open(), ProjectId::new(), Simulated::default());
        let bench = Bench::simulated(&sink, settings(), &[disk]);
        sink.fail_with(sqlstate, 30);
        bench.accept(project, 50).await;
        assert_eq!(bench.settled(project).await.stored, 50);
        assert_eq!((*sink.tries.lock().unwrap(), sink.times().len()), (31, 1), "{sqlstate}");
        bench.close().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_flush_says_at_once_when_an_event_is_put_back_and_has_it_tried_again() {
    let (sink, project, disk) = (Script::open(), ProjectId::new(), Simulated::default());
    let bench = Bench::simulated(&sink, settings(), &[disk]);
    sink.fail_with("42501", 100_000);
    bench.accept(project, 3).await;
    assert_eq!(bench.engine.flush(project).await, Err(EngineError::FlushFailed));
    assert_eq!(bench.engine.flush(project).await, Err(EngineError::FlushFailed));
    sink.succeed();
    let started = Instant::now();
    assert_eq!(bench.engine.flush(project).await, Ok(3));
    assert!(started.elapsed() < Duration::from_millis(100), "it does not wait for the next try");
    bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn what_was_put_back_is_left_to_the_log_at_the_end() {
    let (sink, project, disk) = (Script::open(), ProjectId::new(), Simulated::default());
    let bench = Bench::simulated(&sink, settings(), std::slice::from_ref(&disk));
    sink.fail_with("42501", 100_000);
    bench.accept(project, 70).await;
    tokio::time::sleep(Duration::from_mins(1)).await;
    bench.close().await;
    let sink = Script::open();
    let bench = Bench::simulated(&sink, settings(), &[disk.kill()]);
    assert_eq!(bench.settled(project).await.stored, 70);
    bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn without_a_log_the_others_of_a_bad_event_are_stored_and_the_rest_is_dropped() {
    let (sink, project) = (Script::open(), ProjectId::new());
    let bench = Bench::new(&sink);
    let events = fifty(project);
    sink.broken.lock().unwrap().extend([(events[3].id, "XX000"), (events[4].id, "42501")]);
    bench.engine.accepted(project, events).await.unwrap();
    let account = bench.settled(project).await;
    assert_eq!((account.stored, account.dead_lettered), (48, 1));
    assert_eq!(account.dropped(DropReason::DatabaseFailed), 1);
}

#[tokio::test(start_paused = true)]
async fn a_dead_letter_that_cannot_be_kept_holds_nobody_up() {
    let (sink, project, disk) = (Script::open(), ProjectId::new(), Simulated::default());
    let bench = Bench::simulated(&sink, settings(), &[disk]);
    *sink.dead_fails.lock().unwrap() = Some("42501");
    let events = fifty(project);
    let bad = events[7].id;
    sink.poison.lock().unwrap().insert(bad);
    bench.engine.accepted(project, events).await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let account = bench.account(project).await;
    assert_eq!((account.stored, account.buffered), (49, 1));
    // Nor is it forgotten.
    *sink.dead_fails.lock().unwrap() = None;
    assert_eq!(bench.settled(project).await.dead_lettered, 1);
    assert_eq!(*sink.dead.lock().unwrap(), [(bad, "22000".to_owned())]);
    bench.close().await;
}
