//! A writer's process, and what it says of itself.

use std::{
    env,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context as _, bail};
use mesher_testing::{Process, http_client};
use tokio::time::{Instant, sleep};

use crate::usage::Memory;

/// How long an orderly end may take: the writer's own grace period, and a little more.
const STOP_LIMIT: Duration = Duration::from_secs(30);
/// How often it is asked how far it is.
const LOOK: Duration = Duration::from_millis(50);

/// How a writer is started.
#[derive(Clone, Debug)]
pub(crate) struct Launch {
    pub(crate) binary: PathBuf,
    pub(crate) database_url: String,
    pub(crate) log_dir: PathBuf,
    pub(crate) flags: Vec<String>,
}

/// A writer. It is killed when this is dropped, or when this process ends.
pub(crate) struct Writer {
    process: Process,
    client: reqwest::Client,
    pub(crate) grpc: SocketAddr,
    admin: SocketAddr,
}

impl Writer {
    /// Starts one, with its defaults but for what `launch` says, and waits until it is ready.
    pub(crate) async fn start(launch: &Launch) -> anyhow::Result<Self> {
        let mut command = Command::new(&launch.binary);
        for (variable, _) in env::vars_os() {
            let text = variable.to_string_lossy();
            if text.starts_with("MESHER_") || text.starts_with("OTEL_") {
                command.env_remove(&variable);
            }
        }
        command
            .args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--log-dir"])
            .arg(&launch.log_dir)
            .args(&launch.flags)
            // Not a flag: everyone can read those.
            .env("MESHER_DATABASE_URL", &launch.database_url);
        let mut process = Process::run("mesher-writer", command);
        let addresses = process.ready().await;
        let address = |kind: &str| {
            addresses.get(kind).copied().with_context(|| format!("the writer has no {kind} address"))
        };
        Ok(Self { grpc: address("grpc")?, admin: address("admin")?, process, client: http_client().build()? })
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
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

    /// Has it end in order: what it holds is stored, or left to its log.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        self.process.terminate();
        let status = self.process.wait(STOP_LIMIT).await;
        if !status.success() {
            bail!("the writer ended with {status}:\n{}", self.process.output());
        }
        Ok(())
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
