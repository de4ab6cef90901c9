//! What is counted of the services behind the gateway.

use std::sync::atomic::{AtomicU64, Ordering};

use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
    registry::Registry,
};

use super::Upstream;

/// How often calls were made again.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Calls that were sent before, within the budget.
    pub(super) made: AtomicU64,
    /// Calls that never got to a replica before, which the budget is not for.
    pub(super) never_sent: AtomicU64,
    /// Calls that were not made again, because that would have been too many.
    pub(super) refused: AtomicU64,
}

/// Reads what is there when it is asked.
#[derive(Debug)]
pub(super) struct Metrics(Vec<Upstream>);

impl Metrics {
    /// Has these services counted in `registry`.
    pub(super) fn register(upstreams: Vec<Upstream>, registry: &mut Registry) {
        registry.register_collector(Box::new(Self(upstreams)));
    }
}

impl Collector for Metrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), std::fmt::Error> {
        let gauge = ConstGauge::new(0_i64);
        let mut family = encoder.encode_descriptor(
            "mesher_gateway_replicas",
            "Replicas of the services behind, by whether they are there",
            None,
            gauge.metric_type(),
        )?;
        for upstream in &self.0 {
            let replicas = upstream.0.replicas.borrow().clone();
            let away = replicas.iter().filter(|replica| replica.is_away()).count();
            for (state, count) in [("there", replicas.len() - away), ("away", away)] {
                let labels = [("service", upstream.name()), ("state", state)];
                let gauge = ConstGauge::new(i64::try_from(count).unwrap_or(i64::MAX));
                gauge.encode(family.encode_family(&labels)?)?;
            }
        }
        let counter = ConstCounter::new(0_u64);
        let mut family = encoder.encode_descriptor(
            "mesher_gateway_retries",
            "Calls that were made again (made), or for the first time at last (never_sent), or were not made again because \
             that would have been too many (refused)",
            None,
            counter.metric_type(),
        )?;
        for upstream in &self.0 {
            let counts = &upstream.0.budget.counts;
            let outcomes =
                [("made", &counts.made), ("never_sent", &counts.never_sent), ("refused", &counts.refused)];
            for (outcome, count) in outcomes {
                let labels = [("service", upstream.name()), ("outcome", outcome)];
                let counter = ConstCounter::new(count.load(Ordering::Relaxed));
                counter.encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}
