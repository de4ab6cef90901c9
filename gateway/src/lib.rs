//! The gateway: HTTP and JSON in front of Mesher's gRPC services.
//!
//! REST is not written by hand. At the start, `routes` are made of the `google.api.http` rules in the API's
//! descriptors; a new RPC with a rule is a new route, with no code here. A request passes
//!
//! 1. `server`: connections, HTTP/1.1 and HTTP/2;
//! 2. `gateway`: health or a route, room for the request, what its client may do (`guard`), its trace, its metrics, its
//!    deadline, its body;
//! 3. `transcode`: the request message from path, query and body (`request`, `template`, `field`, `json`), the call
//!    (`call`), and the answer's JSON, or for a stream (`stream`) one message's after the other; or, for events, `ingest`
//!    and `sentry`, which pass them on as the bytes they are.
//!
//! From the same descriptors come `openapi`, a document for programs, and `docs`, a page for people; both are `pages`.
//!
//! Whatever goes wrong on the way is an `error`, which has the same form for all.

mod body;
mod call;
mod client;
mod config;
mod deadline;
mod docs;
mod encoding;
mod error;
mod field;
mod gateway;
mod guard;
mod headers;
mod ingest;
mod json;
mod merge;
mod metrics;
mod openapi;
mod pages;
mod request;
mod route;
mod routes;
mod rule;
mod sentry;
mod server;
mod stream;
mod strict;
mod template;
mod transcode;
mod upstream;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;
use mesher_common::{
    admin::{self, Readiness},
    config::ConfigError,
    handle::Handle,
    server::bind,
    supervise::supervise,
    tls::{self, HTTP_1_1, HTTP_2, Reloader, UpstreamTls},
};
use prometheus_client::registry::Registry;
use prost_reflect::DescriptorPool;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use crate::{
    client::{ClientHeader, Network, NetworkError, ProxyArgs},
    config::{Config, LimitArgs},
    upstream::{AddressError, Addresses, Upstream, Upstreams},
};
use crate::{gateway::Gateway, pages::Pages, routes::Routes};

/// Its name in the log and in messages.
const NAME: &str = "gateway";

/// Starts the gateway of Mesher's API.
pub async fn spawn(config: Config) -> anyhow::Result<Handle> {
    let mut registry = Registry::default();
    let tls_metrics = tls::Metrics::new(&mut registry);
    let (tls, reloader) = upstream_tls(&config, &tls_metrics)?.unzip();
    let upstreams = config
        .services()
        .map(|(name, _, address)| {
            let upstream = Upstream::with_tls(name, address.clone(), tls.clone());
            (format!("mesher.{name}.v1"), upstream)
        })
        .into_iter()
        .collect();
    let pool = mesher_proto::descriptor_pool().clone();
    serve(pool, &upstreams, config, (registry, tls_metrics), reloader).await
}

/// How services are called with TLS, if any is; or why it may not be without.
fn upstream_tls(
    config: &Config,
    metrics: &tls::Metrics,
) -> Result<Option<(UpstreamTls, Reloader)>, ConfigError> {
    for (name, flag, address) in config.services() {
        if let Some(exposed) = address.exposed().filter(|_| !config.tls.insecure) {
            let reason = format!(
                "{exposed} is on another machine, and without TLS whoever is on the way reads along: name an https:// \
                 address of the {name} service, or, where the network itself is safe, say --insecure \
                 (MESHER_INSECURE=true)"
            );
            return Err(ConfigError { flag, reason });
        }
    }
    if config.services().iter().any(|(_, _, address)| address.have_tls()) {
        return config.upstream_tls.open(metrics).map(Some);
    }
    match config.upstream_tls.given() {
        Some(flag) => {
            let reason = "no service has an https:// address: it would have no effect".to_owned();
            Err(ConfigError { flag, reason })
        }
        None => Ok(None),
    }
}

/// Starts the gateway of the API that `pool` describes. Each service with an RPC that has an HTTP rule is served by
/// one of `upstreams`; `config`'s own addresses of services are not looked at.
pub async fn spawn_api(
    pool: DescriptorPool,
    upstreams: &Upstreams,
    config: Config,
) -> anyhow::Result<Handle> {
    let mut registry = Registry::default();
    let tls_metrics = tls::Metrics::new(&mut registry);
    serve(pool, upstreams, config, (registry, tls_metrics), None).await
}

async fn serve(
    pool: DescriptorPool,
    upstreams: &Upstreams,
    config: Config,
    (mut registry, tls_metrics): (Registry, tls::Metrics),
    upstream_reloader: Option<Reloader>,
) -> anyhow::Result<Handle> {
    config.tls.check("--listen", config.listen)?;
    let (acceptor, reloader) = config.tls.open(&[HTTP_2, HTTP_1_1], &tls_metrics)?.unzip();
    let listener = bind(NAME, "HTTP", config.listen).await?;
    let admin_listener = bind(NAME, "admin", config.admin_listen).await?;
    let (http, admin) = (listener.local_addr()?, admin_listener.local_addr()?);

    let routes = Routes::new(&pool, upstreams).context("the API cannot be served")?;
    let (shutdown, background) = (CancellationToken::new(), CancellationToken::new());
    let readiness = Readiness::new(checks(&routes), shutdown.clone());
    upstreams.register(&mut registry);
    let connections = server::Metrics::new(&mut registry);
    let pages = Pages::new(&routes, &pool)?;
    let args = (config.limits.clone(), config.proxies);
    let takes_events: BTreeSet<String> = routes
        .iter()
        .filter(|route| route.ingest.is_some())
        .map(|route| route.upstream.name().to_owned())
        .collect();
    let gateway =
        Gateway::new((routes, pages), pool, args, &mut registry, readiness.clone(), shutdown.clone());

    let mut servers = JoinSet::new();
    let listener = server::Listener { tcp: listener, acceptor };
    servers.spawn(server::serve(listener, gateway, config.limits, connections, shutdown.clone()));
    let mut tasks = JoinSet::new();
    for reloader in reloader.into_iter().chain(upstream_reloader) {
        tasks.spawn(reloader.keep(background.clone()));
    }
    tasks.spawn(admin::serve(admin_listener, readiness, registry, background.clone()));
    for upstream in upstreams.iter() {
        let with_lanes = takes_events.contains(upstream.name());
        tasks.spawn(upstream.clone().keep(with_lanes, background.clone()));
    }
    let drain = async { Ok(()) };
    let task = tokio::spawn(supervise(servers, tasks, drain, shutdown.clone(), background));
    tracing::info!(name = NAME, %http, %admin, "serving");
    Ok(Handle::new(NAME, vec![("http", http), ("admin", admin)], shutdown, task))
}

/// A check of each service that has a route.
fn checks(routes: &Routes) -> Vec<admin::Check> {
    let services: BTreeMap<_, _> = routes
        .iter()
        .map(|route| (route.rpc.parent_service().full_name().to_owned(), route.upstream.clone()))
        .collect();
    services.iter().map(|(service, upstream)| upstream.check(service)).collect()
}
