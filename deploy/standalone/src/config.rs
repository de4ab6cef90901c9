//! The settings of the all-in-one binary.

use std::{net::SocketAddr, path::PathBuf, time::Duration};

use clap::{Args, Parser, Subcommand};
use mesher_common::{
    config::{DatabaseUrl, ProcessArgs, ProcessConfig, patience},
    origin::PeerArgs,
    public_url::PublicUrl,
    tls::ListenerTlsArgs,
};
use mesher_gateway::{LimitArgs, ProxyArgs};
use mesher_user::config::UserArgs;
use mesher_writer::config::WriterArgs;

/// Mesher: keeps, groups and gives back the errors of applications. Runs everything in one process.
#[derive(Clone, Debug, Parser)]
#[command(name = "mesher", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// What to do instead of running everything.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// How to run everything.
    #[command(flatten)]
    pub config: Config,
}

/// What the binary can do besides running everything.
#[derive(Clone, Debug, Subcommand)]
pub enum Command {
    /// Bring a database's schema up to date, and end.
    Migrate(MigrateArgs),
}

/// The settings of `mesher migrate`.
#[derive(Args, Clone, Debug)]
pub struct MigrateArgs {
    /// The PostgreSQL database, as postgres://USER:PASSWORD@HOST:PORT/NAME, or `file:PATH` of a file that holds that. The user
    /// owns the schema, and may create roles.
    #[arg(long, env = "MESHER_DATABASE_URL", hide_env_values = true)]
    pub database_url: DatabaseUrl,
    /// How long to wait for a database that is not there yet.
    #[arg(long, env = "MESHER_DATABASE_WAIT", default_value = "60s", value_parser = patience)]
    pub database_wait: Duration,
    /// How the process logs and traces.
    #[command(flatten)]
    pub process: ProcessArgs,
}

/// The settings of everything.
#[derive(Clone, Debug, Parser)]
#[command(name = "mesher")]
pub struct Config {
    /// Use this PostgreSQL database, as postgres://USER:PASSWORD@HOST:PORT/NAME, or `file:PATH` of a file that holds that,
    /// instead of starting a server. The user owns the schema, and may create roles.
    #[arg(long, env = "MESHER_DATABASE_URL", hide_env_values = true)]
    pub database_url: Option<DatabaseUrl>,
    /// The most connections that each service opens.
    #[arg(long, env = "MESHER_DATABASE_CONNECTIONS", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub database_connections: u32,
    /// How long to wait at the start for a database that is not there yet.
    #[arg(long, env = "MESHER_DATABASE_WAIT", default_value = "60s", value_parser = patience)]
    pub database_wait: Duration,
    /// Where the PostgreSQL server that is started keeps its data, and the writer its log. [default: /var/lib/mesher for
    /// root, mesher in the user's data directory for anyone else]
    #[arg(long, env = "MESHER_DATA_DIR")]
    pub data_dir: Option<PathBuf>,
    /// The directory of the PostgreSQL binaries to start. [default: looked for on PATH and in the usual places, fetched if
    /// there are none]
    #[arg(long, env = "MESHER_POSTGRES_BIN")]
    pub postgres_bin: Option<PathBuf>,

    /// Address of the gateway. Port 0 takes any free one, here and below.
    #[arg(long, env = "MESHER_GATEWAY_LISTEN", default_value = "127.0.0.1:8080")]
    pub gateway_listen: SocketAddr,
    /// Address of the gateway's admin server: /healthz, /readyz and /metrics over HTTP.
    #[arg(long, env = "MESHER_GATEWAY_ADMIN_LISTEN", default_value = "127.0.0.1:8081")]
    pub gateway_admin_listen: SocketAddr,
    /// How requests to the gateway are kept from being read and changed on the way. The services, which the gateway calls,
    /// speak plain text: they are to be on this machine's own addresses, unless --insecure is given.
    #[command(flatten)]
    pub tls: ListenerTlsArgs,
    /// Address of the organization service.
    #[arg(long, env = "MESHER_ORG_LISTEN", default_value = "127.0.0.1:50051")]
    pub org_listen: SocketAddr,
    /// Address of the organization service's admin server.
    #[arg(long, env = "MESHER_ORG_ADMIN_LISTEN", default_value = "127.0.0.1:51051")]
    pub org_admin_listen: SocketAddr,
    /// Address of the project service.
    #[arg(long, env = "MESHER_PROJECT_LISTEN", default_value = "127.0.0.1:50052")]
    pub project_listen: SocketAddr,
    /// Address of the project service's admin server.
    #[arg(long, env = "MESHER_PROJECT_ADMIN_LISTEN", default_value = "127.0.0.1:51052")]
    pub project_admin_listen: SocketAddr,
    /// Address of the user service.
    #[arg(long, env = "MESHER_USER_LISTEN", default_value = "127.0.0.1:50053")]
    pub user_listen: SocketAddr,
    /// Address of the user service's admin server.
    #[arg(long, env = "MESHER_USER_ADMIN_LISTEN", default_value = "127.0.0.1:51053")]
    pub user_admin_listen: SocketAddr,
    /// Address of the writer.
    #[arg(long, env = "MESHER_WRITER_LISTEN", default_value = "127.0.0.1:50054")]
    pub writer_listen: SocketAddr,
    /// Address of the writer's admin server.
    #[arg(long, env = "MESHER_WRITER_ADMIN_LISTEN", default_value = "127.0.0.1:51054")]
    pub writer_admin_listen: SocketAddr,
    /// Address of the issue service.
    #[arg(long, env = "MESHER_ISSUE_LISTEN", default_value = "127.0.0.1:50055")]
    pub issue_listen: SocketAddr,
    /// Address of the issue service's admin server.
    #[arg(long, env = "MESHER_ISSUE_ADMIN_LISTEN", default_value = "127.0.0.1:51055")]
    pub issue_admin_listen: SocketAddr,

    /// The URL that SDKs reach the gateway by, such as `https://errors.example.com`: DSNs begin with it. [default: the one
    /// that the gateway is called by]
    #[arg(long, env = "MESHER_PUBLIC_URL")]
    pub public_url: Option<PublicUrl>,
    /// How much the gateway takes on.
    #[command(flatten)]
    pub limits: LimitArgs,
    /// Whom the gateway believes to say whom a request is from.
    #[command(flatten)]
    pub proxies: ProxyArgs,
    /// Who may register, and how people sign in.
    #[command(flatten)]
    pub users: UserArgs,
    /// Whom the services believe to say whom a call is from.
    #[command(flatten)]
    pub peers: PeerArgs,
    /// How events are buffered and stored.
    #[command(flatten)]
    pub writer: WriterArgs,
    /// How the process logs, traces and stops.
    #[command(flatten)]
    pub process: ProcessArgs,
}

impl Config {
    /// The scheme of the gateway's URL.
    pub(crate) fn gateway_scheme(&self) -> &'static str {
        if self.tls.tls_cert.is_some() { "https" } else { "http" }
    }
}

impl ProcessConfig for Config {
    fn process(&self) -> &ProcessArgs {
        &self.process
    }
}
