//! A running server, as its user sees it.

use std::{
    fmt,
    net::TcpListener,
    path::{Path, PathBuf},
};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use sqlx::postgres::{PgConnectOptions, PgSslMode};

use crate::{
    cluster,
    directory::DataDir,
    error::Error,
    leftover,
    options::Options,
    process::{Launch, Process},
    socket::SocketDir,
};

/// The database that a started server has.
pub const DATABASE: &str = "mesher";

/// The role that owns it, a superuser.
pub const SUPERUSER: &str = "mesher";

/// The database that every cluster has.
const MAINTENANCE_DATABASE: &str = "postgres";

/// A running server. Stop it with [`Postgres::stop`]; when it is dropped instead, the server is told to stop, and does
/// so in the background.
pub struct Postgres {
    // Fields are dropped in this order: the server is told to stop before its lock is let go.
    process: Process,
    socket_dir: SocketDir,
    port: u16,
    password: String,
    dir: DataDir,
}

/// Starts a server: makes the cluster on the first start, stops a server that an earlier run left behind, and waits
/// until the new one takes connections and has the database [`DATABASE`].
///
/// Takes about two seconds the first time, and less than one later; up to ten minutes after a crash.
pub async fn start(options: Options) -> Result<Postgres, Error> {
    let binaries = options.binaries();
    let dir = DataDir::open(options.data_dir())?;
    dir.account().check_reach(binaries.dir(), "--postgres-bin")?;
    let has_cluster = dir.has_cluster(binaries)?;
    let stale_pid = if has_cluster { leftover::stop(&dir.cluster()).await? } else { None };
    if !has_cluster {
        cluster::create(&dir, binaries, options.syncs()).await?;
    }
    let password = cluster::read_password(&dir)?;
    let port = options.port();
    if options.uses_tcp() {
        // PostgreSQL would say only in its log that the port is taken.
        TcpListener::bind(("127.0.0.1", port)).map_err(|source| Error::Port { port, source })?;
    }
    let socket_dir = SocketDir::create(&dir, port)?;
    let launch = Launch { options: &options, dir: &dir, socket_dir: &socket_dir, port, stale_pid };
    let process = Process::start(&launch, &connect_options(socket_dir.path(), port, &password)).await?;
    tracing::info!(
        version = binaries.version(),
        pid = process.id(),
        data_dir = %dir.path().display(),
        "PostgreSQL takes connections"
    );
    Ok(Postgres { process, socket_dir, port, password, dir })
}

impl Postgres {
    /// How to connect to the database [`DATABASE`] as [`SUPERUSER`].
    pub fn connect_options(&self) -> PgConnectOptions {
        connect_options(self.socket_dir.path(), self.port, &self.password).database(DATABASE)
    }

    /// The same as a URL, which sqlx and libpq understand. It holds the password.
    pub fn url(&self) -> String {
        self.url_of(DATABASE)
    }

    /// The URL of another database of this server. It holds the password.
    pub fn url_of(&self, database: &str) -> String {
        self.url_for(SUPERUSER, &self.password, database)
    }

    /// The URL of the database [`DATABASE`] for another role. It holds the password.
    pub fn url_as(&self, role: &str, password: &str) -> String {
        self.url_for(role, password, DATABASE)
    }

    fn url_for(&self, role: &str, password: &str, database: &str) -> String {
        let host = self.socket_dir.path().to_string_lossy();
        let [host, role, password, database] =
            [&*host, role, password, database].map(|part| utf8_percent_encode(part, NON_ALPHANUMERIC));
        format!("postgres://{role}:{password}@{host}:{}/{database}?sslmode=disable", self.port)
    }

    /// The directory of the Unix socket.
    pub fn socket_dir(&self) -> &Path {
        self.socket_dir.path()
    }

    /// The port: part of the socket's name, and that on 127.0.0.1 if [`Options::tcp_port`] asked for one.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The password of [`SUPERUSER`].
    pub fn password(&self) -> &str {
        &self.password
    }

    /// The server's process id; none when it has ended.
    pub fn pid(&self) -> Option<u32> {
        self.process.id()
    }

    /// The file that the server logs to.
    pub fn log(&self) -> PathBuf {
        self.dir.log()
    }

    /// Resolves if the server ends by itself, with the end of its log. May be dropped and called again.
    pub async fn exited(&mut self) -> Error {
        self.process.exited(&self.dir.log()).await
    }

    /// Stops the server: connections are ended, and all that was committed is written out. One that takes longer than
    /// 30 s is stopped harder, which costs nothing but time at the next start.
    pub async fn stop(mut self) -> Result<(), Error> {
        self.process.stop(&self.dir.cluster()).await
    }
}

impl fmt::Debug for Postgres {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = formatter.debug_struct("Postgres");
        debug.field("pid", &self.pid()).field("data_dir", &self.dir.path());
        debug.field("socket_dir", &self.socket_dir()).field("port", &self.port).finish_non_exhaustive()
    }
}

fn connect_options(socket_dir: &Path, port: u16, password: &str) -> PgConnectOptions {
    // There is no one to listen in on a Unix socket.
    PgConnectOptions::new_without_pgpass()
        .socket(socket_dir)
        .port(port)
        .username(SUPERUSER)
        .password(password)
        .database(MAINTENANCE_DATABASE)
        .ssl_mode(PgSslMode::Disable)
}
