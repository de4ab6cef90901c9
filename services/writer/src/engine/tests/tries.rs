//! How often, and after how long, what the database does not take in is tried again.

use super::*;

const FIRST: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(500)];

#[tokio::test(start_paused = true)]
async fn without_a_log_a_failed_flush_is_tried_after_100_and_500_ms_and_then_dropped() {
    let (sink, project) = (Script::open(), ProjectId::new());
    let bench = Bench::new(&sink);
    sink.fail(2);
    bench.accept(project, 50).await;
    assert_eq!(bench.settled(project).await.stored, 50);
    assert_eq!(sink.pauses(), FIRST);

    sink.fail(3);
    bench.accept(project, 50).await;
    let account = bench.settled(project).await;
    assert_eq!((account.stored, account.dropped(DropReason::DatabaseFailed)), (50, 50));
    assert_eq!(sink.begun.lock().unwrap().len(), 6);
    // The next batch finds the database again.
    bench.accept(project, 50).await;
    assert_eq!(bench.settled(project).await.stored, 100);
}

#[tokio::test(start_paused = true)]
async fn with_a_log_it_is_tried_ever_more_seldom_and_not_at_the_same_time_as_others() {
    const TRIES: usize = 40;
    let (sink, project) = (Script::open(), ProjectId::new());
    let bench = Bench::simulated(&sink, settings(), &[Simulated::default()]);
    sink.fail(TRIES);
    bench.accept(project, 50).await;
    assert_eq!(bench.settled(project).await.stored, 50);
    let pauses = sink.pauses();
    assert_eq!((pauses.len(), &pauses[..2]), (TRIES, &FIRST[..]));
    let parts: Vec<f64> = pauses[2..]
        .iter()
        .zip(1..)
        .map(|(pause, doubled)| pause.as_secs_f64() / (0.625 * f64::from(doubled).exp2()).min(5.0))
        .collect();
    // The clock has whole milliseconds.
    assert!(parts.iter().all(|part| (0.499..=1.001).contains(part)), "{parts:?}");
    assert!(parts.iter().any(|part| *part < 0.75) && parts.iter().any(|part| *part > 0.75), "{parts:?}");
    bench.close().await;
}
