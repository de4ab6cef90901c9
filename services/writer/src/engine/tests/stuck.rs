//! A disk that does not answer.

use super::*;

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
