//! Blocks that a disk does not give.

use super::{
    bound::{SLACK, bounded},
    damage::{file, records},
    *,
};

#[tokio::test(start_paused = true)]
async fn what_cannot_be_read_keeps_nothing_else_from_being_stored_and_is_stored_when_it_can_be() {
    let (sink, disk) = (Script::closed(), Simulated::default());
    let few_in_memory = Settings { buffer_events: 20, ..settings() };
    let bench = Bench::simulated(&sink, few_in_memory, std::slice::from_ref(&disk));
    let (project, other) = (ProjectId::new(), ProjectId::new());
    let sent = bench.accept(project, 60).await;
    let name = disk.names().into_iter().find(|name| name.starts_with("0000")).unwrap();
    // In the midst of those that are only in the log.
    let middle = disk.content(&name).iter().rposition(|byte| *byte != 0).unwrap() * 2 / 3;
    disk.make_unreadable(&name, middle..middle + 1);
    sink.permits.add_permits(Semaphore::MAX_PERMITS);
    let waiting = loop {
        let account = bench.account(project).await;
        assert_eq!(account.dropped(DropReason::LogDamaged), 0);
        if account.stored + account.buffered == 60 && (1..=3).contains(&account.buffered) {
            break account.buffered;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    };
    // The shard goes on, and whoever waits for all is told.
    bench.accept(other, 50).await;
    assert_eq!(bench.settled(other).await.stored, 50);
    assert_eq!(bench.engine.flush(project).await, Err(EngineError::FlushFailed));
    tokio::time::sleep(Duration::from_mins(10)).await;
    assert_eq!(bench.account(project).await.buffered, waiting);
    disk.make_readable();
    assert_eq!(bench.settled(project).await.stored, 60);
    let stored: HashSet<EventId> = ids(&sink.stored(), project).into_iter().collect();
    assert_eq!(stored, sent.into_iter().collect());
    bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_segment_that_cannot_be_read_does_not_keep_the_others_from_being_emptied() {
    let (sink, disk) = (Script::closed(), Simulated::default());
    let few_in_memory = Settings { buffer_events: 2, ..bounded(WhenFull::DropOldest) };
    let bench = Bench::simulated(&sink, few_in_memory, std::slice::from_ref(&disk));
    let [first, quiet, flood] = [(); 3].map(|()| ProjectId::new());
    // In flight all the while.
    bench.accept(first, 50).await;
    bench.accept(flood, 50).await;
    let sent = bench.accept(quiet, 5).await;
    let unreadable = records(&disk)[50 + 50 + 3];
    let middle = (unreadable.offset + unreadable.length / 2) as usize;
    disk.make_unreadable(&file(unreadable), middle..middle + 1);
    for _ in 0..2000 {
        bench.engine.accepted(flood, vec![sized(flood, 200)]).await.unwrap();
        assert!(disk.used() <= 12 * SMALL_SEGMENT as usize + SLACK, "{}", disk.used());
    }
    let account = bench.account(flood).await;
    assert!(account.buffered > 50, "{account:?}");
    assert_eq!(bench.account(quiet).await.buffered, 5);
    disk.make_readable();
    sink.permits.add_permits(Semaphore::MAX_PERMITS);
    assert_eq!(bench.settled(quiet).await.stored, 5);
    assert_eq!(ids(&sink.stored(), quiet), sent);
    bench.settled(flood).await;
    bench.close().await;
    assert_eq!(disk.used(), 0);
}

#[tokio::test(start_paused = true)]
async fn dead_space_is_reclaimed_beside_a_segment_that_cannot_be_read_and_in_it_when_it_can() {
    let (sink, disk) = (Script::open(), Simulated::default());
    let bench = Bench::simulated(&sink, bounded(WhenFull::Reject), std::slice::from_ref(&disk));
    let (stuck, busy, started) = (ProjectId::new(), ProjectId::new(), Instant::now());
    let fill_up = async || {
        // Keeps a part of each segment, while all of the other project is stored.
        let event = sized(stuck, 200);
        sink.broken.lock().unwrap().insert(event.id, "42501");
        while bench.engine.accepted(stuck, vec![event.clone()]).await.is_err() {
            assert!(started.elapsed() < Duration::from_mins(30), "no room is made");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        for _ in 0..10 {
            let events: Vec<Event> = (0..5).map(|_| sized(busy, 200)).collect();
            // While all that could be carried forward is being tried again, there may be no room.
            while bench.engine.accepted(busy, events.clone()).await.is_err() {
                assert!(started.elapsed() < Duration::from_mins(30), "no room is made");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
        bench.settled(busy).await;
        assert!(disk.used() <= 12 * SMALL_SEGMENT as usize + SLACK, "{}", disk.used());
    };
    fill_up().await;
    let first = records(&disk)[0];
    let middle = (first.offset + first.length / 2) as usize;
    disk.make_unreadable(&file(first), middle..middle + 1);
    for _ in 0..60 {
        fill_up().await;
    }
    assert_eq!(bench.account(stuck).await.buffered, 61);
    assert!(disk.names().contains(&file(first)));
    disk.make_readable();
    // It is not looked at again at once.
    tokio::time::sleep(Duration::from_mins(2)).await;
    while disk.names().contains(&file(first)) {
        assert!(started.elapsed() < Duration::from_mins(30), "it is not emptied");
        fill_up().await;
    }
    sink.broken.lock().unwrap().clear();
    let account = bench.settled(stuck).await;
    assert_eq!(account.stored, account.accepted);
    bench.close().await;
    assert_eq!(disk.used(), 0);
}

#[tokio::test(start_paused = true)]
async fn while_nothing_can_be_read_nothing_is_dropped_for_what_would_have_to_be() {
    for is_bad_block in [false, true] {
        let (sink, disk) = (Script::closed(), Simulated::default());
        let few_in_memory = Settings { buffer_events: 2, ..bounded(WhenFull::DropOldest) };
        let bench = Bench::simulated(&sink, few_in_memory, std::slice::from_ref(&disk));
        let [first, quiet, flood] = [(); 3].map(|()| ProjectId::new());
        // In flight all the while.
        bench.accept(first, 50).await;
        let mut sent = 0;
        // Some of it is in each segment.
        let fill_up = async || {
            let quiets = bench.engine.accepted(quiet, vec![sized(quiet, 200)]).await;
            let floods: Vec<Event> = (0..3).map(|_| sized(flood, 800)).collect();
            let floods = bench.engine.accepted(flood, floods).await;
            (u64::from(quiets.is_ok()), floods.is_ok())
        };
        while disk.used() < 10 * SMALL_SEGMENT as usize {
            sent += fill_up().await.0;
        }
        if is_bad_block {
            for name in disk.names() {
                disk.make_unreadable(&name, 0..disk.content(&name).len());
            }
        } else {
            disk.fail(Call::Look);
        }
        let before = bench.account(flood).await.dropped(DropReason::BufferFull);
        let mut refused = 0;
        for _ in 0..200 {
            let (quiets, floods) = fill_up().await;
            sent += quiets;
            refused += u64::from(!floods);
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        assert!(refused > 100, "{refused}");
        assert_eq!(bench.account(flood).await.dropped(DropReason::BufferFull), before);
        disk.heal();
        disk.make_readable();
        sink.permits.add_permits(Semaphore::MAX_PERMITS);
        assert_eq!(bench.settled(quiet).await.stored, sent);
        bench.settled(flood).await;
        bench.close().await;
        assert_eq!(disk.used(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn at_the_end_the_others_are_stored_and_what_cannot_be_read_is_left() {
    let (sink, disk) = (Script::closed(), Simulated::default());
    let few_in_memory = Settings { buffer_events: 10, ..settings() };
    let bench = Bench::simulated(&sink, few_in_memory, std::slice::from_ref(&disk));
    let (project, other) = (ProjectId::new(), ProjectId::new());
    bench.accept(project, 60).await;
    bench.accept(other, 300).await;
    let hidden = records(&disk)[30];
    let middle = (hidden.offset + hidden.length / 2) as usize;
    disk.make_unreadable(&file(hidden), middle..middle + 1);
    let flush = tokio::spawn({
        let engine = bench.engine.clone();
        async move { engine.flush(project).await }
    });
    tokio::task::yield_now().await;
    bench.engine.close();
    sink.permits.add_permits(Semaphore::MAX_PERMITS);
    bench.close().await;
    assert_eq!(flush.await.unwrap(), Err(EngineError::FlushFailed));
    let stored = sink.stored().len();
    assert!((357..360).contains(&stored), "{stored}");
    let disk = disk.kill();
    disk.make_readable();
    let bench = Bench::simulated(&sink, settings(), std::slice::from_ref(&disk));
    assert_eq!(bench.settled(project).await.stored, 360 - count(stored));
    bench.close().await;
    assert_eq!(sink.stored().len(), 360);
}
