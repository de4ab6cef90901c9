//! A running service, as seen by whoever started it: its binary, the all-in-one binary, or a test.

use std::{fmt::Write as _, net::SocketAddr};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// A running service. Dropping it aborts the service; [`Handle::shutdown`] stops it in order.
#[derive(Debug)]
pub struct Handle {
    name: String,
    addresses: Vec<(&'static str, SocketAddr)>,
    shutdown: CancellationToken,
    task: Option<JoinHandle<anyhow::Result<()>>>,
    children: Vec<Handle>,
}

impl Handle {
    /// A service that runs in `task` until `shutdown` is cancelled, and serves at `addresses`, each with its
    /// kind (`grpc`, `http`, `admin`).
    pub fn new(
        name: impl Into<String>,
        addresses: Vec<(&'static str, SocketAddr)>,
        shutdown: CancellationToken,
        task: JoinHandle<anyhow::Result<()>>,
    ) -> Self {
        Self { name: name.into(), addresses, shutdown, task: Some(task), children: Vec::new() }
    }

    /// Several services as one, which are stopped one after the other in this order.
    pub fn group(name: impl Into<String>, children: Vec<Handle>) -> Self {
        Self {
            name: name.into(),
            addresses: Vec::new(),
            shutdown: CancellationToken::new(),
            task: None,
            children,
        }
    }

    /// The service's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The services of a group.
    pub fn children(&self) -> &[Handle] {
        &self.children
    }

    /// Where the service serves `kind`: `grpc`, `http` or `admin`.
    pub fn address(&self, kind: &str) -> Option<SocketAddr> {
        self.addresses.iter().find(|(of, _)| *of == kind).map(|(_, address)| *address)
    }

    /// `NAME ready KIND=ADDRESS …`.
    pub fn ready_line(&self, name: &str) -> String {
        let mut line = format!("{name} ready");
        for (kind, address) in &self.addresses {
            // Writing to a String cannot fail.
            let _ = write!(line, " {kind}={address}");
        }
        line
    }

    /// Waits until the service, or one of a group, ends without having been told to, and says why.
    pub async fn failed(&mut self) -> anyhow::Error {
        let mut waiting: FuturesUnordered<_> =
            self.children.iter_mut().map(|child| Box::pin(child.failed())).collect();
        let own = async {
            match &mut self.task {
                Some(task) => ended(&self.name, task.await),
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            error = own => { self.task = None; error }
            Some(error) = waiting.next() => error,
        }
    }

    /// Stops the service in order: not ready, no new work, the work in hand done. Unbounded in time: bound it.
    pub async fn shutdown(mut self) -> anyhow::Result<()> {
        let mut result = Ok(());
        for child in std::mem::take(&mut self.children) {
            result = result.and(Box::pin(child.shutdown()).await);
        }
        self.shutdown.cancel();
        if let Some(task) = self.task.as_mut() {
            let ended = task.await;
            result = result.and(match ended {
                Ok(result) => result,
                Err(error) => Err(anyhow::Error::new(error).context(format!("{} failed", self.name))),
            });
            self.task = None;
        }
        result
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if let Some(task) = &self.task {
            task.abort();
        }
    }
}

fn ended(name: &str, result: Result<anyhow::Result<()>, tokio::task::JoinError>) -> anyhow::Error {
    match result {
        Ok(Ok(())) => anyhow::anyhow!("{name} ended by itself"),
        Ok(Err(error)) => error.context(format!("{name} failed")),
        Err(error) => anyhow::Error::new(error).context(format!("{name} failed")),
    }
}
