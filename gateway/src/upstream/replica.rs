//! One replica of a service: the connection to it, and whether it is there.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use http::Uri;
use mesher_common::tls::UpstreamTls;
use tokio::{
    sync::Notify,
    time::{sleep, timeout},
};
use tonic::{
    Code, Status,
    transport::{Channel, Endpoint},
};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use super::{address::Place, backoff::Backoff, lane::Lanes};

/// How long to wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How often a connection is probed, so that one to a machine that vanished is given up.
const KEEPALIVE: Duration = Duration::from_secs(10);
/// How long to wait for the answer to a probe.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a replica that is there is asked how it is.
const CHECK_INTERVAL: Duration = Duration::from_secs(2);
/// How long it may take to say so.
const CHECK_TIMEOUT: Duration = Duration::from_secs(2);
/// How soon one that is away is asked again, at first and at last.
const AWAY_PAUSES: [Duration; 2] = [Duration::from_millis(50), Duration::from_secs(2)];

/// See the [module](self).
pub(crate) struct Replica {
    /// Where it is.
    pub(super) place: Place,
    channel: Channel,
    /// What takes events to it, if that is what the service is for.
    lanes: Option<Lanes>,
    away: AtomicBool,
    in_hand: AtomicUsize,
    suspected: Notify,
}

/// A call in hand, which ends when this is dropped.
pub(super) struct InHand<'r>(&'r AtomicUsize);

impl Drop for InHand<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The connection to a replica: made when it is needed, and made again when it is lost. `tls` has whom to trust, for a replica
/// that is called with TLS.
pub(super) fn channel(place: &Place, tls: Option<&UpstreamTls>) -> anyhow::Result<Channel> {
    let endpoint = Endpoint::from_shared(format!("http://{}", place.address))?
        .connect_timeout(CONNECT_TIMEOUT)
        .http2_keep_alive_interval(KEEPALIVE)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true);
    let scheme = if place.tls_name.is_some() { "https" } else { "http" };
    let called = format!("{scheme}://{}", place.authority).parse::<Uri>();
    let endpoint = match called {
        Ok(called) => endpoint.origin(called),
        Err(_) => endpoint,
    };
    let Some(name) = &place.tls_name else { return Ok(endpoint.connect_lazy()) };
    let tls = tls.context("it is to be called with TLS, which was not set up")?;
    Ok(endpoint.connect_with_connector_lazy(tls.connector(place.address.to_string(), name)?))
}

impl Replica {
    /// The replica at `place`; it is taken to be there until it is seen not to be.
    pub(super) fn new(place: Place, channel: Channel, lanes: Option<Lanes>) -> Arc<Self> {
        Arc::new(Self {
            place,
            channel,
            lanes,
            away: AtomicBool::new(false),
            in_hand: AtomicUsize::new(0),
            suspected: Notify::new(),
        })
    }

    /// The connection for the next call.
    pub(crate) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// What takes events to it.
    pub(crate) fn lanes(&self) -> Option<&Lanes> {
        self.lanes.as_ref()
    }

    /// Whether it is not there, as far as is known.
    pub(super) fn is_away(&self) -> bool {
        self.away.load(Ordering::Relaxed)
    }

    /// How many calls are in hand.
    pub(super) fn load(&self) -> usize {
        self.in_hand.load(Ordering::Relaxed)
    }

    /// Counts a call.
    pub(super) fn begin(&self) -> InHand<'_> {
        self.in_hand.fetch_add(1, Ordering::Relaxed);
        InHand(&self.in_hand)
    }

    /// A call found it away, by this: so it is until it says otherwise, and is asked at once.
    pub(super) fn suspect(&self, service: &str, cause: &Status) {
        if !self.away.swap(true, Ordering::Relaxed) {
            tracing::warn!(service, replica = self.place.identity, ?cause, "a replica is away");
            self.suspected.notify_one();
        }
    }

    /// Asks it how it is, again and again.
    pub(super) async fn watch(self: Arc<Self>, service: String) {
        let mut backoff = Backoff::new(AWAY_PAUSES);
        loop {
            let is_there = self.serves("").await.is_ok();
            let was_away = self.away.swap(!is_there, Ordering::Relaxed);
            match (was_away, is_there) {
                (false, false) => {
                    tracing::warn!(service, replica = self.place.identity, "a replica is away");
                }
                (true, true) => {
                    tracing::info!(service, replica = self.place.identity, "a replica is back");
                }
                (true, false) | (false, true) => {}
            }
            if is_there {
                tokio::select! {
                    () = sleep(CHECK_INTERVAL) => backoff = Backoff::new(AWAY_PAUSES),
                    // What fails although it says that it is there is not asked without a pause.
                    () = self.suspected.notified() => sleep(backoff.next()).await,
                }
            } else {
                sleep(backoff.next()).await;
            }
        }
    }

    /// Whether it says that it serves `service`, a gRPC service's full name, or all that it has for an empty one.
    pub(super) async fn serves(&self, service: &str) -> Result<(), Unwell> {
        let mut client = HealthClient::new(self.channel());
        let asked = client.check(HealthCheckRequest { service: service.to_owned() });
        match timeout(CHECK_TIMEOUT, asked).await {
            Ok(Ok(answer)) if answer.get_ref().status() == ServingStatus::Serving => Ok(()),
            Ok(Ok(_)) => Err(Unwell::NotServing),
            // Who answers, and knows no health checks, is there.
            Ok(Err(status)) if status.code() == Code::Unimplemented => Ok(()),
            Ok(Err(error)) => {
                tracing::debug!(replica = self.place.identity, %error, "a health check failed");
                Err(Unwell::Silent)
            }
            Err(_) => Err(Unwell::Late),
        }
    }
}

/// Why a replica is not to be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub(super) enum Unwell {
    /// It says so itself.
    #[error("is not serving")]
    NotServing,
    /// It did not answer in time.
    #[error("does not answer in time")]
    Late,
    /// It cannot be reached.
    #[error("does not answer")]
    Silent,
}

impl fmt::Debug for Replica {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Replica({})", self.place.identity)
    }
}
