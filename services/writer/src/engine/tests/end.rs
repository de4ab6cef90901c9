//! How an engine ends.

use prometheus_client::encoding::text::encode;

use super::*;

#[tokio::test(start_paused = true)]
async fn closing_stores_what_waits_and_refuses_what_comes() {
    let (sink, projects) = (Script::open(), [ProjectId::new(), ProjectId::new()]);
    let bench = Bench::new(&sink);
    for project in projects {
        bench.accept(project, 3).await;
    }
    let engine = bench.engine.clone();
    bench.close().await;
    assert_eq!(sink.stored().len(), 6);
    assert_eq!(engine.accepted(projects[0], vec![event(projects[0])]).await, Err(EngineError::Closing));
    assert_eq!(engine.flush(projects[0]).await, Err(EngineError::Closing));
}

#[tokio::test(start_paused = true)]
async fn a_failure_that_passes_leaves_nothing_to_the_log_at_the_end() {
    let (sink, project, disk) = (Script::open(), ProjectId::new(), Simulated::default());
    let bench = Bench::simulated(&sink, settings(), std::slice::from_ref(&disk));
    bench.accept(project, 40).await;
    // As a deadlock, or a failover.
    sink.fail(2);
    bench.close().await;
    assert_eq!(sink.stored().len(), 40);
    assert_eq!(disk.names(), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn without_a_log_what_is_not_stored_before_the_end_is_counted_as_dropped() {
    let (sink, project) = (Script::closed(), ProjectId::new());
    let mut registry = Registry::default();
    let (engine, shards) = Engine::new(settings(), &sink, &Metrics::new(&mut registry), None::<Logs>);
    let bench = Bench { engine, shards: shards.into_iter().map(Shard::run).collect() };
    // Some are in flight, and some wait.
    bench.accept(project, 300).await;
    let started = Instant::now();
    bench.close().await;
    assert!(started.elapsed() < Duration::from_secs(10), "within the grace period");
    let mut metrics = String::new();
    encode(&mut metrics, &registry).unwrap();
    assert!(metrics.contains("mesher_writer_settled_total{end=\"database_failed\"} 300\n"), "{metrics}");
    assert!(metrics.contains("mesher_writer_buffered 0\n"), "{metrics}");
}
