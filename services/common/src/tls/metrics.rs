//! Counting what goes wrong with TLS.

use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ReloadLabels {
    of: &'static str,
    outcome: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct HandshakeLabels {
    reason: &'static str,
}

/// Why a handshake came to nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failed {
    /// The client broke off, spoke no TLS, or had no certificate that is trusted.
    Refused,
    /// It took too long.
    Late,
    /// It was the oldest when there were too many.
    PushedOut,
}

/// The metrics of TLS; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    reloads: Family<ReloadLabels, Counter>,
    handshakes: Family<HandshakeLabels, Counter>,
}

impl Metrics {
    /// Metrics in `registry`.
    pub fn new(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "mesher_tls_reloads",
            "Certificates, keys and authorities that changed, by what for and whether they could be used",
            metrics.reloads.clone(),
        );
        registry.register(
            "mesher_tls_handshakes_failed",
            "Connections that came to nothing before anything was sent, by reason",
            metrics.handshakes.clone(),
        );
        metrics
    }

    /// Counts a change of the files for `of`, and whether what is new in them is used.
    pub(super) fn reload(&self, of: &'static str, is_used: bool) {
        let outcome = if is_used { "used" } else { "refused" };
        self.reloads.get_or_create(&ReloadLabels { of, outcome }).inc();
    }

    /// Counts a handshake that came to nothing.
    pub fn handshake(&self, why: Failed) {
        let reason = match why {
            Failed::Refused => "refused",
            Failed::Late => "late",
            Failed::PushedOut => "pushed_out",
        };
        self.handshakes.get_or_create(&HandshakeLabels { reason }).inc();
    }
}
