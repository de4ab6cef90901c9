//! Retention: what was received more than so many days ago is deleted, the events as whole partitions.

use std::{num::NonZeroU16, time::Duration};

use chrono::{Days, NaiveDate};
use mesher_common::{
    clock::Clock,
    db::{self, DatabaseError},
};
use sqlx::PgPool;
use tokio_util::sync::CancellationToken;
use tracing::instrument;

use super::WORK_LIMIT;

/// How often it is looked whether something has expired: daily would do, oftener forgives failures.
const LOOK: Duration = Duration::from_hours(1);

/// Deletes what has expired.
#[derive(Clone, Debug)]
pub struct Retention {
    pool: PgPool,
    days: NonZeroU16,
}

impl Retention {
    /// What is in the database of `pool` is kept for so many days.
    pub(super) fn new(pool: PgPool, days: NonZeroU16) -> Self {
        Self { pool, days }
    }

    /// Deletes what has expired, now and from then on, until `stop` is cancelled.
    pub async fn keep(self, clock: Clock, stop: CancellationToken) -> anyhow::Result<()> {
        loop {
            // A failure is not lost: the next look finds what is left.
            match stop.run_until_cancelled(self.delete_expired(&clock)).await {
                Some(Ok(0)) => {}
                Some(Ok(steps)) => tracing::info!(steps, days = self.days, "what has expired was deleted"),
                Some(Err(error)) => {
                    tracing::warn!(error = error.cause(), "what has expired could not be deleted");
                }
                None => return Ok(()),
            }
            if stop.run_until_cancelled(tokio::time::sleep(LOOK)).await.is_none() {
                return Ok(());
            }
        }
    }

    /// Deletes all that has expired, step by step: in how many.
    pub async fn delete_expired(&self, clock: &Clock) -> Result<u64, DatabaseError> {
        // Whole days: an event is kept for at least as long as was asked for.
        let Some(keep_from) = clock.now().date_naive().checked_sub_days(Days::new(self.days.get().into()))
        else {
            return Ok(0);
        };
        let mut steps = 0;
        while self.step(keep_from).await? {
            steps += 1;
        }
        Ok(steps)
    }

    #[instrument(
        name = "db.events.expire", skip_all, fields(otel.kind = "client", db.system.name = "postgresql")
    )]
    async fn step(&self, keep_from: NaiveDate) -> Result<bool, DatabaseError> {
        db::bounded(&self.pool, WORK_LIMIT, async |connection| {
            let step = sqlx::query_scalar("SELECT delete_expired_events($1)").bind(keep_from);
            Ok(step.fetch_one(connection).await?)
        })
        .await
    }
}
