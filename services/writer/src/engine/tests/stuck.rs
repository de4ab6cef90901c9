//! A disk that does not answer.

use super::{
    bound::{SLACK, bounded},
    *,
};

#[tokio::test(start_paused = true)]
async fn while_the_disk_is_stuck_events_are_refused_and_readiness_says_so() {
    let (sink, project, disk) = (Script::open(), ProjectId::new(), Simulated::default());
    let bench = Bench::simulated(&sink, settings(), std::slice::from_ref(&disk));
    let hangs = disk.hang();
    let mut waiting = JoinSet::new();
    let started = Instant::now();
    // The clock does not run by itself while something is written. More comes all the time.
    while bench.engine.health().check().is_ok() {
        assert!(waiting.try_join_next().is_none() && started.elapsed() < Duration::from_mins(1));
        let engine = bench.engine.clone();
        waiting.spawn(async move { engine.accepted(project, vec![event(project)]).await });
        tokio::task::yield_now().await;
        advance(Duration::from_secs(1)).await;
        tokio::task::yield_now().await;
    }
    let sent = count(waiting.len());
    let refused = bench.engine.accepted(project, vec![event(project)]).await;
    assert_eq!(refused, Err(EngineError::LogFailed));
    drop(hangs);
    while let Some(result) = waiting.join_next().await {
        assert_eq!(result.unwrap(), Ok(()), "what came before that was kept waiting");
    }
    assert_eq!(bench.engine.health().check(), Ok(()));
    bench.accept(project, 1).await;
    assert_eq!(bench.settled(project).await.stored, sent + 1);
    bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn while_a_removal_hangs_only_what_has_no_room_is_refused() {
    let (sink, project, disk) = (Script::open(), ProjectId::new(), Simulated::default());
    let bench = Bench::simulated(&sink, bounded(WhenFull::Reject), std::slice::from_ref(&disk));
    let hangs = disk.hang_at(Call::Remove);
    let started = Instant::now();
    let mut sent = 0;
    // All of it is stored at once, and none of it removed. The clock does not run by itself meanwhile.
    let refused = loop {
        let engine = bench.engine.clone();
        let mut accepted = pin!(async move { engine.accepted(project, vec![sized(project, 1000)]).await });
        let result = loop {
            tokio::select! {
                biased;
                result = &mut accepted => break result,
                () = tokio::task::yield_now() => advance(Duration::from_millis(1)).await,
            }
        };
        match result {
            Ok(()) => sent += 1,
            Err(error) => break error,
        }
        assert!(started.elapsed() < Duration::from_mins(1));
    };
    assert_eq!(refused, EngineError::QuotaFull);
    assert!(disk.used() > 10 * SMALL_SEGMENT as usize && disk.used() < 12 * SMALL_SEGMENT as usize + SLACK);
    assert_eq!(bench.engine.health().check(), Ok(()));
    assert_eq!(bench.account(project).await.accepted, sent);
    drop(hangs);
    while bench.engine.accepted(project, vec![event(project)]).await.is_err() {
        assert!(started.elapsed() < Duration::from_mins(1));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(bench.settled(project).await.stored, sent + 1);
    bench.close().await;
    assert_eq!(disk.used(), 0);
}
