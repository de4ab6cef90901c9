//! Why a PostgreSQL server could not be had, kept or stopped.

use std::{io, path::PathBuf, process::ExitStatus, time::Duration};

use crate::binaries::MIN_MAJOR;

/// Why a PostgreSQL server could not be had, kept or stopped. Every message says what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The directory that was asked for lacks a program.
    #[error(
        "there is no `{program}` in {}: --postgres-bin takes the directory that holds PostgreSQL's server \
         programs, such as /usr/lib/postgresql/17/bin",
        dir.display()
    )]
    NoBinaries {
        /// The directory that was asked for.
        dir: PathBuf,
        /// The first program that it lacks.
        program: &'static str,
    },
    /// PostgreSQL's binaries are there, and cannot be used.
    #[error("PostgreSQL in {} cannot be used: {why}", dir.display())]
    UnusableBinaries {
        /// Where the binaries are.
        dir: PathBuf,
        /// What is the matter with them.
        why: String,
    },
    /// PostgreSQL is too old.
    #[error(
        "PostgreSQL in {} is version {version}, and Mesher needs {MIN_MAJOR} or newer: install a newer one and give \
         its directory with --postgres-bin",
        dir.display()
    )]
    TooOld {
        /// Where the binaries are.
        dir: PathBuf,
        /// Their version.
        version: String,
    },
    /// PostgreSQL is not installed, and could not be fetched.
    #[error(
        "PostgreSQL {MIN_MAJOR} or newer was found neither on PATH nor in the usual places{passed_over}, and could not \
         be fetched: {download}. Install it (Debian, Ubuntu: `apt install postgresql`; Fedora: `dnf install \
         postgresql-server`; Alpine: `apk add postgresql17`; macOS: `brew install postgresql@17`), or say where it is \
         with --postgres-bin DIR, or use a running server with --database-url"
    )]
    NotFound {
        /// What was found and is of no use; empty when nothing was.
        passed_over: String,
        /// Why it could not be fetched.
        download: String,
    },
    /// The data directory holds something else.
    #[error(
        "{} is not a data directory of Mesher's: it holds `{entry}`. Nothing in it was touched; give an empty or a \
         new directory with --data-dir",
        dir.display()
    )]
    NotOurs {
        /// The directory.
        dir: PathBuf,
        /// Something in it that Mesher did not put there.
        entry: String,
    },
    /// The cluster's directory holds something that is no cluster.
    #[error(
        "{} holds no PostgreSQL cluster, and is not empty. Nothing in it was touched; restore it from a backup, or \
         give another directory with --data-dir",
        dir.display()
    )]
    NotACluster {
        /// The directory.
        dir: PathBuf,
    },
    /// The data was written by another major version of PostgreSQL.
    #[error(
        "the data in {} was made by PostgreSQL {made_by}, and {} holds PostgreSQL {found}, which cannot read it: install \
         PostgreSQL {made_by} (its directory can be given with --postgres-bin), or move the data with pg_upgrade",
        dir.display(),
        binaries.display()
    )]
    OtherVersion {
        /// The cluster's directory.
        dir: PathBuf,
        /// What its `PG_VERSION` says.
        made_by: String,
        /// Where the binaries are.
        binaries: PathBuf,
        /// Their major version.
        found: u32,
    },
    /// Another process uses the data directory.
    #[error(
        "{} is in use by another Mesher (process {owner}): stop that one, or give another directory with --data-dir",
        dir.display()
    )]
    InUse {
        /// The directory.
        dir: PathBuf,
        /// The other's process id, or `unknown`.
        owner: String,
    },
    /// This process is root, and there is nobody else to run the server as.
    #[error(
        "PostgreSQL refuses to run as root, and /etc/passwd has neither a user `postgres` nor `nobody` to run it as: \
         add one (`useradd --system postgres`), or start Mesher as an ordinary user"
    )]
    NoAccount,
    /// This process is root, and may not become another user.
    #[error(
        "PostgreSQL refuses to run as root, and it cannot be run as {account} either ({source}): start Mesher as an \
         ordinary user, or let it change its user (CAP_SETUID, CAP_SETGID)"
    )]
    CannotSwitch {
        /// The user.
        account: String,
        /// Why not.
        source: io::Error,
    },
    /// The server's user cannot enter a directory.
    #[error(
        "PostgreSQL runs as the user {account}, who cannot enter {}, and so cannot reach {}: run `chmod o+x` on it, \
         or choose another place with {flag}",
        dir.display(),
        path.display()
    )]
    Unreachable {
        /// The user.
        account: String,
        /// The first directory on the way that the user cannot enter.
        dir: PathBuf,
        /// Where the way leads.
        path: PathBuf,
        /// The flag that chooses another place.
        flag: &'static str,
    },
    /// The password was lost.
    #[error(
        "{} is missing: it holds the password of the database beside it. Restore it from a backup",
        file.display()
    )]
    NoPassword {
        /// The file.
        file: PathBuf,
    },
    /// The password was changed.
    #[error(
        "the database does not accept the password in {}: restore the file, or write the password there that the \
         role `mesher` has",
        file.display()
    )]
    WrongPassword {
        /// The file.
        file: PathBuf,
    },
    /// A file or a directory refused.
    #[error("cannot {action} {}: {source}; --data-dir chooses another place", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// A program could not be started.
    #[error("cannot run {}: {source}", program.display())]
    Spawn {
        /// The program.
        program: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The cluster could not be made.
    #[error("{} could not make a database cluster: {output}", program.display())]
    Init {
        /// `initdb`.
        program: PathBuf,
        /// What it said.
        output: String,
    },
    /// The port is taken.
    #[error(
        "port {port} on 127.0.0.1 cannot be used for PostgreSQL ({source}): choose another, or stop what uses it"
    )]
    Port {
        /// The port.
        port: u16,
        /// Why.
        source: io::Error,
    },
    /// The server ended, at its start or later.
    #[error("PostgreSQL ended ({status}). The end of its log, {}:\n{tail}", log.display())]
    Exited {
        /// How.
        status: ExitStatus,
        /// Its log.
        log: PathBuf,
        /// The last lines of it.
        tail: String,
    },
    /// The server runs, and takes no connections.
    #[error(
        "PostgreSQL did not take connections within {} s ({why}). The end of its log, {}:\n{tail}",
        waited.as_secs(),
        log.display()
    )]
    NotReady {
        /// For how long it was asked.
        waited: Duration,
        /// What the last try gave.
        why: String,
        /// Its log.
        log: PathBuf,
        /// The last lines of it.
        tail: String,
    },
    /// The server refused to do what it was asked.
    #[error("PostgreSQL started, and refused to {action}: {source}")]
    Refused {
        /// What it was asked.
        action: &'static str,
        /// Its answer.
        source: sqlx::Error,
    },
    /// A server does not stop.
    #[error(
        "PostgreSQL (process {pid}) on {} does not stop: look at what holds it up, and end it by hand with \
         `kill -QUIT {pid}`",
        dir.display()
    )]
    WontStop {
        /// Its process id.
        pid: i32,
        /// Its data directory.
        dir: PathBuf,
    },
}

impl Error {
    /// Makes an [`Error::Io`] of what went wrong with `path`.
    pub(crate) fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }
}
