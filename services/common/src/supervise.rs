//! The tasks of one service: each is awaited, and the end of one before the shutdown is the end of all.

use std::{future::Future, time::Duration};

use anyhow::Context as _;
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::causes::chain;

/// How long the servers may take for the calls in hand. What then still runs is left behind, so that nobody who holds a
/// connection open keeps the drain from its turn; well below the grace period.
const SERVERS_LIMIT: Duration = Duration::from_secs(10);

/// Runs a service's tasks until `shutdown` is cancelled or one of them ends, and then stops the others in order:
/// the servers (which finish the calls in hand), then `drain` (which finishes what the calls left behind), then
/// the background tasks. The first error is given back; it keeps nothing of this from being done.
///
/// The servers stop by themselves when `shutdown` is cancelled, the background tasks when `background` is.
pub async fn supervise(
    mut servers: JoinSet<anyhow::Result<()>>,
    mut tasks: JoinSet<anyhow::Result<()>>,
    drain: impl Future<Output = anyhow::Result<()>>,
    shutdown: CancellationToken,
    background: CancellationToken,
) -> anyhow::Result<()> {
    let mut result = tokio::select! {
        // A server that was told to stop must not be taken for one that ended by itself.
        biased;
        () = shutdown.cancelled() => Ok(()),
        Some(ended) = servers.join_next() => Err(early(ended)),
        Some(ended) = tasks.join_next() => Err(early(ended)),
    };
    shutdown.cancel();
    let stopped = tokio::time::timeout(SERVERS_LIMIT, async {
        while let Some(ended) = servers.join_next().await {
            result = keep_first(std::mem::replace(&mut result, Ok(())), flatten(ended, "a server"));
        }
    });
    if stopped.await.is_err() {
        tracing::warn!(limit = ?SERVERS_LIMIT, "some calls did not end, and are left behind");
        servers.shutdown().await;
    }
    result = keep_first(result, drain.await);
    background.cancel();
    while let Some(ended) = tasks.join_next().await {
        result = keep_first(result, flatten(ended, "a background task"));
    }
    result
}

fn keep_first(first: anyhow::Result<()>, next: anyhow::Result<()>) -> anyhow::Result<()> {
    match (first, next) {
        (Ok(()), next) => next,
        (Err(first), Ok(())) => Err(first),
        (Err(first), Err(next)) => {
            tracing::error!(error = %chain(next.as_ref()), "another error during the shutdown");
            Err(first)
        }
    }
}

fn flatten(ended: Result<anyhow::Result<()>, JoinError>, what: &str) -> anyhow::Result<()> {
    ended.with_context(|| format!("{what} panicked"))?
}

fn early(ended: Result<anyhow::Result<()>, JoinError>) -> anyhow::Error {
    match flatten(ended, "a task") {
        Ok(()) => anyhow::anyhow!("a task ended before the shutdown"),
        Err(error) => error,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    };

    use super::*;

    /// Supervises a server that never ends and a task that does as it is told; whether the drain had its turn, and the
    /// result.
    async fn run(
        task: impl Future<Output = anyhow::Result<()>> + Send + 'static,
        stop: bool,
    ) -> (bool, anyhow::Result<()>) {
        let (mut servers, mut tasks) = (JoinSet::new(), JoinSet::new());
        servers.spawn(std::future::pending());
        tasks.spawn(task);
        let (shutdown, background) = (CancellationToken::new(), CancellationToken::new());
        if stop {
            shutdown.cancel();
        }
        let until = background.clone();
        tasks.spawn(async move {
            until.cancelled().await;
            Ok(())
        });
        let drained = Arc::new(AtomicBool::new(false));
        let flag = Arc::clone(&drained);
        let drain = async move {
            flag.store(true, Ordering::SeqCst);
            Ok(())
        };
        let result = supervise(servers, tasks, drain, shutdown, background).await;
        (drained.load(Ordering::SeqCst), result)
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_that_does_not_end_keeps_nothing_from_being_drained() {
        let (drained, result) = run(async { Ok(()) }, true).await;
        assert!(drained && result.is_ok(), "{result:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_task_that_fails_or_panics_is_the_end_of_all_after_the_drain() {
        let (drained, result) = run(async { anyhow::bail!("broken") }, false).await;
        assert!(drained && result.unwrap_err().to_string().contains("broken"));
        let (drained, result) = run(async { panic!("broken") }, false).await;
        assert!(drained && result.unwrap_err().to_string().contains("panicked"));
        let (drained, result) = run(async { Ok(()) }, false).await;
        assert!(drained && result.unwrap_err().to_string().contains("before the shutdown"));
    }
}
