//! What clients may do whom nobody knows, by their address: call what needs no credentials, and hold out API keys that are
//! not valid. Both cost work before anybody can tell who is calling.
//!
//! A key that was valid a moment ago is let through whatever else comes from its address, which many may share: an
//! application whose key was revoked does not keep its neighbours' events out.

use std::{
    net::{IpAddr, Ipv6Addr},
    time::Duration,
};

use http::request::Parts;
use mesher_common::{
    access::API_KEY_HEADER,
    rate_limit::{Buckets, RateLimit},
    secret::{Secret, SecretHash},
    status::{self, LimitScope},
};
use mesher_proto::mesher::error::v1::ErrorReason;
use moka::sync::Cache;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family},
    registry::Registry,
};
use tokio::time::Instant;
use tonic::Status;

use crate::{
    config::LimitArgs,
    ingest::{Refused, Served},
    sentry,
};

/// The most clients that are counted.
const MAX_CLIENTS: usize = 100_000;
/// The most keys that are remembered to be valid.
const MAX_KEYS: u64 = 10_000;
/// For how long.
const KEY_MEMORY: Duration = Duration::from_mins(10);
/// The bits of an IPv6 address that name a network: whoever has one has all of its addresses.
const NETWORK: u128 = !0 << 64;

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Labels {
    limit: &'static str,
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Guard {
    calls: Limited,
    bad_keys: Limited,
    good_keys: Cache<SecretHash, ()>,
    refused: Family<Labels, Counter>,
}

/// A limit, and who used how much of it.
#[derive(Debug)]
struct Limited {
    limit: Option<RateLimit>,
    buckets: Buckets<IpAddr>,
}

impl Limited {
    fn new(limit: Option<RateLimit>) -> Self {
        Self { limit, buckets: Buckets::new(MAX_CLIENTS) }
    }

    /// Uses the limit once, if that can be.
    fn take(&self, client: IpAddr) -> Result<(), Status> {
        let Some(limit) = self.limit else { return Ok(()) };
        let now = Instant::now();
        if self.buckets.take(&client, limit, 1, now) == 1 {
            return Ok(());
        }
        Err(status::rate_limited(LimitScope::Client, limit, self.buckets.wait(&client, limit, now)))
    }

    /// Whether it could be used once more.
    fn check(&self, client: IpAddr) -> Result<(), Status> {
        let Some(limit) = self.limit else { return Ok(()) };
        match self.buckets.wait(&client, limit, Instant::now()) {
            Duration::ZERO => Ok(()),
            wait => Err(status::rate_limited(LimitScope::Client, limit, wait)),
        }
    }
}

impl Guard {
    /// A guard with the limits in `args`, which counts in `registry`.
    pub(crate) fn new(args: &LimitArgs, registry: &mut Registry) -> Self {
        let refused = Family::default();
        registry.register(
            "mesher_gateway_rate_limited",
            "Requests refused for the rate limit of a client's address: calls without credentials (unauthenticated), and \
             requests after others with API keys that were not valid (bad_key)",
            refused.clone(),
        );
        Self {
            calls: Limited::new(args.client_rate_limit.0),
            bad_keys: Limited::new(args.bad_key_rate_limit.0),
            good_keys: Cache::builder().max_capacity(MAX_KEYS).time_to_live(KEY_MEMORY).build(),
            refused,
        }
    }

    /// Lets a call through that needs no credentials.
    pub(crate) fn call(&self, client: IpAddr) -> Result<(), Status> {
        self.calls.take(named(client)).inspect_err(|_| self.count("unauthenticated"))
    }

    /// Lets a request with an API key through, whose key is not looked at yet.
    pub(crate) fn key(&self, client: IpAddr, parts: &Parts) -> Result<Attempt<'_>, Status> {
        let key = if self.bad_keys.limit.is_some() { key(parts) } else { None };
        let known = key.filter(|key| self.good_keys.contains_key(key)).is_some();
        let client = named(client);
        if !known {
            self.bad_keys.check(client).inspect_err(|_| self.count("bad_key"))?;
        }
        Ok(Attempt { guard: self, client, key, known })
    }

    fn count(&self, limit: &'static str) {
        self.refused.get_or_create(&Labels { limit }).inc();
    }
}

/// A request with an API key.
#[derive(Debug)]
pub(crate) struct Attempt<'g> {
    guard: &'g Guard,
    client: IpAddr,
    /// The key, unless it stands in the body.
    key: Option<SecretHash>,
    known: bool,
}

impl Attempt<'_> {
    /// Notes what the writer said of the key.
    pub(crate) fn answered(self, served: Result<&Served, &Refused>) {
        match served {
            Ok(_) => {
                if let Some(key) = self.key.filter(|_| !self.known) {
                    self.guard.good_keys.insert(key, ());
                }
            }
            Err(refused) if refused.error.reason() == ErrorReason::ApiKeyInvalid => {
                if let Some(key) = &self.key {
                    self.guard.good_keys.invalidate(key);
                }
                // Of several at once, those beyond the limit were let through already.
                let _ = self.guard.bad_keys.take(self.client);
            }
            Err(_) => {}
        }
    }
}

/// The key that a request has in its headers or its query. A request that has it in the body is another matter, as is one
/// whose key cannot be read: those keys are not known.
fn key(parts: &Parts) -> Option<SecretHash> {
    let secret = match parts.headers.get(API_KEY_HEADER) {
        Some(key) => Secret::parse_api_key(key.to_str().ok()?),
        None => Secret::parse_api_key(&sentry::auth::key(&parts.headers, parts.uri.query()).ok()??),
    };
    Some(secret?.sha256())
}

/// Who is one client: an IPv4 address, or an IPv6 network.
fn named(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & NETWORK).into(),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_client_is_an_address_or_an_ipv6_network_and_waits_as_long_as_it_is_told() {
        let limited = Limited::new(RateLimit::new(2, 10));
        let take = |client: &str| limited.take(named(client.parse().unwrap()));
        for client in ["2001:db8::1", "2001:db8::ffff:0:0:1", "192.0.2.1", "::ffff:192.0.2.1"] {
            take(client).unwrap();
        }
        for client in ["2001:db8:0:0:1234::", "192.0.2.1"] {
            let refused = take(client).unwrap_err();
            let info = tonic_types::StatusExt::get_details_error_info(&refused).unwrap();
            assert_eq!((info.reason.as_str(), info.metadata["scope"].as_str()), ("RATE_LIMITED", "CLIENT"));
            assert!(limited.check(named(client.parse().unwrap())).is_err());
        }
        take("2001:db8:0:1::1").unwrap();
        take("192.0.2.2").unwrap();
        tokio::time::advance(Duration::from_secs(6)).await;
        limited.check("192.0.2.1".parse().unwrap()).unwrap();
        take("192.0.2.1").unwrap();
        take("192.0.2.1").unwrap_err();
    }
}
