//! What the engine tells Prometheus, for all projects together: a label for each project would be without bound.
//! A project's own numbers are in its account.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};

use super::account::{DropReason, RefuseReason, Settled};

/// Seconds; from a single COPY to one that was tried three times.
const FLUSH_BUCKETS: [f64; 10] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 10.0];

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct EndLabels {
    end: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RefuseLabels {
    reason: &'static str,
}

/// The engine's metrics; cheap to clone.
#[derive(Clone, Debug)]
pub struct Metrics {
    accepted: Counter,
    refused: Family<RefuseLabels, Counter>,
    settled: Family<EndLabels, Counter>,
    buffered: Gauge,
    flush_seconds: Histogram,
    damaged: Counter,
}

impl Metrics {
    /// Metrics in `registry`.
    pub fn new(registry: &mut Registry) -> Self {
        let metrics = Self {
            accepted: Counter::default(),
            refused: Family::default(),
            settled: Family::default(),
            buffered: Gauge::default(),
            flush_seconds: Histogram::new(FLUSH_BUCKETS),
            damaged: Counter::default(),
        };
        registry.register("mesher_writer_accepted", "Events acknowledged", metrics.accepted.clone());
        registry.register(
            "mesher_writer_refused",
            "Events refused, and so never acknowledged, by reason",
            metrics.refused.clone(),
        );
        registry.register(
            "mesher_writer_settled",
            "Accepted events that are no longer buffered, by their end",
            metrics.settled.clone(),
        );
        registry.register(
            "mesher_writer_buffered",
            "Accepted events that are not settled, in memory or on disk",
            metrics.buffered.clone(),
        );
        registry.register(
            "mesher_writer_flush_seconds",
            "Time of a flush, its retries included",
            metrics.flush_seconds.clone(),
        );
        registry.register(
            "mesher_writer_log_damaged",
            "Places in the logs on disk that were not what was written, found at the start",
            metrics.damaged.clone(),
        );
        metrics
    }

    pub(super) fn accept(&self, count: u64) {
        self.accepted.inc_by(count);
        self.buffered.inc_by(i64::try_from(count).unwrap_or(i64::MAX));
    }

    pub(super) fn refuse(&self, reason: RefuseReason, count: u64) {
        self.refused.get_or_create(&RefuseLabels { reason: reason.label() }).inc_by(count);
    }

    pub(super) fn settle(&self, settled: Settled, count: u64) {
        if count == 0 {
            return;
        }
        let end = match settled {
            Settled::Stored => "stored",
            Settled::DeadLettered => "dead_lettered",
            Settled::Dropped(reason) => reason.label(),
        };
        self.settled.get_or_create(&EndLabels { end }).inc_by(count);
        self.buffered.dec_by(i64::try_from(count).unwrap_or(i64::MAX));
    }

    pub(super) fn drop_oldest(&self, count: u64) {
        self.settle(Settled::Dropped(DropReason::BufferFull), count);
    }

    pub(super) fn damaged(&self, count: u64) {
        self.damaged.inc_by(count);
    }

    pub(super) fn flushed(&self, elapsed: std::time::Duration) {
        self.flush_seconds.observe(elapsed.as_secs_f64());
    }
}
