//! Runs a PostgreSQL server as a child process, for the all-in-one binary and for tests.
//!
//! ```no_run
//! # async fn example() -> Result<(), mesher_postgres::Error> {
//! use mesher_postgres::{Options, Search, locate, start};
//!
//! let data_dir = std::path::PathBuf::from("/var/lib/mesher/postgres");
//! let binaries = locate(&Search {
//!     explicit: None,
//!     cache_dir: "/var/cache/mesher".into(),
//!     data_dir: Some(data_dir.clone()),
//! })
//! .await?;
//! let mut postgres = start(Options::new(binaries, data_dir)).await?;
//! let database = postgres.connect_options();
//! // … until it is time to stop, or the server ends by itself:
//! tokio::select! {
//!     error = postgres.exited() => return Err(error),
//!     () = std::future::pending() => {}
//! }
//! postgres.stop().await
//! # }
//! ```
//!
//! What lies in a data directory, all of it owned by the user that the server runs as:
//!
//! | name | what |
//! |---|---|
//! | `cluster/` | PostgreSQL's own data directory |
//! | `cluster.new-*/` | one that is being made; it takes the name `cluster` only when it is complete |
//! | `password` | the superuser's password, readable by its owner alone |
//! | `lock` | locked for as long as a Mesher uses the directory; holds that process's id |
//! | `postgres.log`, `postgres.log.1` | what the server said in this run, and in the one before |
//! | `run/` | the server's Unix socket |
//!
//! PostgreSQL refuses to run as root. Where this process is root, the server alone runs as the user `postgres`, or as
//! `nobody` where there is none.

mod account;
mod binaries;
mod cluster;
mod directory;
mod download;
mod error;
mod leftover;
mod log;
mod options;
mod places;
mod process;
mod ready;
mod server;
mod socket;

pub use binaries::{Binaries, MIN_MAJOR, Search, locate};
pub use error::Error;
pub use options::Options;
pub use server::{DATABASE, Postgres, SUPERUSER, start};
