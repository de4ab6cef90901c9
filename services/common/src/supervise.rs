//! The tasks of one service: each is awaited, and the end of one before the shutdown is the end of all.

use std::future::Future;

use anyhow::Context as _;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

/// Runs a service's tasks until `shutdown` is cancelled, and then stops them in order:
/// the servers (which finish the calls in hand), then `drain` (which finishes what the calls left behind), then
/// the background tasks.
///
/// The servers stop by themselves when `shutdown` is cancelled, the background tasks when `background` is.
pub async fn supervise(
    mut servers: JoinSet<anyhow::Result<()>>,
    mut tasks: JoinSet<anyhow::Result<()>>,
    drain: impl Future<Output = anyhow::Result<()>>,
    shutdown: CancellationToken,
    background: CancellationToken,
) -> anyhow::Result<()> {
    tokio::select! {
        // A server may end as soon as the shutdown begins: that is no early end.
        biased;
        () = shutdown.cancelled() => {}
        Some(ended) = servers.join_next() => return Err(early(ended)),
        Some(ended) = tasks.join_next() => return Err(early(ended)),
    }
    while let Some(ended) = servers.join_next().await {
        ended.context("a server panicked")??;
    }
    drain.await?;
    background.cancel();
    while let Some(ended) = tasks.join_next().await {
        ended.context("a background task panicked")??;
    }
    Ok(())
}

fn early(ended: Result<anyhow::Result<()>, JoinError>) -> anyhow::Error {
    match ended {
        Ok(Ok(())) => anyhow::anyhow!("a task ended before the shutdown"),
        Ok(Err(error)) => error,
        Err(error) => anyhow::Error::new(error).context("a task panicked"),
    }
}
