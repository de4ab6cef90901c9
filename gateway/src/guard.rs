//! What clients may do whom nobody knows, by their address: call what needs no credentials, and hold out API keys that are
//! not valid. Both cost work before anybody can tell who is calling.
//!
//! Many may share an address, and one of them, whose key was revoked, must not keep the events of the others out. So what
//! counts against an address are different keys, as of somebody who guesses; the same key again counts against itself; and
//! one that was valid a moment ago is let through whatever else comes from there.

use std::{
    hash::{BuildHasher as _, Hash, RandomState},
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use mesher_common::{
    network::subscriber,
    rate_limit::{Buckets, RateLimit},
    status::{self, LimitScope, reason_name},
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
use tonic_types::{RpcStatusExt as _, Status as RpcStatus};

use crate::config::LimitArgs;

/// The most clients that are counted.
const MAX_CLIENTS: usize = 100_000;
/// The most keys of which it is remembered whether they were valid.
const MAX_KEYS: u64 = 100_000;
/// For how long.
const KEY_MEMORY: Duration = Duration::from_mins(10);

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct Labels {
    limit: &'static str,
}

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Guard {
    calls: Limited<IpAddr>,
    bad_keys: Limited<IpAddr>,
    /// The same keys again.
    repeated: Limited<(IpAddr, KeyName)>,
    /// Whether a key was valid when it was tried the last time.
    known: Cache<KeyName, bool>,
    names: RandomState,
    refused: Family<Labels, Counter>,
    /// How often the writer said that a key is not valid.
    invalid: Counter,
}

/// A hash of a key and of what it was held out for, by which nobody finds out the key.
type KeyName = u64;

/// A limit, and who used how much of it.
#[derive(Debug)]
struct Limited<K> {
    limit: Option<RateLimit>,
    buckets: Buckets<K>,
}

impl<K: Clone + Eq + Hash + Ord> Limited<K> {
    fn new(limit: Option<RateLimit>) -> Self {
        Self { limit, buckets: Buckets::new(MAX_CLIENTS) }
    }

    /// Uses the limit once, if that can be.
    fn take(&self, who: &K) -> Result<(), Status> {
        let Some(limit) = self.limit else { return Ok(()) };
        let now = Instant::now();
        if self.buckets.take(who, limit, 1, now) == 1 {
            return Ok(());
        }
        Err(status::rate_limited(LimitScope::Client, limit, self.buckets.wait(who, limit, now)))
    }

    /// Whether it could be used once more.
    fn check(&self, who: &K) -> Result<(), Status> {
        let Some(limit) = self.limit else { return Ok(()) };
        match self.buckets.wait(who, limit, Instant::now()) {
            Duration::ZERO => Ok(()),
            wait => Err(status::rate_limited(LimitScope::Client, limit, wait)),
        }
    }
}

impl Guard {
    /// A guard with the limits in `args`, which counts in `registry`.
    pub(crate) fn new(args: &LimitArgs, registry: &mut Registry) -> Self {
        let (refused, invalid) = (Family::default(), Counter::default());
        registry.register(
            "mesher_gateway_rate_limited",
            "Requests refused for the rate limit of a client's address: calls without credentials (unauthenticated), and \
             requests after others with API keys that were not valid (bad_key)",
            refused.clone(),
        );
        registry.register(
            "mesher_gateway_bad_keys",
            "Requests whose API key turned out not to be valid, whether or not their clients waited for it",
            invalid.clone(),
        );
        Self {
            calls: Limited::new(args.client_rate_limit.0),
            bad_keys: Limited::new(args.bad_key_rate_limit.0),
            repeated: Limited::new(args.bad_key_rate_limit.0),
            known: Cache::builder().max_capacity(MAX_KEYS).time_to_idle(KEY_MEMORY).build(),
            names: RandomState::new(),
            refused,
            invalid,
        }
    }

    /// Lets a call through that needs no credentials.
    pub(crate) fn call(&self, client: IpAddr) -> Result<(), Status> {
        self.calls.take(&subscriber(client)).inspect_err(|_| self.count("unauthenticated"))
    }

    /// Lets a request for `path` with an API key through, which is not looked at yet.
    pub(crate) fn key(
        self: &Arc<Self>,
        client: IpAddr,
        key: &str,
        path: &str,
    ) -> Result<Arc<Attempt>, Status> {
        let client = subscriber(client);
        let key = self.names.hash_one((key, path));
        let allowed = match self.known.get(&key) {
            Some(true) => Ok(()),
            Some(false) => self.repeated.check(&(client, key)),
            None => self.bad_keys.check(&client),
        };
        allowed.inspect_err(|_| self.count("bad_key"))?;
        let guard = Arc::clone(self);
        Ok(Arc::new(Attempt { guard, client, key, is_settled: AtomicBool::new(false) }))
    }

    fn count(&self, limit: &'static str) {
        self.refused.get_or_create(&Labels { limit }).inc();
    }
}

/// A request with an API key. It goes to the writer with what was sent, and is told the answer there: whether or not the client
/// waits for it, the key was looked up.
#[derive(Debug)]
pub(crate) struct Attempt {
    guard: Arc<Guard>,
    client: IpAddr,
    key: KeyName,
    is_settled: AtomicBool,
}

impl Attempt {
    /// Notes what the writer said of the key, the first time that it says anything: it answered with this error, or none.
    pub(crate) fn answered(&self, error: Option<&RpcStatus>) {
        let is_valid = match error {
            None => true,
            Some(error) if is_of_key(error) => false,
            // Nothing was said of it.
            Some(_) => return,
        };
        if self.is_settled.swap(true, Ordering::Relaxed) {
            return;
        }
        // Of several at once, another may have been answered since this one came.
        let was_valid = self.guard.known.get(&self.key);
        if was_valid != Some(is_valid) {
            self.guard.known.insert(self.key, is_valid);
        }
        if !is_valid {
            // Those beyond the limit were let through already.
            let _ = match was_valid {
                Some(false) => self.guard.repeated.take(&(self.client, self.key)),
                Some(true) | None => self.guard.bad_keys.take(&self.client),
            };
            self.guard.invalid.inc();
        }
    }
}

/// Whether an error says that the key is not valid.
fn is_of_key(error: &RpcStatus) -> bool {
    let info = error.get_details_error_info();
    info.is_some_and(|info| info.reason == reason_name(ErrorReason::ApiKeyInvalid))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_client_is_an_address_or_an_ipv6_network_and_waits_as_long_as_it_is_told() {
        let limited = Limited::new(RateLimit::new(2, 10));
        let take = |client: &str| limited.take(&subscriber(client.parse().unwrap()));
        for client in ["2001:db8::1", "2001:db8::ffff:0:0:1", "192.0.2.1", "::ffff:192.0.2.1"] {
            take(client).unwrap();
        }
        for client in ["2001:db8:0:0:1234::", "192.0.2.1"] {
            let refused = take(client).unwrap_err();
            let info = tonic_types::StatusExt::get_details_error_info(&refused).unwrap();
            assert_eq!((info.reason.as_str(), info.metadata["scope"].as_str()), ("RATE_LIMITED", "CLIENT"));
            assert!(limited.check(&subscriber(client.parse().unwrap())).is_err());
        }
        take("2001:db8:0:1::1").unwrap();
        take("192.0.2.2").unwrap();
        tokio::time::advance(Duration::from_secs(6)).await;
        limited.check(&"192.0.2.1".parse().unwrap()).unwrap();
        take("192.0.2.1").unwrap();
        take("192.0.2.1").unwrap_err();
    }
}
