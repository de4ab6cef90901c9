//! The gateway's settings.

use std::{net::SocketAddr, time::Duration};

use clap::{Args, Parser};
use mesher_common::{
    config::{ProcessArgs, ProcessConfig, duration},
    rate_limit::Setting,
    tls::{ListenerTlsArgs, UpstreamTlsArgs},
};

use crate::{client::ProxyArgs, upstream::Addresses};

/// Mesher's gateway: HTTP and JSON in front of its gRPC services.
#[derive(Clone, Debug, Parser)]
#[command(name = "mesher-gateway", version)]
pub struct Config {
    /// Address to serve HTTP on, versions 1.1 and 2. Port 0 takes any free one.
    #[arg(long, env = "MESHER_LISTEN", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// Address of the admin server: /healthz, /readyz and /metrics over HTTP. Port 0 takes any free one.
    #[arg(long, env = "MESHER_ADMIN_LISTEN", default_value = "127.0.0.1:8081")]
    pub admin_listen: SocketAddr,
    /// How requests are kept from being read and changed on the way.
    #[command(flatten)]
    pub tls: ListenerTlsArgs,
    /// Where the organization service is. Here and below: https://HOST:PORT with TLS or http://HOST:PORT without, several
    /// divided by commas. Each address that a name stands for is a replica, and is looked for every 5 s. Without TLS,
    /// services are to be on this machine, unless --insecure is given.
    #[arg(long, env = "MESHER_ORG_ADDRESS", default_value = "http://127.0.0.1:50051")]
    pub org_address: Addresses,
    /// Where the project service is.
    #[arg(long, env = "MESHER_PROJECT_ADDRESS", default_value = "http://127.0.0.1:50052")]
    pub project_address: Addresses,
    /// Where the user service is.
    #[arg(long, env = "MESHER_USER_ADDRESS", default_value = "http://127.0.0.1:50053")]
    pub user_address: Addresses,
    /// Where the writer is. Of several, each project's events go to one, chosen by rendezvous hashing.
    #[arg(long, env = "MESHER_WRITER_ADDRESS", default_value = "http://127.0.0.1:50054")]
    pub writer_address: Addresses,
    /// Where the issue service is.
    #[arg(long, env = "MESHER_ISSUE_ADDRESS", default_value = "http://127.0.0.1:50055")]
    pub issue_address: Addresses,
    /// Which services are trusted at https:// addresses, and how the gateway proves to them who it is.
    #[command(flatten)]
    pub upstream_tls: UpstreamTlsArgs,
    /// How much is taken on.
    #[command(flatten)]
    pub limits: LimitArgs,
    /// Who is believed to say whom a request is from.
    #[command(flatten)]
    pub proxies: ProxyArgs,
    /// How the process logs, traces and stops.
    #[command(flatten)]
    pub process: ProcessArgs,
}

impl Config {
    /// The services: the name of each, the flag of its addresses, and them.
    pub(crate) fn services(&self) -> [(&'static str, &'static str, &Addresses); 5] {
        [
            ("org", "--org-address", &self.org_address),
            ("project", "--project-address", &self.project_address),
            ("user", "--user-address", &self.user_address),
            ("writer", "--writer-address", &self.writer_address),
            ("issue", "--issue-address", &self.issue_address),
        ]
    }
}

impl ProcessConfig for Config {
    fn process(&self) -> &ProcessArgs {
        &self.process
    }
}

/// How much the gateway takes on.
#[derive(Args, Clone, Debug)]
pub struct LimitArgs {
    /// The largest body of a typed request, in bytes. (An event may have 1 MiB and a batch of events 10 MiB, always.)
    #[arg(long, env = "MESHER_MAX_BODY", default_value_t = 1 << 20, value_parser = clap::value_parser!(u32).range(1..=1 << 24))]
    pub max_body: u32,
    /// The largest envelope of a Sentry SDK, decoded, in bytes. Attachments count, though they are not kept: SDKs send them
    /// in the envelope of their event, and by their own default up to 20 MiB of them.
    #[arg(long, env = "MESHER_MAX_ENVELOPE", default_value_t = 32 << 20, value_parser = clap::value_parser!(u32).range(1..=200 << 20))]
    pub max_envelope: u32,
    /// How long a request may take, its body included. The client may ask for less.
    #[arg(long, env = "MESHER_REQUEST_TIMEOUT", default_value = "30s", value_parser = timeout)]
    pub request_timeout: Duration,
    /// The most requests at once; more are refused with status 503.
    #[arg(long, env = "MESHER_MAX_REQUESTS", default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub max_requests: u32,
    /// How many calls that need no credentials, such as a login, a client may make at once, and in each period: COUNT/PERIOD,
    /// or none. A client is an IPv4 address or an IPv6 network of 64 bits; behind a proxy it is the proxy, unless that is
    /// one of --trusted-proxies.
    #[arg(long, env = "MESHER_CLIENT_RATE_LIMIT", default_value = "100/10s")]
    pub client_rate_limit: Setting,
    /// How many different invalid API keys a client may try at once, and in each period: COUNT/PERIOD, or none. Past that, keys
    /// that the gateway has not seen are refused with status 429; those that were valid in the last ten minutes go on working.
    /// The same limit holds for how often a client may try one invalid key again, and past it only that key is refused. A
    /// client is the same as for --client-rate-limit.
    #[arg(long, env = "MESHER_BAD_KEY_RATE_LIMIT", default_value = "100/1m")]
    pub bad_key_rate_limit: Setting,
    /// How long a client may take to send the headers of a request, from their first byte on, or to send anything at all.
    #[arg(long, env = "MESHER_HEADER_TIMEOUT", default_value = "10s", value_parser = timeout)]
    pub header_timeout: Duration,
    /// How long a client may take to send the body of a request, and a second more for each KiB that has come: one that sends
    /// it slower is answered with status 408.
    #[arg(long, env = "MESHER_BODY_TIMEOUT", default_value = "10s", value_parser = timeout)]
    pub body_timeout: Duration,
    /// How long a connection may stay open without a request. Longer than that of a proxy in front, which would otherwise send
    /// requests on connections that are being closed.
    #[arg(long, env = "MESHER_IDLE_TIMEOUT", default_value = "75s", value_parser = timeout)]
    pub idle_timeout: Duration,
    /// The most connections at once. When there are more, the one that was idle the longest is closed; where all are busy, the
    /// new one is refused with status 503.
    #[arg(long, env = "MESHER_MAX_CONNECTIONS", default_value_t = 4096, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub max_connections: u32,
}

/// Reads a time that a request may take.
fn timeout(text: &str) -> Result<Duration, String> {
    duration(text, Duration::from_millis(1)..=Duration::from_hours(1))
}
