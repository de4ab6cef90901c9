//! Counting connections.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use super::watch::Outstayed;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Labels {
    reason: &'static str,
}

/// Why the server ended a connection of its own accord.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Closed {
    /// It outstayed something.
    Outstayed(Outstayed),
    /// It was idle, and its place was wanted.
    Wanted,
    /// There was no place for it.
    NoRoom,
}

impl Closed {
    fn label(self) -> &'static str {
        match self {
            Self::Outstayed(Outstayed::Head) => "slow_head",
            Self::Outstayed(Outstayed::Idle) => "idle",
            Self::Outstayed(Outstayed::Request) => "slow_reader",
            Self::Wanted => "place_wanted",
            Self::NoRoom => "no_room",
        }
    }
}

/// The metrics of connections; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Metrics {
    pub(super) open: Gauge,
    closed: Family<Labels, Counter>,
}

impl Metrics {
    /// Metrics in `registry`.
    pub(crate) fn new(registry: &mut Registry) -> Self {
        let metrics = Self { open: Gauge::default(), closed: Family::default() };
        registry.register("mesher_http_connections", "Connections that have a place", metrics.open.clone());
        registry.register(
            "mesher_http_connections_closed",
            "Connections that the server ended of its own accord, by reason",
            metrics.closed.clone(),
        );
        metrics
    }

    pub(super) fn close(&self, reason: Closed) {
        self.closed.get_or_create(&Labels { reason: reason.label() }).inc();
    }
}
