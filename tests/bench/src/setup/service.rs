//! The process of a service, or of the gateway.

use std::{
    collections::BTreeMap, env, ffi::OsStr, net::SocketAddr, path::Path, process::Command, time::Duration,
};

use anyhow::{Context as _, bail};
use mesher_testing::Process;

/// How long an orderly end may take: the grace period, and a little more.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// It is killed when this is dropped, or when this process ends.
pub(crate) struct Service {
    name: &'static str,
    process: Process,
    addresses: BTreeMap<String, SocketAddr>,
}

impl Service {
    /// Starts the binary `name` of a directory, with its defaults but for these flags, and waits until it is ready.
    pub(super) async fn start<'f>(
        binaries: &Path,
        name: &'static str,
        flags: impl Iterator<Item = &'f OsStr>,
        database_url: Option<&str>,
    ) -> anyhow::Result<Self> {
        let mut command = Command::new(binaries.join(name));
        for (variable, _) in env::vars_os() {
            let text = variable.to_string_lossy();
            if text.starts_with("MESHER_") || text.starts_with("OTEL_") {
                command.env_remove(&variable);
            }
        }
        command.args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]).args(flags);
        if let Some(url) = database_url {
            // Not a flag: everyone can read those.
            command.env("MESHER_DATABASE_URL", url);
        }
        let mut process = Process::run(name, command);
        let addresses = process.ready().await;
        Ok(Self { name, process, addresses })
    }

    /// Its process.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Where it serves `grpc`, `http` or `admin`.
    pub(crate) fn address(&self, kind: &str) -> anyhow::Result<SocketAddr> {
        let address = self.addresses.get(kind).copied();
        address.with_context(|| format!("{} has no {kind} address", self.name))
    }

    /// Has it end in order.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        self.process.terminate();
        let status = self.process.wait(STOP_LIMIT).await;
        if !status.success() {
            bail!("{} ended with {status}:\n{}", self.name, self.process.output());
        }
        Ok(())
    }
}
