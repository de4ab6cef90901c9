//! Disks that fail.

use super::*;

/// Whether events are taken in.
async fn takes_in(bench: &Bench, project: ProjectId) -> Result<Vec<EventId>, EngineError> {
    let events: Vec<Event> = (0..3).map(|_| event(project)).collect();
    let ids = events.iter().map(|event| event.id).collect();
    bench.engine.accepted(project, events).await.map(|()| ids)
}

/// Waits until the log takes events in again.
async fn recovered(bench: &Bench) {
    while bench.engine.health().check().is_err() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Fails unless exactly `acknowledged` is found after a crash and stored once, but for what was refused.
async fn is_found_after_a_crash(
    disk: &Simulated,
    project: ProjectId,
    acknowledged: &[EventId],
    refused: u64,
) {
    for seed in 0..20 {
        let sink = Script::open();
        let disk = disk.copy().crash(&mut Choices(seed));
        let bench = Bench::simulated(&sink, settings(), &[disk]);
        bench.settled(project).await;
        let stored = ids(&sink.stored(), project);
        let missing = acknowledged.iter().filter(|id| !stored.contains(id)).count();
        assert_eq!(missing, 0, "acknowledged, and lost");
        assert!(stored.len() as u64 <= acknowledged.len() as u64 + refused, "stored twice");
        bench.close().await;
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_acknowledged_after_a_failed_call_until_a_probe_succeeds() {
    for call in [Call::Write, Call::Sync, Call::Create, Call::SyncDirectory, Call::Truncate] {
        let (sink, project, disk) = (Script::closed(), ProjectId::new(), Simulated::default());
        let bench = Bench::simulated(&sink, settings(), std::slice::from_ref(&disk));
        let mut acknowledged = takes_in(&bench, project).await.unwrap();
        disk.fail(call);
        if call == Call::Truncate {
            disk.fail(Call::Sync);
        }
        // What needs a new segment fails once the active one is full.
        let refused = loop {
            match takes_in(&bench, project).await {
                Ok(ids) => acknowledged.extend(ids),
                Err(error) => break error,
            }
        };
        assert_eq!(refused, EngineError::LogFailed, "{call:?}");
        for _ in 0..5 {
            assert!(bench.engine.health().check().is_err(), "{call:?}");
            assert_eq!(takes_in(&bench, project).await, Err(EngineError::LogFailed), "{call:?}");
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let account = bench.account(project).await;
        assert_eq!((account.accepted, account.refused), (acknowledged.len() as u64, 18));
        disk.heal();
        recovered(&bench).await;
        acknowledged.extend(takes_in(&bench, project).await.unwrap());
        bench.kill().await;
        is_found_after_a_crash(&disk, project, &acknowledged, 18).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_refuses_until_there_is_room_and_loses_nothing() {
    let (sink, project, disk) = (Script::open(), ProjectId::new(), Simulated::default());
    let bench = Bench::simulated(&sink, settings(), std::slice::from_ref(&disk));
    let mut acknowledged = Vec::new();
    disk.fill_up(2000);
    let error = loop {
        match takes_in(&bench, project).await {
            Ok(ids) => acknowledged.extend(ids),
            Err(error) => break error,
        }
    };
    assert_eq!(error, EngineError::LogFailed);
    assert!(!acknowledged.is_empty());
    // What was acknowledged goes on being stored meanwhile.
    assert_eq!(bench.settled(project).await.stored, acknowledged.len() as u64);
    disk.heal();
    recovered(&bench).await;
    acknowledged.extend(takes_in(&bench, project).await.unwrap());
    assert_eq!(bench.settled(project).await.stored, acknowledged.len() as u64);
    assert_eq!(ids(&sink.stored(), project), acknowledged);
    bench.close().await;
    assert_eq!(disk.used(), 0);
}

#[tokio::test(start_paused = true)]
async fn settled_segments_that_cannot_be_removed_are_removed_later() {
    let (sink, project, disk) = (Script::open(), ProjectId::new(), Simulated::default());
    let bench = Bench::simulated(&sink, settings(), std::slice::from_ref(&disk));
    disk.fail(Call::Remove);
    for _ in 0..20 {
        bench.accept(project, 50).await;
    }
    bench.settled(project).await;
    let before = disk.names().len();
    assert!(before > 5);
    disk.heal();
    tokio::time::sleep(Duration::from_secs(2)).await;
    bench.accept(project, 50).await;
    bench.settled(project).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(disk.names().len() <= 1, "{:?}", disk.names());
    bench.close().await;
}
