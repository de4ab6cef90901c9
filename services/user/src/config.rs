//! The service's settings.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, Parser, ValueEnum};
use mesher_common::{
    config::{DatabaseArgs, ProcessArgs, ProcessConfig, duration},
    origin::PeerArgs,
    tls::ListenerTlsArgs,
};

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
    /// How calls are kept from being read and changed on the way.
    #[command(flatten)]
    pub tls: ListenerTlsArgs,
    /// Who may register, and how people sign in.
    #[command(flatten)]
    pub users: UserArgs,
    /// Who is believed to say whom a call is from.
    #[command(flatten)]
    pub peers: PeerArgs,
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
    /// How sessions end.
    #[command(flatten)]
    pub sessions: SessionArgs,
    /// How guessing passwords is slowed.
    #[command(flatten)]
    pub guessing: GuessingArgs,
    /// How passwords are kept.
    #[command(flatten)]
    pub passwords: PasswordArgs,
    /// How many days the audit log goes back at the least. What is older is deleted within a day.
    #[arg(long, env = "MESHER_AUDIT_RETENTION_DAYS", default_value_t = 400, value_parser = clap::value_parser!(u16).range(30..=36_500))]
    pub audit_retention_days: u16,
}

/// How sessions end by themselves.
#[derive(Args, Clone, Copy, Debug)]
pub struct SessionArgs {
    /// How long a session lasts, however much it is used.
    #[arg(long, env = "MESHER_SESSION_LIFETIME", default_value = "7days", value_parser = session_lifetime)]
    pub session_lifetime: Duration,
    /// How long a session lasts without being used.
    #[arg(long, env = "MESHER_SESSION_IDLE_TIMEOUT", default_value = "1day", value_parser = session_lifetime)]
    pub session_idle_timeout: Duration,
}

/// How guessing passwords is slowed: by failures, counted for each account and for each client's address.
#[derive(Args, Clone, Copy, Debug)]
pub struct GuessingArgs {
    /// After how many failed sign-ins of an account the next has to wait: one second, and twice as long after each more.
    /// An address has ten times as many.
    #[arg(long, env = "MESHER_LOGIN_FAILURES", default_value_t = 10, value_parser = clap::value_parser!(u16).range(1..=100))]
    pub login_failures: u16,
    /// The longest that a sign-in has to wait for.
    #[arg(long, env = "MESHER_LOGIN_MAX_DELAY", default_value = "15min", value_parser = login_delay)]
    pub login_max_delay: Duration,
}

/// How passwords are kept.
#[derive(Args, Clone, Debug)]
pub struct PasswordArgs {
    /// The most passwords that are hashed at once. Each takes --password-memory and a core.
    #[arg(long, env = "MESHER_CONCURRENT_PASSWORD_HASHES", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=64))]
    pub concurrent_password_hashes: u16,
    /// The memory that hashing a password takes, in KiB: 19 MiB, as OWASP recommends, or more. Passwords that were hashed
    /// with less are hashed anew when their users sign in.
    #[arg(long, env = "MESHER_PASSWORD_MEMORY", default_value_t = 19_456, value_parser = clap::value_parser!(u32).range(19_456..=1 << 20))]
    pub password_memory: u32,
    /// How many times hashing a password passes over the memory.
    #[arg(long, env = "MESHER_PASSWORD_PASSES", default_value_t = 2, value_parser = clap::value_parser!(u32).range(2..=16))]
    pub password_passes: u32,
    /// A file with a secret of 16 to 1024 bytes that goes into every password's hash, so that a stolen database alone
    /// cannot be guessed against. Whoever loses it loses all passwords. More files, divided by commas, are secrets of
    /// before: their passwords get the first one when their users sign in.
    #[arg(long, env = "MESHER_PASSWORD_PEPPER_FILE", value_delimiter = ',')]
    pub password_pepper_file: Vec<PathBuf>,
}

fn session_lifetime(text: &str) -> Result<Duration, String> {
    duration(text, Duration::from_mins(1)..=Duration::from_hours(24 * 365))
}

fn login_delay(text: &str) -> Result<Duration, String> {
    duration(text, Duration::from_secs(1)..=Duration::from_hours(12))
}

/// Whether anyone may register.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Registration {
    /// Anyone may.
    Open,
    /// Nobody may.
    Closed,
}
