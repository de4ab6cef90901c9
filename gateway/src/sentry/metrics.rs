//! Counting what is not stored.

use bytes::Bytes;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

use super::{client_report, item::ItemType};

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct TypeLabels {
    r#type: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct DroppedLabels {
    reason: &'static str,
    category: &'static str,
}

/// The metrics of what SDKs send beside events.
#[derive(Debug)]
pub(super) struct Metrics {
    discarded: Family<TypeLabels, Counter>,
    dropped: Family<DroppedLabels, Counter>,
}

impl Metrics {
    /// Metrics in `registry`.
    pub(super) fn new(registry: &mut Registry) -> Self {
        let metrics = Self { discarded: Family::default(), dropped: Family::default() };
        registry.register(
            "mesher_sentry_items_discarded",
            "Items of envelopes that were accepted and not kept, because Mesher keeps events alone",
            metrics.discarded.clone(),
        );
        registry.register(
            "mesher_sentry_client_dropped",
            "What SDKs say in client reports that they dropped themselves",
            metrics.dropped.clone(),
        );
        metrics
    }

    /// Counts items that are not stored.
    pub(super) fn count(&self, items: &[(ItemType, Bytes)]) {
        for (item_type, payload) in items {
            let report =
                if *item_type == ItemType::ClientReport { client_report::read(payload) } else { None };
            match report {
                None => {
                    self.discarded.get_or_create(&TypeLabels { r#type: item_type.name() }).inc();
                }
                Some(report) => {
                    for dropped in report {
                        let labels = DroppedLabels { reason: dropped.reason, category: dropped.category };
                        self.dropped.get_or_create(&labels).inc_by(dropped.quantity);
                    }
                }
            }
        }
    }
}
