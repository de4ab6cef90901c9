//! The bound of the log on disk, over all projects.

use super::*;

/// Room for a dozen segments.
pub(super) fn bounded(when_full: WhenFull) -> Settings {
    Settings { log_bytes: 12 * u64::from(SMALL_SEGMENT), when_full, ..settings() }
}

/// What the files may have besides: a group begins when a segment is nearly full, and what is removed was carried before.
pub(super) const SLACK: usize = 4 * SMALL_SEGMENT as usize;

#[tokio::test(start_paused = true)]
async fn when_new_events_are_refused_none_is_dropped() {
    let (sink, disk) = (Script::closed(), Simulated::default());
    let bench = Bench::simulated(&sink, bounded(WhenFull::Reject), std::slice::from_ref(&disk));
    let projects = [ProjectId::new(), ProjectId::new()];
    let mut accepted = [0, 0];
    let refused = 'full: loop {
        for (project, accepted) in projects.iter().zip(&mut accepted) {
            match bench.engine.accepted(*project, vec![sized(*project, 200)]).await {
                Ok(()) => *accepted += 1,
                Err(error) => break 'full error,
            }
        }
    };
    assert_eq!(refused, EngineError::QuotaFull);
    assert!(disk.used() <= 12 * SMALL_SEGMENT as usize);
    assert!(disk.used() > 10 * SMALL_SEGMENT as usize);
    sink.permits.add_permits(Semaphore::MAX_PERMITS);
    for (project, accepted) in projects.into_iter().zip(accepted) {
        assert_eq!(bench.settled(project).await.stored, accepted);
    }
    assert_eq!(bench.engine.accepted(projects[0], vec![event(projects[0])]).await, Ok(()));
    bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_quiet_projects_few_events_survive_a_flood_of_another() {
    let (sink, disk) = (Script::closed(), Simulated::default());
    let bench = Bench::simulated(&sink, bounded(WhenFull::DropOldest), std::slice::from_ref(&disk));
    let [first, quiet, flood] = [(); 3].map(|()| ProjectId::new());
    // In flight all the while.
    bench.accept(first, 50).await;
    let mut sent = Vec::new();
    let mut last = None;
    for round in 0..400 {
        if round % 20 == 0 {
            sent.extend(bench.accept(quiet, 1).await);
        }
        let events: Vec<Event> = (0..5).map(|_| sized(flood, 200)).collect();
        last = events.last().map(|event| event.id);
        bench.engine.accepted(flood, events).await.unwrap();
        assert!(disk.used() <= 12 * SMALL_SEGMENT as usize + SLACK, "{}", disk.used());
    }
    let account = bench.account(quiet).await;
    assert_eq!((account.accepted, account.buffered), (20, 20), "nothing of it is dropped");
    let account = bench.account(flood).await;
    assert!(account.dropped(DropReason::BufferFull) > 1500, "{account:?}");
    assert!(account.buffered > 50, "{account:?}");
    let buffered = account.buffered;
    // Also those that were carried forward are found, once and in their order, whoever is killed.
    bench.kill().await;
    let sink = Script::open();
    let disk = disk.crash(&mut Choices(1));
    let bench = Bench::simulated(&sink, bounded(WhenFull::DropOldest), &[disk]);
    assert_eq!(bench.settled(quiet).await.accepted, 20);
    assert_eq!(ids(&sink.stored(), quiet), sent);
    let account = bench.settled(flood).await;
    assert!(account.accepted >= buffered, "{account:?}");
    assert_eq!(ids(&sink.stored(), flood).last().copied(), last);
    bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn among_equals_each_loses_its_oldest() {
    let (sink, disk) = (Script::closed(), Simulated::default());
    let bench = Bench::simulated(&sink, bounded(WhenFull::DropOldest), std::slice::from_ref(&disk));
    let first = ProjectId::new();
    bench.accept(first, 50).await;
    let projects: Vec<ProjectId> = (0..8).map(|_| ProjectId::new()).collect();
    for _ in 0..200 {
        for project in &projects {
            bench.engine.accepted(*project, vec![sized(*project, 200)]).await.unwrap();
            assert!(disk.used() <= 12 * SMALL_SEGMENT as usize + SLACK, "{}", disk.used());
        }
    }
    let mut left = Vec::new();
    for project in &projects {
        left.push(bench.account(*project).await.buffered);
    }
    let (least, most) = (left.iter().min().unwrap(), left.iter().max().unwrap());
    assert!(*least > 0 && most - least <= 8, "{left:?}");
    bench.kill().await;
}

#[tokio::test(start_paused = true)]
async fn dead_space_is_reclaimed_although_old_events_are_in_every_segment() {
    let (sink, disk) = (Script::open(), Simulated::default());
    let bench = Bench::simulated(&sink, bounded(WhenFull::Reject), std::slice::from_ref(&disk));
    let (stuck, busy) = (ProjectId::new(), ProjectId::new());
    let (mut sent, started) = (Vec::new(), Instant::now());
    for _ in 0..60 {
        // Keeps a part of each segment, while all of the other project is stored.
        let event = sized(stuck, 200);
        sink.broken.lock().unwrap().insert(event.id, "42501");
        sent.push(event.id);
        while bench.engine.accepted(stuck, vec![event.clone()]).await.is_err() {
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        for _ in 0..10 {
            let events: Vec<Event> = (0..5).map(|_| sized(busy, 200)).collect();
            // While all that could be carried forward is being tried again, there may be no room.
            while bench.engine.accepted(busy, events.clone()).await.is_err() {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
        bench.settled(busy).await;
        assert!(disk.used() <= 12 * SMALL_SEGMENT as usize + SLACK, "{}", disk.used());
    }
    assert_eq!(bench.account(stuck).await.buffered, 60);
    sink.broken.lock().unwrap().clear();
    assert_eq!(bench.settled(stuck).await.stored, 60);
    let stored: HashSet<EventId> = ids(&sink.stored(), stuck).into_iter().collect();
    assert_eq!(stored, sent.into_iter().collect());
    assert!(started.elapsed() < Duration::from_mins(10));
    bench.close().await;
    assert_eq!(disk.used(), 0);
}
