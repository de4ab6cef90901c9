//! What to start, and with which settings.

use std::path::{Path, PathBuf};

use crate::binaries::Binaries;

const DEFAULT_PORT: u16 = 5432;

/// What a laptop can spare, where PostgreSQL's own defaults would not do.
const SETTINGS: &[(&str, &str)] = &[
    ("max_connections", "100"),
    ("shared_buffers", "128MB"),
    // The log is a file that this crate opens anew at every start; a checkpoint every few minutes would fill it.
    ("logging_collector", "off"),
    ("log_destination", "stderr"),
    ("log_checkpoints", "off"),
    ("unix_socket_permissions", "0700"),
];

/// What to start.
#[derive(Clone, Debug)]
pub struct Options {
    binaries: Binaries,
    data_dir: PathBuf,
    tcp_port: Option<u16>,
    settings: Vec<(String, String)>,
}

impl Options {
    /// A server on `data_dir`, which is made if it is missing, listening on a Unix socket alone.
    pub fn new(binaries: Binaries, data_dir: impl Into<PathBuf>) -> Self {
        Self { binaries, data_dir: data_dir.into(), tcp_port: None, settings: Vec::new() }
    }

    /// Has the server listen on 127.0.0.1 too, at a port from 1 to 65535.
    #[must_use]
    pub fn tcp_port(mut self, port: u16) -> Self {
        self.tcp_port = Some(port);
        self
    }

    /// Sets one of PostgreSQL's settings, as in `postgresql.conf`; the last value of a setting counts.
    /// With `fsync` off the cluster is not synced when it is made either.
    #[must_use]
    pub fn set(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.settings.push((name.into(), value.into()));
        self
    }

    pub(crate) fn binaries(&self) -> &Binaries {
        &self.binaries
    }

    pub(crate) fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// The port for the socket's name, and for 127.0.0.1 if that is asked for.
    pub(crate) fn port(&self) -> u16 {
        self.tcp_port.unwrap_or(DEFAULT_PORT)
    }

    pub(crate) fn uses_tcp(&self) -> bool {
        self.tcp_port.is_some()
    }

    pub(crate) fn settings(&self) -> Vec<(String, String)> {
        let defaults = SETTINGS.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        defaults.chain(self.settings.iter().cloned()).collect()
    }

    pub(crate) fn syncs(&self) -> bool {
        let last = self.settings.iter().rev().find(|(name, _)| name == "fsync");
        last.is_none_or(|(_, value)| value != "off")
    }
}
