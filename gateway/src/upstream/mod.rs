//! The services behind the gateway, and the connections to them.
//!
//! A service has one replica or several (`address`), each with a connection of its own that is made again when it is lost
//! (`replica`). Which of them are there is known from their health checks, and from calls that fail (`failure`). A call goes to
//! one that is there (`choice`), and if that did not answer to another, as often as `retry` lets it. Events take `lane`s.

mod address;
mod backoff;
mod choice;
mod failure;
mod lane;
mod metrics;
mod replica;
mod retry;
mod store;

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use futures_util::{StreamExt as _, stream::FuturesUnordered};
use mesher_common::{admin::Check, tls::UpstreamTls};
use prometheus_client::registry::Registry;
use prost_reflect::ServiceDescriptor;
use tokio::{sync::watch, task::JoinSet, time::timeout};
use tokio_util::sync::CancellationToken;

pub use self::address::{AddressError, Addresses};
use self::{
    address::Place,
    lane::Lanes,
    metrics::Metrics,
    replica::{Unwell, channel},
    retry::Budget,
    store::Homes,
};
pub(crate) use self::{
    choice::{Order, hash_of},
    failure::{Failure, caused_by},
};
pub(crate) use self::{lane::Answer, replica::Replica};

/// How often names are resolved again.
const RESOLVE_INTERVAL: Duration = Duration::from_secs(5);
/// How long a call waits for the first replica to be found.
const FIRST_TIMEOUT: Duration = Duration::from_secs(2);
/// How long to wait for the answers to health checks: less than a readiness check may take.
const HEALTH_TIMEOUT: Duration = Duration::from_millis(800);

/// A service behind the gateway. It need not be there yet.
#[derive(Clone)]
pub struct Upstream(Arc<Inner>);

struct Inner {
    name: String,
    addresses: Addresses,
    tls: Option<UpstreamTls>,
    replicas: watch::Sender<Arc<[Arc<Replica>]>>,
    turn: AtomicUsize,
    budget: Budget,
    homes: Homes,
}

impl Upstream {
    /// The service that goes by `name` in messages, at these addresses, which are without TLS.
    pub fn new(name: impl Into<String>, addresses: Addresses) -> Self {
        Self::with_tls(name, addresses, None)
    }

    /// The same at any addresses; `tls` says whom to trust at those with TLS.
    pub fn with_tls(name: impl Into<String>, addresses: Addresses, tls: Option<UpstreamTls>) -> Self {
        let (replicas, _) = watch::channel(Arc::default());
        Self(Arc::new(Inner {
            name: name.into(),
            addresses,
            tls,
            replicas,
            turn: AtomicUsize::new(0),
            budget: Budget::default(),
            homes: Homes::default(),
        }))
    }

    /// What it goes by in messages.
    pub(crate) fn name(&self) -> &str {
        &self.0.name
    }

    /// In whatever turn.
    pub(crate) fn turn(&self) -> Order {
        Order::Turns(self.0.turn.fetch_add(1, Ordering::Relaxed))
    }

    /// The replicas, as soon as one is known.
    pub(crate) async fn replicas(&self) -> Arc<[Arc<Replica>]> {
        let mut replicas = self.0.replicas.subscribe();
        let known = timeout(FIRST_TIMEOUT, replicas.wait_for(|replicas| !replicas.is_empty())).await;
        // Its sender is in the same value.
        known.ok().and_then(Result::ok).map(|replicas| Arc::clone(&replicas)).unwrap_or_default()
    }

