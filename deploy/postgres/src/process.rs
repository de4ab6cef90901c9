//! The server's process: how it is started, told to stop, and waited for.

use std::{env, path::Path, process::Stdio, time::Duration};

use rustix::process::{Pid, Signal, kill_process};
use sqlx::postgres::PgConnectOptions;
use tokio::{
    process::{Child, Command},
    time::{Instant, sleep, timeout},
};

use crate::{
    directory::DataDir,
    error::Error,
    leftover::{FAST_LIMIT, IMMEDIATE_LIMIT},
    log,
    options::Options,
    ready,
    socket::SocketDir,
};

/// For how long a start is tried again while processes of a killed server still hold its shared memory.
const ORPHANS_LIMIT: Duration = Duration::from_secs(20);

/// How PostgreSQL's log says that they do.
const ORPHANS_MESSAGE: &str = "pre-existing shared memory block";

/// Everything that a server process needs to know.
pub(crate) struct Launch<'a> {
    pub(crate) options: &'a Options,
    pub(crate) dir: &'a DataDir,
    pub(crate) socket_dir: &'a SocketDir,
    pub(crate) port: u16,
    /// A process id that the cluster's pid file names by mistake.
    pub(crate) stale_pid: Option<i32>,
}

/// A server process. It is told to stop when this is dropped.
pub(crate) struct Process {
    child: Child,
}

impl Process {
    /// Starts a server, and comes back when it takes connections and has its database.
    pub(crate) async fn start(launch: &Launch<'_>, connect: &PgConnectOptions) -> Result<Self, Error> {
        let dir = launch.dir;
        let log_file = log::open(dir)?;
        let deadline = Instant::now() + ORPHANS_LIMIT;
        loop {
            let log_file = log_file.try_clone().map_err(Error::io("open", dir.log()))?;
            let mut process = launch.spawn(log_file)?;
            let error = match ready::wait(&mut process.child, connect, &dir.log(), &dir.password()).await {
                Ok(connection) => match ready::create_database(connection).await {
                    Ok(()) => return Ok(process),
                    Err(error) => error,
                },
                Err(Error::Exited { tail, .. })
                    if tail.contains(ORPHANS_MESSAGE) && Instant::now() < deadline =>
                {
                    tracing::info!("waiting for the last processes of a PostgreSQL server that was killed");
                    sleep(Duration::from_millis(500)).await;
                    continue;
                }
                Err(error) => error,
            };
            // What went wrong first is what counts.
            let _ = process.stop(&dir.cluster()).await;
            return Err(error);
        }
    }

    pub(crate) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Waits until the process ends by itself, and says how.
    pub(crate) async fn exited(&mut self, log: &Path) -> Error {
        let log = log.to_path_buf();
        match self.child.wait().await {
            Ok(status) => Error::Exited { status, tail: log::tail(&log), log },
            Err(error) => Error::io("watch the server of", log)(error),
        }
    }

    /// Stops the server in order, or else harder, and waits until it is gone.
    pub(crate) async fn stop(&mut self, cluster: &Path) -> Result<(), Error> {
        for (signal, limit) in [(Signal::INT, FAST_LIMIT), (Signal::QUIT, IMMEDIATE_LIMIT)] {
            self.signal(signal);
            if let Ok(status) = timeout(limit, self.child.wait()).await {
                return status.map(drop).map_err(Error::io("watch the server of", cluster));
            }
            tracing::warn!(seconds = limit.as_secs(), "PostgreSQL takes its time to stop");
        }
        let pid = self.child.id().and_then(|id| i32::try_from(id).ok()).unwrap_or_default();
        Err(Error::WontStop { pid, dir: cluster.to_path_buf() })
    }

    /// Does nothing when the process has ended: its id may be another's by then.
    fn signal(&mut self, signal: Signal) {
        if let Ok(None) = self.child.try_wait()
            && let Some(pid) = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw)
        {
            let _ = kill_process(pid, signal);
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.signal(Signal::INT);
    }
}

impl Launch<'_> {
    fn spawn(&self, log: std::fs::File) -> Result<Process, Error> {
        let cluster = self.dir.cluster();
        let program = self.options.binaries().program("postgres");
        let errors = log.try_clone().map_err(Error::io("open", self.dir.log()))?;
        let mut command = self.dir.account().command(&program);
        quiet_environment(&mut command);
        if let Some(pid) = self.stale_pid {
            // How PostgreSQL is told of a process that is no server, though the pid file names it.
            command.env("PG_GRANDPARENT_PID", pid.to_string());
        }
        for (name, value) in self.settings() {
            command.arg("-c").arg(format!("{name}={value}"));
        }
        // The cluster comes last: `leftover` relies on it where it has to read this line with `ps`.
        command.arg("-D").arg(&cluster).current_dir(&cluster);
        command.stdin(Stdio::null()).stdout(log).stderr(errors);
        let mut command = Command::from(command);
        // Ctrl-C on a terminal goes to its whole process group; the server is to stop last, and when it is told.
        command.process_group(0);
        let child = command.spawn().map_err(|source| Error::Spawn { program, source })?;
        Ok(Process { child })
    }

    fn settings(&self) -> Vec<(String, String)> {
        let addresses = if self.options.uses_tcp() { "127.0.0.1" } else { "" };
        let mut settings = self.options.settings();
        settings.extend([
            ("listen_addresses".to_owned(), addresses.to_owned()),
            ("port".to_owned(), self.port.to_string()),
            ("unix_socket_directories".to_owned(), self.socket_dir.setting()),
        ]);
        settings
    }
}

/// Keeps the variables that steer PostgreSQL's programs and clients from reaching the server, and its messages English.
pub(crate) fn quiet_environment(command: &mut std::process::Command) {
    for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("PG")) {
        command.env_remove(name);
    }
    command.env("LC_ALL", "C");
}
