//! What the database says of API keys, remembered for a moment: the writer cannot ask for each event.
//!
//! An answer is fresh for the given time, and a revoked key stops working when it is over. Those who miss an answer wait for
//! the [`Resolver`], which asks for many keys in one query; of a key that stays in use it asks ahead of time, so that nobody
//! waits. While the database cannot be asked, a key that was valid goes on being valid: nobody can revoke it either, and its
//! events are kept until the database is back. But when a key expires is part of what is remembered, and holds all the same.

use std::{
    collections::HashMap,
    future::Future,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use moka::future::Cache;
use sqlx::PgPool;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, timeout},
};
use tokio_util::sync::CancellationToken;
use tracing::instrument;

use crate::{
    causes::chain,
    db::{self, DatabaseError},
    id::ProjectId,
    rate_limit::RateLimit,
    secret::SecretHash,
};

/// The most keys that are remembered, unknown ones included. Those in use stay when others are tried in masses.
const MAX_KEYS: u64 = 100_000;
/// How long a key that is not used is remembered.
const IDLE: Duration = Duration::from_hours(24);
/// The most keys in one query.
const BATCH: usize = 1000;
/// The most calls that wait for the resolver.
const QUEUE: usize = 4096;
/// How long a call waits for an answer, when it has none.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long a call waits for an answer, when it has an old one.
const PATIENCE_WITH_AN_OLD_ANSWER: Duration = Duration::from_secs(1);
/// How long the database may take to answer a query. It ends those that take longer itself, but nobody does if it is gone and
/// says nothing any more; and all wait for this query.
const LOOK_UP_LIMIT: Duration = Duration::from_secs(5);
/// How long after a query that failed the next one is made.
const RETRY: Duration = Duration::from_millis(250);

/// What the database says of a key that there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// The project that it belongs to.
    pub project_id: ProjectId,
    /// The project's number in DSNs.
    pub project_number: i64,
    /// Whether it was revoked, or has expired.
    pub revoked: bool,
    /// When it expires by itself, if it does.
    pub expires_at: Option<Instant>,
    /// How many events of the project are taken in, where it says so.
    pub project_limit: Option<RateLimit>,
    /// How many events are taken in with the key, where it says so.
    pub key_limit: Option<RateLimit>,
}

/// A row of `resolve_api_keys`.
#[derive(sqlx::FromRow)]
struct Row {
    position: i32,
    project_id: ProjectId,
    project_number: i64,
    revoked: bool,
    expires_in: Option<f64>,
    project_limit_events: Option<i32>,
    project_limit_seconds: Option<i32>,
    key_limit_events: Option<i32>,
    key_limit_seconds: Option<i32>,
}

impl Row {
    /// What was asked for then, and cannot have been answered before: to the safe side.
    fn asked_at(self, asked_at: Instant) -> ApiKey {
        let row = self;
        // What is too far off for an instant is never.
        let expires_in =
            row.expires_in.and_then(|seconds| Duration::try_from_secs_f64(seconds.max(0.0)).ok());
        ApiKey {
            expires_at: expires_in.and_then(|expires_in| asked_at.checked_add(expires_in)),
            project_id: row.project_id,
            project_number: row.project_number,
            revoked: row.revoked,
            project_limit: RateLimit::from_columns(row.project_limit_events, row.project_limit_seconds),
            key_limit: RateLimit::from_columns(row.key_limit_events, row.key_limit_seconds),
        }
    }
}

/// Where keys are looked up: the database.
pub trait Lookup: Send + Sync + 'static {
    /// Those of the keys that there are.
    fn look_up(
        &self,
        keys: &[SecretHash],
    ) -> impl Future<Output = Result<HashMap<SecretHash, ApiKey>, DatabaseError>> + Send;
}

impl Lookup for PgPool {
    #[instrument(name = "db.resolve_api_keys", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
    async fn look_up(&self, keys: &[SecretHash]) -> Result<HashMap<SecretHash, ApiKey>, DatabaseError> {
        let asked_at = Instant::now();
        let rows: Vec<Row> = db::bounded(self, LOOK_UP_LIMIT, async |connection| {
            let asked = sqlx::query_as(
                "SELECT position, project_id, project_number, revoked, expires_in,
                     project_limit_events, project_limit_seconds, key_limit_events, key_limit_seconds
                 FROM resolve_api_keys($1)",
            );
            let keys = keys.iter().map(SecretHash::as_bytes).collect::<Vec<_>>();
            Ok(asked.bind(keys).fetch_all(connection).await?)
        })
        .await?;
        let by_key = |row: Row| {
            // PostgreSQL counts from one.
            let index = usize::try_from(row.position).ok()?.checked_sub(1)?;
            Some((*keys.get(index)?, row.asked_at(asked_at)))
        };
        Ok(rows.into_iter().filter_map(by_key).collect())
    }
}

impl ApiKey {
    /// The same as it is now: one that has expired since it was asked for is as one that was revoked.
    fn now(self) -> Self {
        let has_expired = self.expires_at.is_some_and(|at| at <= Instant::now());
        Self { revoked: self.revoked || has_expired, ..self }
    }
}

/// It could not be found out whether a key is valid.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ResolveError {
    /// The query failed, for all who waited for it.
    #[error(transparent)]
    Database(Arc<DatabaseError>),
    /// There was no answer in time.
    #[error("it was not found out in time whether the API key is valid")]
    TimedOut,
}

/// What was found out about a key.
#[derive(Clone, Debug)]
struct Known {
    /// `None` if there is no such key.
    found: Option<ApiKey>,
    /// When it was asked for: what is changed after that is not seen.
    asked_at: Instant,
    /// Whether it is being asked for again.
    refreshing: Arc<AtomicBool>,
}

