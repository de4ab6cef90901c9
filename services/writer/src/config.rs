//! The service's settings.

use std::{
    net::SocketAddr,
    num::{NonZeroU16, NonZeroUsize},
    path::PathBuf,
    time::Duration,
};

use clap::{Args, Parser, ValueEnum};
use mesher_common::{
    config::{ConfigError, DatabaseArgs, ProcessArgs, ProcessConfig, duration},
    rate_limit::Setting,
    tls::ListenerTlsArgs,
};

/// Connections for everything but flushes: while the table of the events is locked, API keys and roles are looked up all the same.
const OTHER_CONNECTIONS: usize = 2;

/// Mesher's writer: takes events in and stores them.
#[derive(Clone, Debug, Parser)]
#[command(name = "mesher-writer", version)]
pub struct Config {
    /// Address to serve gRPC on. Port 0 takes any free one.
    #[arg(long, env = "MESHER_LISTEN", default_value = "127.0.0.1:50054")]
    pub listen: SocketAddr,
    /// Address of the admin server: /healthz, /readyz and /metrics over HTTP. Port 0 takes any free one.
    #[arg(long, env = "MESHER_ADMIN_LISTEN", default_value = "127.0.0.1:51054")]
    pub admin_listen: SocketAddr,
    /// How calls are kept from being read and changed on the way.
    #[command(flatten)]
    pub tls: ListenerTlsArgs,
    /// How events are buffered and stored.
    #[command(flatten)]
    pub writer: WriterArgs,
    /// How to reach the database.
    #[command(flatten)]
    pub database: DatabaseArgs,
    /// How the process logs, traces and stops.
    #[command(flatten)]
    pub process: ProcessArgs,
}

impl Config {
    /// Whether the settings go together.
    pub fn check(&self) -> Result<(), ConfigError> {
        let flushes = self.writer.shards.get().saturating_mul(self.writer.concurrent_flushes.get());
        let least = flushes.saturating_add(OTHER_CONNECTIONS);
        let connections = self.database.database_connections;
        if usize::try_from(connections).is_ok_and(|connections| connections >= least) {
            return Ok(());
        }
        let reason = format!(
            "{connections} are too few: {flushes} flushes may be in flight at once (--shards times \
             --concurrent-flushes), and {OTHER_CONNECTIONS} are for everything else"
        );
        Err(ConfigError { flag: "--database-connections", reason })
    }
}

impl ProcessConfig for Config {
    fn process(&self) -> &ProcessArgs {
        &self.process
    }
}