    /// Keeps the replicas: finds out where they are and how they are, until `stop` is cancelled. `with_lanes` if events are
    /// taken to them. To be run as a task; it fails if one of its own does.
    pub(crate) async fn keep(self, with_lanes: bool, stop: CancellationToken) -> anyhow::Result<()> {
        let inner = &self.0;
        let mut tasks = JoinSet::new();
        let mut known: Vec<(Arc<Replica>, CancellationToken)> = Vec::new();
        loop {
            let places: Vec<Place> = known.iter().map(|(replica, _)| replica.place.clone()).collect();
            let resolved = inner.addresses.resolve(&inner.name, &places);
            let Some(places) = stop.run_until_cancelled(resolved).await else { break };
            let (stay, gone): (Vec<_>, Vec<_>) =
                known.into_iter().partition(|(replica, _)| places.contains(&replica.place));
            for (replica, close) in gone {
                tracing::info!(service = inner.name, ?replica, "a replica is gone");
                close.cancel();
            }
            known = stay;
            for place in places {
                if known.iter().any(|(replica, _)| replica.place == place) {
                    continue;
                }
                tracing::info!(service = inner.name, replica = place.identity, "a replica is found");
                known.push(self.begin(place, with_lanes, &mut tasks)?);
            }
            inner.replicas.send_replace(known.iter().map(|(replica, _)| Arc::clone(replica)).collect());
            let pause = async {
                if inner.addresses.have_names() {
                    tokio::time::sleep(RESOLVE_INTERVAL).await;
                } else {
                    std::future::pending::<()>().await;
                }
            };
            let ended = async {
                // Of a replica that is gone they end, and all others run on.
                while let Some(ended) = tasks.join_next().await {
                    ended.context("a task of a connection panicked")?;
                }
                std::future::pending().await
            };
            tokio::select! {
                () = stop.cancelled() => break,
                () = pause => {}
                failed = ended => return failed,
            }
        }
        for (_, close) in known {
            close.cancel();
        }
        while let Some(ended) = tasks.join_next().await {
            ended.context("a task of a connection panicked")?;
        }
        Ok(())
    }

    /// A new replica, with what cancels its tasks.
    fn begin(
        &self,
        place: Place,
        with_lanes: bool,
        tasks: &mut JoinSet<()>,
    ) -> anyhow::Result<(Arc<Replica>, CancellationToken)> {
        let close = CancellationToken::new();
        let channel = channel(&place, self.0.tls.as_ref())
            .with_context(|| format!("{} cannot be called", place.identity))?;
        let lanes = with_lanes.then(|| Lanes::new(&channel));
        let (lanes, lane_tasks) = lanes.map_or((None, Vec::new()), |(lanes, tasks)| (Some(lanes), tasks));
        let replica = Replica::new(place, channel, lanes);
        for lane in lane_tasks {
            tasks.spawn(lane.run(close.clone()));
        }
        let watched = Arc::clone(&replica).watch(self.0.name.clone());
        let until = close.clone();
        tasks.spawn(async move {
            let _ = until.run_until_cancelled(watched).await;
        });
        Ok((replica, close))
    }

    /// A check that a replica answers for `service`, a gRPC service's full name.
    pub(crate) fn check(&self, service: &str) -> Check {
        let (upstream, service) = (self.clone(), service.to_owned());
        Arc::new(move || {
            let (upstream, service) = (upstream.clone(), service.clone());
            Box::pin(async move {
                let name = upstream.name().to_owned();
                let serves = timeout(HEALTH_TIMEOUT, upstream.serves(&service)).await;
                serves.unwrap_or(Err(Unwell::Late)).map_err(|unwell| format!("the {name} service {unwell}"))
            })
        })
    }

    async fn serves(&self, service: &str) -> Result<(), Unwell> {
        let replicas = self.replicas().await;
        let mut answers: FuturesUnordered<_> =
            replicas.iter().map(|replica| replica.serves(service)).collect();
        let mut why = Unwell::Silent;
        while let Some(answer) = answers.next().await {
            match answer {
                Ok(()) => return Ok(()),
                Err(unwell) => why = why.min(unwell),
            }
        }
        Err(why)
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Upstream({})", self.0.name)
    }
}

/// The services by what they serve: a gRPC package, or one gRPC service by its full name.
#[derive(Clone, Debug, Default)]
pub struct Upstreams(HashMap<String, Upstream>);

impl Upstreams {
    /// The service that serves `service`.
    pub(crate) fn serving(&self, service: &ServiceDescriptor) -> Option<&Upstream> {
        self.0.get(service.full_name()).or_else(|| self.0.get(service.package_name()))
    }

    /// Every service.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Upstream> {
        self.0.values()
    }

    /// Counts them in `registry`.
    pub(crate) fn register(&self, registry: &mut Registry) {
        Metrics::register(self.0.values().cloned().collect(), registry);
    }
}

impl<N: Into<String>> FromIterator<(N, Upstream)> for Upstreams {
    fn from_iter<I: IntoIterator<Item = (N, Upstream)>>(upstreams: I) -> Self {
        Self(upstreams.into_iter().map(|(name, upstream)| (name.into(), upstream)).collect())
    }
}
