//! Blocks that a disk does not give.

use super::*;

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