#[derive(Debug)]
struct Request {
    key: SecretHash,
    /// Whoever waits for the answer.
    answer: Option<oneshot::Sender<Result<Option<ApiKey>, ResolveError>>>,
}

/// The keys that are remembered; cheap to clone.
#[derive(Clone, Debug)]
pub struct ApiKeys {
    known: Cache<SecretHash, Known>,
    requests: mpsc::Sender<Request>,
    fresh_for: Duration,
    /// Whether the last query failed.
    failing: Arc<AtomicBool>,
}

impl ApiKeys {
    /// Remembers for `fresh_for` what `lookup` says of a key. The resolver is to be run as a task.
    pub fn new<L: Lookup>(lookup: L, fresh_for: Duration) -> (Self, Resolver<L>) {
        let (requests, received) = mpsc::channel(QUEUE);
        let known = Cache::builder().max_capacity(MAX_KEYS).time_to_idle(IDLE).build();
        let failing = Arc::<AtomicBool>::default();
        let resolver = Resolver { lookup, received, known: known.clone(), failing: Arc::clone(&failing) };
        (Self { known, requests, fresh_for, failing }, resolver)
    }

    /// What there is to know of a key; `None` if there is no such key.
    pub async fn get(&self, key: SecretHash) -> Result<Option<ApiKey>, ResolveError> {
        let found = self.find(key).await?;
        Ok(found.map(ApiKey::now))
    }

    async fn find(&self, key: SecretHash) -> Result<Option<ApiKey>, ResolveError> {
        let known = self.known.get(&key).await;
        let is_valid = |found: &Option<ApiKey>| found.is_some_and(|key| !key.revoked);
        if let Some(Known { found, asked_at, .. }) = &known {
            let age = asked_at.elapsed();
            if age < self.fresh_for {
                if is_valid(found) && age >= self.fresh_for / 2 {
                    self.ask_ahead(key, known.as_ref());
                }
                return Ok(*found);
            }
        }
        let old = known.as_ref().map(|known| known.found).filter(is_valid);
        let Some(old) = old else { return self.ask(key, PATIENCE).await };
        if self.failing.load(Ordering::Relaxed) {
            self.ask_ahead(key, known.as_ref());
            return Ok(old);
        }
        // What cannot be found out stays as it was.
        Ok(self.ask(key, PATIENCE_WITH_AN_OLD_ANSWER).await.unwrap_or(old))
    }

    async fn ask(&self, key: SecretHash, patience: Duration) -> Result<Option<ApiKey>, ResolveError> {
        let (answer, answered) = oneshot::channel();
        let request = Request { key, answer: Some(answer) };
        let asked = async {
            self.requests.send(request).await.map_err(|_| ResolveError::TimedOut)?;
            answered.await.map_err(|_| ResolveError::TimedOut)?
        };
        timeout(patience, asked).await.unwrap_or(Err(ResolveError::TimedOut))
    }

    /// Has a key asked for without waiting, unless it is being asked for.
    fn ask_ahead(&self, key: SecretHash, known: Option<&Known>) {
        let Some(known) = known else { return };
        if !known.refreshing.swap(true, Ordering::Relaxed)
            && self.requests.try_send(Request { key, answer: None }).is_err()
        {
            known.refreshing.store(false, Ordering::Relaxed);
        }
    }
}

/// Asks for the keys of [`ApiKeys`].
#[derive(Debug)]
pub struct Resolver<L> {
    lookup: L,
    received: mpsc::Receiver<Request>,
    known: Cache<SecretHash, Known>,
    failing: Arc<AtomicBool>,
}

impl<L: Lookup> Resolver<L> {
    /// Runs until `stop` is cancelled, or nobody can ask any more.
    pub async fn run(mut self, stop: CancellationToken) -> anyhow::Result<()> {
        let mut requests = Vec::new();
        loop {
            let received = self.received.recv_many(&mut requests, BATCH);
            if stop.run_until_cancelled(received).await.is_none_or(|count| count == 0) {
                return Ok(());
            }
            if stop.run_until_cancelled(self.resolve(std::mem::take(&mut requests))).await.is_none() {
                return Ok(());
            }
        }
    }

    async fn resolve(&self, requests: Vec<Request>) {
        let mut keys: Vec<SecretHash> = requests.iter().map(|request| request.key).collect();
        keys.sort_unstable();
        keys.dedup();
        let asked_at = Instant::now();
        let found = self.lookup.look_up(&keys).await.map_err(Arc::new);
        self.failing.store(found.is_err(), Ordering::Relaxed);
        match &found {
            Ok(found) => {
                for key in &keys {
                    let found = found.get(key).copied();
                    let known = Known { found, asked_at, refreshing: Arc::default() };
                    self.known.insert(*key, known).await;
                }
            }
            Err(error) => {
                tracing::warn!(error = %chain(error.as_ref()), keys = keys.len(), "API keys could not be looked up");
                for key in &keys {
                    if let Some(known) = self.known.get(key).await {
                        known.refreshing.store(false, Ordering::Relaxed);
                    }
                }
            }
        }
        for Request { key, answer } in requests {
            if let Some(answer) = answer {
                let found = found.as_ref().map(|found| found.get(&key).copied());
                // Whoever asked may have gone away.
                let _ = answer.send(found.map_err(|error| ResolveError::Database(Arc::clone(error))));
            }
        }
        if found.is_err() {
            tokio::time::sleep(RETRY).await;
        }
    }
}

#[cfg(test)]
mod tests;
