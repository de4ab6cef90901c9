//! A PostgreSQL server that a test has to itself, to kill it and to start it again.

use std::{collections::BTreeMap, fs};

use mesher_postgres::{DATABASE, Options, Postgres};

use crate::{
    cluster::{self, Created},
    database::TestDatabase,
    scratch::ScratchDir,
    tree,
};

const SETTINGS: &[(&str, &str)] = &[
    // What a killed process wrote is the kernel's, which goes on: only a crash of the machine would lose it.
    ("fsync", "off"),
    // What is committed must have been written, and a page that was cut off in the middle must be mended: the defaults,
    // which the tests' shared server does without.
    ("synchronous_commit", "on"),
    ("full_page_writes", "on"),
    ("max_connections", "200"),
    ("shared_buffers", "64MB"),
    // It comes once a minute: what it did would depend on how fast the machine is.
    ("autovacuum", "off"),
    // Two who wait for each other are found out soon; it is a fault however long it takes.
    ("deadlock_timeout", "50ms"),
    // With the SQLSTATE of every error.
    ("log_error_verbosity", "verbose"),
];

/// A server of a test's own with a migrated database, at the same place after every start.
///
/// It belongs to the runtime of the test, and goes away with this.
#[derive(Debug)]
pub struct KillablePostgres {
    running: Option<Postgres>,
    options: Options,
    database: TestDatabase,
    errors: BTreeMap<String, String>,
    scratch: ScratchDir,
}

impl KillablePostgres {
    /// Starts a server, which takes a few seconds.
    ///
    /// # Panics
    /// As [`TestDatabase::new`].
    pub async fn start() -> Self {
        let scratch = ScratchDir::new_in_memory();
        let options = cluster::options(&scratch, SETTINGS).await.unwrap_or_else(|error| panic!("{error}"));
        let running = cluster::start_guarded(&scratch, options.clone()).await;
        let running = running.unwrap_or_else(|error| panic!("{error}"));
        let connect = running.connect_options();
        let migrated = mesher_migrations::migrate(&connect).await;
        migrated.unwrap_or_else(|error| panic!("the database of this test: {error}"));
        let database = TestDatabase::of(Created { connect, url: running.url(), name: DATABASE.to_owned() });
        Self { running: Some(running), options, database, errors: BTreeMap::new(), scratch }
    }

    /// Its database.
    pub fn database(&self) -> &TestDatabase {
        &self.database
    }

    /// Kills the server and all of its processes (SIGKILL), and waits until they are gone. Where there is no `/proc` only
    /// the server is killed; the others end when they notice.
    ///
    /// # Panics
    /// If they do not go.
    pub async fn kill(&mut self) {
        let Some(mut postgres) = self.running.take() else { return };
        if let Some(id) = postgres.pid() {
            tree::kill(id).await;
        }
        postgres.exited().await;
        self.read_log(&postgres);
    }

    /// Starts the server again after [`KillablePostgres::kill`]: it recovers, and takes connections when this returns.
    ///
    /// # Panics
    /// If it does not.
    pub async fn start_again(&mut self) {
        let started = cluster::start_guarded(&self.scratch, self.options.clone()).await;
        self.running =
            Some(started.unwrap_or_else(|error| panic!("PostgreSQL does not start again: {error}")));
    }

    /// The errors that the server logged since it was made, in all of its runs: of each SQLSTATE the first.
    pub fn errors(&mut self) -> &BTreeMap<String, String> {
        if let Some(postgres) = self.running.take() {
            self.read_log(&postgres);
            self.running = Some(postgres);
        }
        &self.errors
    }

    /// A run's log is gone after two more runs.
    fn read_log(&mut self, postgres: &Postgres) {
        let path = postgres.log();
        let log = fs::read(&path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()));
        for line in String::from_utf8_lossy(&log).lines() {
            if let Some(sqlstate) = sqlstate(line) {
                self.errors.entry(sqlstate.to_owned()).or_insert_with(|| line.to_owned());
            }
        }
    }
}

/// The SQLSTATE of a line such as `2024-05-01 12:00:00.000 UTC [7] ERROR:  40P01: deadlock detected`.
fn sqlstate(line: &str) -> Option<&str> {
    let (_, error) = ["ERROR:  ", "PANIC:  "].iter().find_map(|severity| line.split_once(severity))?;
    error.get(..5).filter(|_| error[5..].starts_with(": "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_sqlstate_of_an_error_is_read_and_nothing_else_is_taken_for_one() {
        let line = "2024-05-01 12:00:00.000 UTC [7] ERROR:  40P01: deadlock detected";
        assert_eq!(sqlstate(line), Some("40P01"));
        assert_eq!(sqlstate("[7] PANIC:  XX000: could not"), Some("XX000"));
        assert_eq!(sqlstate("[7] LOG:  00000: starting PostgreSQL"), None);
        assert_eq!(sqlstate("[7] ERROR:  é"), None);
    }
}
