//! The settings that every service shares. Each is a flag with an environment variable; `--help` shows both with
//! the default.

mod database_url;

use std::{fmt, ops::RangeInclusive, path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};
use etcetera::BaseStrategy as _;

pub use database_url::DatabaseUrl;

/// A setting that parsed, but cannot be used. The process exits with status 64 (`EX_USAGE`).
#[derive(Debug, thiserror::Error)]
#[error("invalid value for '{flag}': {reason}")]
pub struct ConfigError {
    /// The flag, with its dashes.
    pub flag: &'static str,
    /// Why its value cannot be used; never the value of a secret.
    pub reason: String,
}

/// How a service reaches PostgreSQL.
#[derive(Args, Clone, Debug)]
pub struct DatabaseArgs {
    /// The PostgreSQL database, as postgres://USER:PASSWORD@HOST:PORT/NAME, or `file:PATH` of a file that holds that.
    #[arg(long, env = "MESHER_DATABASE_URL", hide_env_values = true)]
    pub database_url: DatabaseUrl,
    /// The most connections that the service opens.
    #[arg(long, env = "MESHER_DATABASE_CONNECTIONS", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub database_connections: u32,
    /// How long to wait at the start for a database that is not there yet, or not migrated yet.
    #[arg(long, env = "MESHER_DATABASE_WAIT", default_value = "60s", value_parser = patience)]
    pub database_wait: Duration,
}

/// How a process logs, traces and stops.
#[derive(Args, Clone, Debug)]
pub struct ProcessArgs {
    /// The log's form, on standard error.
    #[arg(long, env = "MESHER_LOG_FORMAT", value_enum, default_value_t = LogFormat::Pretty)]
    pub log_format: LogFormat,
    /// What is logged: a level, or directives such as `info,mesher_writer=debug`.
    #[arg(long, env = "MESHER_LOG", default_value = "info,sqlx::postgres::notice=warn")]
    pub log: String,
    /// Where traces go, over OTLP/gRPC, such as `http://127.0.0.1:4317`, or https:// with TLS. None are made without it.
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT")]
    pub otlp_endpoint: Option<String>,
    /// A file with the certificates of the authorities that vouch for that address, in PEM; it is read at the start. [default:
    /// the authorities that this machine trusts]
    #[arg(long, env = "OTEL_EXPORTER_OTLP_CERTIFICATE")]
    pub otlp_ca: Option<PathBuf>,
    /// How long an orderly shutdown may take before what is left is cut off.
    #[arg(long, env = "MESHER_SHUTDOWN_GRACE", default_value = "25s", value_parser = patience)]
    pub shutdown_grace: Duration,
}

/// The form of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people, with colours on a terminal.
    Pretty,
    /// One JSON object a line.
    Json,
}

/// Reads a duration such as `500ms` or `7days`, for clap. Both bounds are allowed.
pub fn duration(text: &str, bounds: RangeInclusive<Duration>) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(duration) if bounds.contains(&duration) => Ok(duration),
        Ok(_) => {
            let [least, most] = [*bounds.start(), *bounds.end()].map(humantime::format_duration);
            Err(format!("it must be from {least} to {most}"))
        }
        Err(error) => Err(error.to_string()),
    }
}

/// Where root's data is: a home directory is no place for that of a service.
const SYSTEM_DATA_DIR: &str = "/var/lib/mesher";

/// Where Mesher keeps its data when nobody says: in the user's data directory (XDG), or in the system's for root.
/// `flag` is what says otherwise.
pub fn default_data_dir(flag: &'static str) -> Result<PathBuf, ConfigError> {
    if rustix::process::geteuid().is_root() {
        return Ok(PathBuf::from(SYSTEM_DATA_DIR));
    }
    let base =
        etcetera::choose_base_strategy().map_err(|error| ConfigError { flag, reason: error.to_string() })?;
    Ok(base.data_dir().join("mesher"))
}

/// Reads how long to wait for something that takes seconds.
pub fn patience(text: &str) -> Result<Duration, String> {
    duration(text, Duration::ZERO..=Duration::from_hours(1))
}

/// The configuration of a process: what [`crate::bootstrap`] needs of it.
pub trait ProcessConfig: clap::Parser + fmt::Debug {
    /// How the process logs, traces and stops.
    fn process(&self) -> &ProcessArgs;
}
