//! The partitions of `events`, one a UTC day: made ahead, by whichever writer comes first, and in a hurry for an
//! event whose day has none.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use chrono::{Days, NaiveDate};
use mesher_common::{
    clock::Clock,
    db::{self, DatabaseError},
};
use sqlx::PgPool;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::instrument;

use super::WORK_LIMIT;

/// How many days ahead partitions are made.
const DAYS_AHEAD: u64 = 7;
/// How often it is looked whether there are enough: daily would do, oftener forgives failures.
const LOOK: Duration = Duration::from_hours(1);
/// How long after a failure it is tried again.
const RETRY: Duration = Duration::from_mins(1);
/// How long partitions are tried to be made at the start while somebody holds a lock that they need, and how long it is waited
/// between two tries: none waits for it for long, because all flushes wait behind.
const LOCK_PATIENCE: Duration = Duration::from_mins(1);
const LOCK_RETRY: Duration = Duration::from_secs(1);
/// SQLSTATE `lock_not_available`.
const LOCK_NOT_AVAILABLE: &str = "55P03";
/// The most days that are remembered: more only come from a clock that jumps about.
const MAX_KNOWN: usize = 64;

/// Makes partitions, and remembers which there are.
#[derive(Clone, Debug)]
pub struct Partitions {
    pool: PgPool,
    known: Arc<Mutex<BTreeSet<NaiveDate>>>,
}

impl Partitions {
    /// The partitions in the database of `pool`.
    pub(super) fn new(pool: PgPool) -> Self {
        Self { pool, known: Arc::default() }
    }

    /// Makes those of today and of the days to come, if they are missing; for a minute at the most while a lock is in the way.
    pub async fn ensure_ahead(&self, clock: &Clock) -> Result<(), DatabaseError> {
        let deadline = Instant::now() + LOCK_PATIENCE;
        loop {
            match self.make_ahead(clock).await {
                Err(error)
                    if error.sqlstate().as_deref() == Some(LOCK_NOT_AVAILABLE)
                        && Instant::now() < deadline =>
                {
                    tracing::warn!(error = error.cause(), "partitions could not be made ahead yet");
                    tokio::time::sleep(LOCK_RETRY).await;
                }
                result => return result,
            }
        }
    }

    async fn make_ahead(&self, clock: &Clock) -> Result<(), DatabaseError> {
        let today = clock.now().date_naive();
        self.make(today, today + Days::new(DAYS_AHEAD)).await
    }

    /// Keeps enough of them ahead until `stop` is cancelled.
    pub async fn keep_ahead(self, clock: Clock, stop: CancellationToken) -> anyhow::Result<()> {
        let mut pause = LOOK;
        loop {
            tokio::select! {
                () = stop.cancelled() => return Ok(()),
                () = tokio::time::sleep(pause) => {}
            }
            pause = match self.make_ahead(&clock).await {
                Ok(()) => LOOK,
                Err(error) => {
                    tracing::warn!(error = error.cause(), "partitions could not be made ahead");
                    RETRY
                }
            };
        }
    }

    /// Makes those of `days` that are missing.
    pub(super) async fn ensure(&self, days: impl Iterator<Item = NaiveDate>) -> Result<(), DatabaseError> {
        let missing: BTreeSet<NaiveDate> = {
            let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            days.filter(|day| !known.contains(day)).collect()
        };
        for day in missing {
            self.make(day, day).await?;
        }
        Ok(())
    }

    /// Forgets which there are: one was not.
    pub(super) fn forget(&self) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    #[instrument(
        name = "db.events.partitions", skip_all, fields(otel.kind = "client", db.system.name = "postgresql")
    )]
    async fn make(&self, first: NaiveDate, last: NaiveDate) -> Result<(), DatabaseError> {
        let made: i32 = db::bounded(&self.pool, WORK_LIMIT, async |connection| {
            let ensure = sqlx::query_scalar("SELECT ensure_event_partitions($1, $2)").bind(first).bind(last);
            Ok(ensure.fetch_one(connection).await?)
        })
        .await?;
        if made > 0 {
            tracing::info!(made, %first, %last, "partitions made");
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.extend(first.iter_days().take_while(|day| *day <= last));
        while known.len() > MAX_KNOWN {
            known.pop_first();
        }
        Ok(())
    }
}
