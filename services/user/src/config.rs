//! The service's settings.

use std::{net::SocketAddr, time::Duration};

use clap::{Args, Parser, ValueEnum};
use mesher_common::config::{DatabaseArgs, ProcessArgs, ProcessConfig, duration};

/// Mesher's user service.
#[derive(Clone, Debug, Parser)]
#[command(name = "mesher-user", version)]
pub struct Config {
    /// Address to serve gRPC on. Port 0 takes any free one.
    #[arg(long, env = "MESHER_LISTEN", default_value = "127.0.0.1:50053")]
    pub listen: SocketAddr,
    /// Address of the admin server: /healthz, /readyz and /metrics over HTTP. Port 0 takes any free one.
    #[arg(long, env = "MESHER_ADMIN_LISTEN", default_value = "127.0.0.1:51053")]
    pub admin_listen: SocketAddr,
    /// Who may register, and how.
    #[command(flatten)]
    pub users: UserArgs,
    /// How to reach the database.
    #[command(flatten)]
    pub database: DatabaseArgs,
    /// How the process logs, traces and stops.
    #[command(flatten)]
    pub process: ProcessArgs,
}

impl ProcessConfig for Config {
    fn process(&self) -> &ProcessArgs {
        &self.process
    }
}

/// The settings that are the user service's alone.
#[derive(Args, Clone, Debug)]
pub struct UserArgs {
    /// Whether anyone may register.
    #[arg(long, env = "MESHER_REGISTRATION", value_enum, default_value_t = Registration::Open)]
    pub registration: Registration,
    /// How long a session lasts.
    #[arg(long, env = "MESHER_SESSION_LIFETIME", default_value = "7days", value_parser = session_lifetime)]
    pub session_lifetime: Duration,
    /// The most passwords that are hashed at once. Each takes 19 MiB of memory and a core.
    #[arg(long, env = "MESHER_PASSWORD_HASHES", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub password_hashes: u16,
}

fn session_lifetime(text: &str) -> Result<Duration, String> {
    duration(text, Duration::from_mins(1)..=Duration::from_hours(24 * 365))
}

/// Whether anyone may register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Registration {
    /// Anyone may.
    Open,
    /// Nobody may.
    Closed,
}
