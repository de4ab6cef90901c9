//! A disk that does not answer.

use super::*;

#[tokio::test(start_paused = true)]
async fn while_the_disk_is_stuck_events_are_refused_and_readiness_says_so() {
    let (sink, project, disk) = (Script::open(), ProjectId::new(), Simulated::default());
    let bench = Bench::simulated(&sink, settings(), std::slice::from_ref(&disk));
    let engine = bench.engine.clone();
    let hangs = disk.hang();
    let waiting = tokio::spawn(async move { engine.accepted(project, vec![event(project)]).await });
    // The clock does not run by itself while something is written.
    while bench.engine.health().check().is_ok() {
        assert!(!waiting.is_finished());
        advance(Duration::from_secs(1)).await;
        tokio::task::yield_now().await;
    }
    let refused = bench.engine.accepted(project, vec![event(project)]).await;
    assert_eq!(refused, Err(EngineError::LogFailed));
    drop(hangs);
    assert_eq!(waiting.await.unwrap(), Ok(()), "what came before that was kept waiting");
    assert_eq!(bench.engine.health().check(), Ok(()));
    bench.accept(project, 1).await;
    assert_eq!(bench.settled(project).await.stored, 2);
    bench.close().await;
}
