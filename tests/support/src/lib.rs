//! What the tests share.
//!
//! - [`TestDatabase`]: a migrated database of its own for every test, on one PostgreSQL server a test process.
//! - [`KillablePostgres`]: a server of a test's own, for a test that kills it.
//! - [`Process`]: one of the real binaries, started, read and stopped.
//! - [`ScratchDir`]: a directory that goes away, along with a PostgreSQL server that runs in it.
//! - [`http_client`]: a client for HTTP.
//! - [`eventually`]: waits for a condition, not for a time.
//! - [`Authority`]: certificates for TLS.
//! - [`tool`]: a command-line client that a test needs.
//! - [`assert_adds_up`] and [`dropped`]: the account of a project's events.
//! - [`envelope`]: what Sentry's SDKs send.
//!
//! However a test process ends, `kill -9` included, nothing of this stays behind: see the module `watchdog`.
//!
//! These helpers panic where a test could do nothing but fail.

mod account;
mod authority;
mod cluster;
mod database;
mod eventually;
mod http;
mod killable;
mod output;
mod process;
mod scratch;
mod sentry;
mod tools;
mod tree;
mod watchdog;

pub use account::{assert_adds_up, dropped};
pub use authority::Authority;
pub use database::TestDatabase;
pub use eventually::{Condition, eventually};
pub use http::http_client;
pub use killable::KillablePostgres;
pub use process::Process;
pub use scratch::ScratchDir;
pub use sentry::envelope;
pub use tools::{skipped, tool};
