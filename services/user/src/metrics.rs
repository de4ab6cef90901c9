//! Counting sign-ins.

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue},
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

/// How a sign-in ended.
#[derive(Clone, Copy, Debug, Hash, PartialEq, Eq, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "they are the labels' values")]
pub(crate) enum Outcome {
    /// A session began.
    succeeded,
    /// The e-mail address or the password was wrong.
    failed,
    /// It came too soon after failures.
    slowed,
    /// Too many were waiting.
    overloaded,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Labels {
    outcome: Outcome,
}

/// The metrics of the service.
#[derive(Clone, Debug)]
pub struct Metrics {
    logins: Family<Labels, Counter>,
}

impl Metrics {
    /// Metrics in `registry`.
    pub fn new(registry: &mut Registry) -> Self {
        let metrics = Self { logins: Family::default() };
        registry.register("mesher_user_logins", "Sign-ins, by how they ended", metrics.logins.clone());
        metrics
    }

    pub(crate) fn login(&self, outcome: Outcome) {
        self.logins.get_or_create(&Labels { outcome }).inc();
    }
}
