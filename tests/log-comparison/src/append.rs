//! Acknowledged events a second.

use std::{
    fs,
    path::Path,
    sync::mpsc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use tokio::{sync::oneshot, task::JoinSet};

use crate::{
    group::{Waiting, commit_all, percentile},
    payload::Payloads,
    process,
    stores::Store,
};

/// For how long is measured.
const DURATION: Duration = Duration::from_secs(5);

/// Appends for some seconds with so many waiters, each of which sends the next event when the one before is acknowledged.
pub fn append<S: Store>(directory: &Path, waiters: usize) -> anyhow::Result<()> {
    let _ = fs::remove_dir_all(directory);
    fs::create_dir_all(directory)?;
    let (store, _) = S::open(directory)?;
    let (sender, arriving) = mpsc::channel();
    let committing = commit_all(store, arriving);
    let written_before = process::written_bytes()?;
    let start = Instant::now();
    let mut latencies =
        tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
            let mut tasks = JoinSet::new();
            for seed in 0..waiters {
                tasks.spawn(wait_again_and_again(sender.clone(), u64::try_from(seed)?, start + DURATION));
            }
            drop(sender);
            let mut latencies = Vec::new();
            while let Some(ended) = tasks.join_next().await {
                latencies.extend(ended??);
            }
            anyhow::Ok(latencies)
        })?;
    let seconds = start.elapsed().as_secs_f64();
    let (store, counted) =
        committing.join().map_err(|_| anyhow::anyhow!("the committing thread panicked"))??;
    let memory = process::memory_mib()?;
    // What is written later, in the background or at the end, was caused by these events too.
    store.close()?;
    let written = process::written_bytes()? - written_before;
    latencies.sort_unstable();
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    let (events, groups, payload, written) =
        (counted.events as f64, counted.groups as f64, counted.payload_bytes as f64, written as f64);
    println!(
        "{} | {waiters} | {:.0} | {:.2} | {:.2} | {:.2} | {:.1} | {memory}",
        S::NAME,
        events / seconds,
        percentile(&latencies, 0.5),
        percentile(&latencies, 0.99),
        written / payload,
        events / groups,
    );
    fs::remove_dir_all(directory).context("the directory cannot be removed")
}

async fn wait_again_and_again(
    sender: mpsc::Sender<Waiting>,
    seed: u64,
    end: Instant,
) -> anyhow::Result<Vec<Duration>> {
    let mut payloads = Payloads::new(seed);
    let mut latencies = Vec::new();
    while Instant::now() < end {
        let payload = payloads.next();
        let (done, acknowledged) = oneshot::channel();
        let sent = Instant::now();
        sender.send(Waiting { payload, done }).context("nobody commits any more")?;
        acknowledged.await.context("a group was not committed")?;
        latencies.push(sent.elapsed());
    }
    Ok(latencies)
}
