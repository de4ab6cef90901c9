//! The service's settings.

use std::net::SocketAddr;

use clap::Parser;
use mesher_common::{
    config::{DatabaseArgs, ProcessArgs, ProcessConfig},
    origin::PeerArgs,
    public_url::PublicUrl,
    tls::ListenerTlsArgs,
};

/// Mesher's project service.
#[derive(Clone, Debug, Parser)]
#[command(name = "mesher-project", version)]
pub struct Config {
    /// Address to serve gRPC on. Port 0 takes any free one.
    #[arg(long, env = "MESHER_LISTEN", default_value = "127.0.0.1:50052")]
    pub listen: SocketAddr,
    /// Address of the admin server: /healthz, /readyz and /metrics over HTTP. Port 0 takes any free one.
    #[arg(long, env = "MESHER_ADMIN_LISTEN", default_value = "127.0.0.1:51052")]
    pub admin_listen: SocketAddr,
    /// How calls are kept from being read and changed on the way.
    #[command(flatten)]
    pub tls: ListenerTlsArgs,
    /// The URL that SDKs reach the gateway by, such as `https://errors.example.com`: DSNs begin with it. [default: the one
    /// that the gateway is called by]
    #[arg(long, env = "MESHER_PUBLIC_URL")]
    pub public_url: Option<PublicUrl>,
    /// Where the gateway is that runs in the same process, if one does: DSNs of calls that did not come by it begin with it.
    #[arg(skip)]
    pub gateway_url: Option<PublicUrl>,
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