/// The settings that are the writer's alone.
#[derive(Args, Clone, Debug)]
pub struct WriterArgs {
    /// What an acknowledgement promises.
    #[arg(long, env = "MESHER_DURABILITY", value_enum, default_value_t = Durability::Disk)]
    pub durability: Durability,
    /// The directory of the log on disk, which no other writer may use. [default: log in the data directory, which is
    /// /var/lib/mesher for root, and mesher in the user's data directory for anyone else]
    #[arg(long, env = "MESHER_LOG_DIR")]
    pub log_dir: Option<PathBuf>,
    /// What happens to a project's events when its quota on disk is full.
    #[arg(long, env = "MESHER_WHEN_FULL", value_enum, default_value_t = WhenFull::Reject)]
    pub when_full: WhenFull,
    /// The most events of a project that wait on disk.
    #[arg(long, env = "MESHER_QUOTA_EVENTS", default_value = "1000000")]
    pub quota_events: NonZeroUsize,
    /// The most bytes of a project that wait on disk, or in memory with --durability memory.
    #[arg(long, env = "MESHER_QUOTA_BYTES", default_value_t = 1 << 30, value_parser = clap::value_parser!(u64).range(1 << 20..))]
    pub quota_bytes: u64,
    /// The most bytes of all projects that wait on disk; each shard has its part. Past it events are refused, or, with
    /// --when-full drop-oldest, the projects that have the most there lose their oldest. A shard has 256 MiB at the least, and
    /// up to 32 MiB more are set aside for what it writes next; four files of 32 MiB that the disk damaged may be kept besides.
    #[arg(long, env = "MESHER_LOG_BYTES", default_value_t = 8 << 30, value_parser = clap::value_parser!(u64).range(1 << 20..))]
    pub log_bytes: u64,
    /// The most bytes of all projects that wait in memory with --durability memory; each shard has its part, and 4 MiB at the
    /// least. Past it the projects that have the most there lose their oldest.
    #[arg(long, env = "MESHER_MEMORY_BYTES", default_value_t = 256 << 20, value_parser = clap::value_parser!(u64).range(1 << 20..))]
    pub memory_bytes: u64,
    /// How many shards the projects are spread over: each is a task that shares no lock with the others.
    #[arg(long, env = "MESHER_SHARDS", default_value = "2")]
    pub shards: NonZeroUsize,
    /// The most flushes of a shard in flight, each of other projects and on a connection of its own: while one waits for its
    /// commit, another is got ready. All but the first wait until they are worth it, or for 100 ms.
    #[arg(long, env = "MESHER_CONCURRENT_FLUSHES", default_value = "3")]
    pub concurrent_flushes: NonZeroUsize,
    /// A project's events are flushed when so many are buffered, if a flush with room has not taken them along before.
    #[arg(long, env = "MESHER_FLUSH_EVENTS", default_value = "50")]
    pub flush_events: NonZeroUsize,
    /// A project's events are flushed so long after the first was buffered, if not before.
    #[arg(long, env = "MESHER_FLUSH_INTERVAL", default_value = "5s", value_parser = flush_interval)]
    pub flush_interval: Duration,
    /// The most events of a project in memory, those being flushed included. Past it they wait on disk;
    /// without a log on disk the oldest are dropped.
    #[arg(long, env = "MESHER_BUFFER_EVENTS", default_value = "500")]
    pub buffer_events: NonZeroUsize,
    /// How many days events are kept at the least. A day after that they are deleted, and issues without an event since.
    #[arg(long, env = "MESHER_RETENTION_DAYS", default_value = "90")]
    pub retention_days: NonZeroU16,
    /// How many events of a project are taken in at once, and in each period, where the project has no rate limit of its own:
    /// COUNT/PERIOD, such as 600/1m, or none.
    #[arg(long, env = "MESHER_PROJECT_RATE_LIMIT", default_value_t)]
    pub project_rate_limit: Setting,
    /// The same of those that are sent with one API key, where the key has no rate limit of its own.
    #[arg(long, env = "MESHER_KEY_RATE_LIMIT", default_value_t)]
    pub key_rate_limit: Setting,
    /// How long what the database said of an API key is remembered: so long does a revoked one go on working, and a
    /// rate limit hold that was changed.
    #[arg(long, env = "MESHER_API_KEY_CACHE", default_value = "5s", value_parser = api_key_cache)]
    pub api_key_cache: Duration,
}

/// What an acknowledgement promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Durability {
    /// The event is in the log on disk, and synced: it survives any crash.
    Disk,
    /// The event is in memory: it is lost if the process is killed before the next flush.
    Memory,
}

/// What happens to a project's events when its quota on disk is full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum WhenFull {
    /// New events are refused, with a delay to try again after.
    Reject,
    /// The oldest events are dropped, and counted.
    DropOldest,
}

fn flush_interval(text: &str) -> Result<Duration, String> {
    duration(text, Duration::from_millis(1)..=Duration::from_hours(1))
}

/// A revoked key must stop working within 10 seconds.
fn api_key_cache(text: &str) -> Result<Duration, String> {
    duration(text, Duration::ZERO..=Duration::from_secs(10))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_connection_for_each_flush_and_for_others() {
        let check = |more: &[&str]| {
            let arguments = ["mesher-writer", "--database-url", "postgres://localhost/mesher"];
            Config::try_parse_from(arguments.iter().chain(more)).unwrap().check()
        };
        assert!(check(&[]).is_ok());
        assert!(check(&["--shards", "4", "--concurrent-flushes", "2"]).is_ok());
        for more in [&["--database-connections", "7"], &["--shards", "3"]] {
            let error = check(more).unwrap_err();
            assert_eq!(error.flag, "--database-connections");
            assert!(error.to_string().contains("are too few"), "{error}");
        }
    }
}
