//! The services behind the gateway, and the connections to them.

use std::{collections::HashMap, fmt, time::Duration};

use http::Uri;
use mesher_common::admin::Check;
use prost_reflect::ServiceDescriptor;
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

/// How long to wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How often a connection is probed, so that one to a machine that vanished is given up.
const KEEPALIVE: Duration = Duration::from_secs(10);
/// How long to wait for the answer to a probe.
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long to wait for the answer to a health check: less than a readiness check may take.
const HEALTH_TIMEOUT: Duration = Duration::from_millis(800);

/// A service behind the gateway. It need not be there yet: connections are made when they are needed, and made
/// again when they are lost.
#[derive(Clone)]
pub struct Upstream {
    name: String,
    channel: Channel,
}

impl Upstream {
    /// The service that goes by `name` in messages, at `address`.
    pub fn new(name: impl Into<String>, address: Uri) -> Self {
        let channel = Endpoint::from(address)
            .connect_timeout(CONNECT_TIMEOUT)
            .http2_keep_alive_interval(KEEPALIVE)
            .keep_alive_timeout(KEEPALIVE_TIMEOUT)
            .keep_alive_while_idle(true)
            .connect_lazy();
        Self { name: name.into(), channel }
    }

    /// What it goes by in messages.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The connection for the next call.
    pub(crate) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// A check that the service answers for `service`, a gRPC service's full name.
    pub(crate) fn check(&self, service: &str) -> Check {
        let (upstream, service) = (self.clone(), service.to_owned());
        std::sync::Arc::new(move || {
            let (upstream, service) = (upstream.clone(), service.clone());
            Box::pin(async move { upstream.serves(service).await })
        })
    }

    async fn serves(&self, service: String) -> Result<(), String> {
        let mut client = HealthClient::new(self.channel());
        let answer = tokio::time::timeout(HEALTH_TIMEOUT, client.check(HealthCheckRequest { service })).await;
        match answer {
            Ok(Ok(answer)) if answer.get_ref().status() == ServingStatus::Serving => Ok(()),
            Ok(Ok(_)) => Err(format!("the {} service is not serving", self.name)),
            Ok(Err(error)) => {
                tracing::debug!(upstream = self.name, %error, "a health check failed");
                Err(format!("the {} service does not answer", self.name))
            }
            Err(_) => Err(format!("the {} service does not answer in time", self.name)),
        }
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Upstream({})", self.name)
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
}

impl<N: Into<String>> FromIterator<(N, Upstream)> for Upstreams {
    fn from_iter<I: IntoIterator<Item = (N, Upstream)>>(upstreams: I) -> Self {
        Self(upstreams.into_iter().map(|(name, upstream)| (name.into(), upstream)).collect())
    }
}
