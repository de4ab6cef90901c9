//! The service's settings.

use std::net::SocketAddr;

use clap::Parser;
use mesher_common::{
    config::{DatabaseArgs, ProcessArgs, ProcessConfig},
    tls::ListenerTlsArgs,
};

/// Mesher's issue service.
#[derive(Clone, Debug, Parser)]
#[command(name = "mesher-issue", version)]
pub struct Config {
    /// Address to serve gRPC on. Port 0 takes any free one.
    #[arg(long, env = "MESHER_LISTEN", default_value = "127.0.0.1:50055")]
    pub listen: SocketAddr,
    /// Address of the admin server: /healthz, /readyz and /metrics over HTTP. Port 0 takes any free one.
    #[arg(long, env = "MESHER_ADMIN_LISTEN", default_value = "127.0.0.1:51055")]
    pub admin_listen: SocketAddr,
    /// How calls are kept from being read and changed on the way.
    #[command(flatten)]
    pub tls: ListenerTlsArgs,
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
