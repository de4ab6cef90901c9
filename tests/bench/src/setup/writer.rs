//! A writer's process, and what it says of itself.

use std::{
    ffi::OsStr,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, bail};
use mesher_testing::http_client;
use tokio::time::{Instant, sleep};

use super::service::Service;
use crate::usage::Memory;

/// How often it is asked how far it is.
const LOOK: Duration = Duration::from_millis(50);

/// How a writer is started.
#[derive(Clone, Debug)]
pub(crate) struct Launch {
    /// The directory of the binaries.
    pub(crate) binaries: PathBuf,
    pub(crate) database_url: String,
    pub(crate) log_dir: PathBuf,
    pub(crate) flags: Vec<String>,
}

/// A writer. It is killed when this is dropped, or when this process ends.
pub(crate) struct Writer {
    service: Service,
    client: reqwest::Client,
    pub(crate) grpc: SocketAddr,
    admin: SocketAddr,
}

impl Writer {
    /// Starts one, with its defaults but for what `launch` says, and waits until it is ready.
    pub(crate) async fn start(launch: &Launch) -> anyhow::Result<Self> {
        let flags = [OsStr::new("--log-dir"), launch.log_dir.as_os_str()];
        let flags = flags.into_iter().chain(launch.flags.iter().map(OsStr::new));
        let service =
            Service::start(&launch.binaries, "mesher-writer", flags, Some(&launch.database_url)).await?;
        let (grpc, admin) = (service.address("grpc")?, service.address("admin")?);
        Ok(Self { grpc, admin, service, client: http_client().build()? })
    }

    pub(crate) fn id(&self) -> u32 {
        self.service.id()
    }

    pub(crate) fn memory(&self) -> anyhow::Result<Memory> {
        Memory::of(self.id())
    }

    /// How many acknowledged events are not in the table yet.
    pub(crate) async fn buffered(&self) -> anyhow::Result<u64> {
        let metrics = self.client.get(format!("http://{}/metrics", self.admin)).send().await?.text().await?;
        let value = metrics.lines().find_map(|line| line.strip_prefix("mesher_writer_buffered "));
        value
            .and_then(|value| value.parse().ok())
            .context("the writer's metrics do not say how many events wait")
    }

    /// Waits until no more than `buffered` events wait.
    pub(crate) async fn wait_until_buffered(&mut self, buffered: u64, limit: Duration) -> anyhow::Result<()> {
        let deadline = Instant::now() + limit;
        loop {
            let waiting = self.buffered().await?;
            if waiting <= buffered {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("{waiting} events still wait after {limit:?}");
            }
            sleep(LOOK).await;
        }
    }

    /// Kills it: whatever it has in memory is lost.
    pub(crate) fn kill(self) {
        drop(self.service);
    }

    /// Has it end in order: what it holds is stored, or left to its log.
    pub(crate) async fn stop(self) -> anyhow::Result<()> {
        self.service.stop().await
    }
}

/// Empties the directory of a log.
pub(crate) fn remove_log(dir: &Path) -> anyhow::Result<()> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{} cannot be removed", dir.display()))
        }
        _ => Ok(()),
    }
}
