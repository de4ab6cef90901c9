//! Counting requests.

use std::time::Instant;

use http::{Method, StatusCode};
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

/// Seconds; from a cached read to a call that waits for a flush.
const LATENCY_BUCKETS: [f64; 12] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];

/// The status that is counted for a request whose client went away before the answer.
const ABANDONED: u16 = 499;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RouteLabels {
    method: &'static str,
    route: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct EndLabels {
    method: &'static str,
    route: String,
    status: u16,
}

/// The metrics of the HTTP server.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    requests: Family<EndLabels, Counter>,
    latency: Family<RouteLabels, Histogram, fn() -> Histogram>,
    in_hand: Gauge,
}

impl Metrics {
    /// Metrics in `registry`.
    pub(crate) fn new(registry: &mut Registry) -> Self {
        let metrics = Self {
            requests: Family::default(),
            latency: Family::new_with_constructor(|| Histogram::new(LATENCY_BUCKETS)),
            in_hand: Gauge::default(),
        };
        registry.register("mesher_http_requests", "Requests that ended, by status", metrics.requests.clone());
        registry.register(
            "mesher_http_seconds",
            "Time from a request to its answer",
            metrics.latency.clone(),
        );
        registry.register("mesher_http_in_hand", "Requests in hand", metrics.in_hand.clone());
        metrics
    }

    /// A request for `route`, which is a template and no path, so that callers cannot invent labels.
    pub(crate) fn begin(&self, method: &Method, route: String) -> InHand {
        self.in_hand.inc();
        let labels = RouteLabels { method: known(method), route };
        InHand { metrics: self.clone(), labels, started: Instant::now(), status: ABANDONED }
    }
}

/// A request in hand: it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct InHand {
    metrics: Metrics,
    labels: RouteLabels,
    started: Instant,
    status: u16,
}

impl InHand {
    /// It is answered, and in hand until what this gives is dropped.
    #[must_use]
    pub(crate) fn answered(mut self, status: StatusCode) -> Self {
        self.status = status.as_u16();
        self
    }
}

impl Drop for InHand {
    fn drop(&mut self) {
        let RouteLabels { method, route } = self.labels.clone();
        self.metrics.in_hand.dec();
        self.metrics.requests.get_or_create(&EndLabels { method, route, status: self.status }).inc();
        self.metrics.latency.get_or_create(&self.labels).observe(self.started.elapsed().as_secs_f64());
    }
}

/// The method as a label: one of those in use, or `other`.
fn known(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
