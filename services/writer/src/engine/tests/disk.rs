//! With a log on disk.

use super::*;

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
    assert_eq!(left.shards[0].segments.bytes(), 0, "all is settled, and nothing is left");
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
async fn an_event_that_comes_alone_is_acknowledged_at_once_and_no_crowd_waits_for_long() {
    let (sink, project) = (Script::closed(), ProjectId::new());
    let bench = Arc::new(Bench::simulated(&sink, settings(), &[Simulated::default()]));
    let started = Instant::now();
    for _ in 0..20 {
        bench.accept(project, 1).await;
    }
    assert_eq!(started.elapsed(), Duration::ZERO);
    let senders: JoinSet<()> = (0..20)
        .map(|_| {
            let bench = Arc::clone(&bench);
            async move {
                for _ in 0..10 {
                    bench.accept(project, 1).await;
                }
            }
        })
        .collect();
    senders.join_all().await;
    assert_eq!(bench.account(project).await.accepted, 220);
    assert!(started.elapsed() < Duration::from_millis(100), "{:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn what_was_settled_before_a_kill_is_not_stored_again() {
    let (sink, disk) = (Script::open(), Simulated::default());
    let (project, quiet) = (ProjectId::new(), ProjectId::new());
    let bench = Bench::simulated(&sink, settings(), std::slice::from_ref(&disk));
    // It is put back, and keeps the segment.
    let left = bench.accept(quiet, 1).await;
    sink.broken.lock().unwrap().insert(left[0], "42501");
    bench.accept(project, 50).await;
    assert_eq!(bench.settled(project).await.stored, 50);
    let noted = || disk.names().iter().any(|name| name.ends_with(".settled"));
    for _ in 0..1000 {
        if !noted() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
    assert!(noted());
    bench.kill().await;
    let sink = Script::open();
    let disk = disk.kill();
    let bench = Bench::simulated(&sink, settings(), std::slice::from_ref(&disk));
    assert_eq!(bench.account(project).await.accepted, 0);
    bench.settled(quiet).await;
    assert_eq!(sink.stored(), [(quiet, left[0])]);
    bench.close().await;
    assert_eq!(disk.names(), [""; 0], "nothing is left");
}

#[tokio::test(start_paused = true)]
async fn with_a_log_a_flush_is_tried_for_as_long_as_the_database_is_away() {
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
    assert_eq!(bench.engine.accepted(project, more(6)).await, Err(EngineError::QuotaFull));
    assert_eq!(bench.engine.accepted(project, more(5)).await, Ok(()));
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
