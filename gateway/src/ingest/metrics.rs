//! Counting events.

use mesher_common::status::reason_name;
use mesher_proto::mesher::error::v1::ErrorReason;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

use crate::error::ApiError;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct AcceptedLabels {
    route: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RefusedLabels {
    route: String,
    reason: &'static str,
}

/// The metrics of events.
#[derive(Clone, Debug)]
pub(crate) struct EventMetrics {
    accepted: Family<AcceptedLabels, Counter>,
    refused: Family<RefusedLabels, Counter>,
}

/// What became of the events of a request.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    accepted: u64,
    refused: Vec<ErrorReason>,
}

impl Tally {
    /// All of so many were accepted.
    pub(crate) fn accepted(count: u64) -> Self {
        Self { accepted: count, refused: Vec::new() }
    }

    /// Each had this outcome.
    pub(crate) fn of(outcomes: &[Result<String, ApiError>]) -> Self {
        let refused: Vec<_> =
            outcomes.iter().filter_map(|outcome| outcome.as_ref().err().map(ApiError::reason)).collect();
        Self { accepted: (outcomes.len() - refused.len()) as u64, refused }
    }

    /// So many were refused for this reason.
    pub(crate) fn refused(count: usize, reason: ErrorReason) -> Self {
        Self { accepted: 0, refused: vec![reason; count] }
    }
}

impl EventMetrics {
    /// Metrics in `registry`.
    pub(crate) fn new(registry: &mut Registry) -> Self {
        let metrics = Self { accepted: Family::default(), refused: Family::default() };
        registry.register(
            "mesher_gateway_events_accepted",
            "Events that the writer took in",
            metrics.accepted.clone(),
        );
        registry.register(
            "mesher_gateway_events_refused",
            "Events that were refused, by the gateway or by the writer",
            metrics.refused.clone(),
        );
        metrics
    }

    /// Counts what became of the events of a request for `route`, which is a template and no path.
    pub(crate) fn count(&self, route: &str, tally: &Tally) {
        if tally.accepted > 0 {
            let labels = AcceptedLabels { route: route.to_owned() };
            self.accepted.get_or_create(&labels).inc_by(tally.accepted);
        }
        for reason in &tally.refused {
            let labels = RefusedLabels { route: route.to_owned(), reason: reason_name(*reason) };
            self.refused.get_or_create(&labels).inc();
        }
    }
}
