//! PostgreSQL: the [`Sink`] of the engine. All the SQL of the service.

mod copy;
mod duplicates;
mod issues;
mod partitions;
mod retention;

use std::{
    collections::{HashMap, HashSet},
    num::NonZeroU16,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use mesher_common::{
    db::{self, DatabaseError},
    id::ProjectId,
};
use sqlx::{Connection as _, PgConnection, PgPool};
use tracing::instrument;
use uuid::Uuid;

use self::duplicates::Suspects;
pub use self::{partitions::Partitions, retention::Retention};
use crate::{
    engine::sink::{Outcome, Sink, SinkError},
    event::Event,
};

/// How often a batch is begun anew because the table changed under it: a project was deleted, another writer
/// stored one of the ids, a partition went.
const RESTARTS: usize = 4;

/// For how many batches after one with an event that was in the table already all ids are looked up first: after a crash
/// what the log holds is stored again from the beginning of a segment, and a COPY that fails for one row is for nothing.
const WARY: usize = 32;

/// How long anything may take: longer than PostgreSQL lets a statement run.
const WORK_LIMIT: Duration = Duration::from_secs(30);

/// SQLSTATE `unique_violation`.
const UNIQUE_VIOLATION: &str = "23505";
/// SQLSTATE `check_violation`; without a constraint's name it says that no partition takes the row.
const CHECK_VIOLATION: &str = "23514";

/// The events in the database.
#[derive(Clone, Debug)]
pub struct Store {
    pool: PgPool,
    partitions: Partitions,
    /// For how many batches more all ids are looked up.
    wary: Arc<AtomicUsize>,
}

impl Store {
    /// The store in the database of `pool`.
    pub fn new(pool: PgPool) -> Self {
        Self { partitions: Partitions::new(pool.clone()), pool, wary: Arc::default() }
    }

    /// What is deleted for its age, when events are kept for so many days.
    pub fn retention(&self, days: NonZeroU16) -> Retention {
        Retention::new(self.pool.clone(), days)
    }

    /// The partitions of the events.
    pub fn partitions(&self) -> &Partitions {
        &self.partitions
    }

    /// One transaction: what is not in the table yet, and is not `gone`, is counted in its issue and copied into the table.
    /// `None` if somebody else stored some of it meanwhile, and it is to be begun anew.
    #[instrument(
        name = "db.events.copy", skip_all,
        fields(otel.kind = "client", db.system.name = "postgresql", events = batch.len())
    )]
    async fn try_store(
        connection: &mut PgConnection,
        batch: &[Event],
        gone: &HashSet<ProjectId>,
        suspects: Suspects,
    ) -> Result<Option<Vec<Outcome>>, DatabaseError> {
        let mut transaction = connection.begin_with(duplicates::BEGIN).await?;
        let stored = duplicates::stored_already(&mut transaction, batch, suspects).await?;
        let mut seen = HashMap::new();
        let outcomes: Vec<(Outcome, bool)> = batch
            .iter()
            .zip(stored)
            .map(|(event, stored)| match stored {
                _ if gone.contains(&event.project_id) => (Outcome::ProjectDeleted, false),
                // The id and the time are fixed before the first try: the same pair is this very event.
                Some(at) if at == event.received_at => (Outcome::Stored, false),
                Some(_) => (Outcome::Duplicate, false),
                None if duplicates::is_again(&mut seen, event) => (Outcome::Duplicate, false),
                None => (Outcome::Stored, true),
            })
            .collect();
        let new = || batch.iter().zip(&outcomes).filter(|(_, (_, copied))| *copied).map(|(event, _)| event);
        if new().next().is_some() {
            let issues = issues::count(&mut transaction, new()).await?;
            // The same event, sent again, is of the same issue: until now its flush may have held the issue, and none begins.
            if duplicates::is_at_midnight(batch) {
                let stored = duplicates::stored_already(&mut transaction, batch, suspects).await?;
                if stored.iter().zip(&outcomes).any(|(stored, (_, copied))| *copied && stored.is_some()) {
                    transaction.rollback().await?;
                    return Ok(None);
                }
            }
            // Each event has counted in an issue.
            let issue_of = |event: &Event| issues.get(&(event.project_id, event.fingerprint)).copied();
            let mut copy = transaction.copy_in_raw(&copy::STATEMENT).await?;
            copy::send(&mut copy, new().filter_map(|event| Some((event, issue_of(event)?)))).await?;
            copy.finish().await?;
        }
        transaction.commit().await?;
        Ok(Some(outcomes.into_iter().map(|(outcome, _)| outcome).collect()))
    }

    /// Those of a batch's projects that do not exist.
    async fn deleted_projects(&self, batch: &[Event]) -> Result<HashSet<ProjectId>, DatabaseError> {
        let mut projects: HashSet<ProjectId> = batch.iter().map(|event| event.project_id).collect();
        let ids: Vec<Uuid> = projects.iter().map(|project| project.0).collect();
        let found: Vec<ProjectId> = db::bounded(&self.pool, WORK_LIMIT, async |connection| {
            let find = sqlx::query_scalar("SELECT id FROM projects WHERE id = ANY ($1)").bind(ids);
            Ok(find.fetch_all(connection).await?)
        })
        .await?;
        for project in found {
            projects.remove(&project);
        }
        Ok(projects)
    }
}

impl Sink for Store {
    async fn store(&self, batch: &[Event]) -> Result<Vec<Outcome>, SinkError> {
        let mut gone = HashSet::new();
        let is_wary = self.wary.fetch_update(Relaxed, Relaxed, |batches| batches.checked_sub(1)).is_ok();
        let mut suspects = if is_wary { Suspects::All } else { Suspects::OnOtherDays };
        let mut last = None;
        for _ in 0..RESTARTS {
            let days = batch.iter().map(|event| event.received_at.date_naive());
            self.partitions.ensure(days).await.map_err(SinkError::Unavailable)?;
            let tried = async |connection: &mut PgConnection| {
                Self::try_store(connection, batch, &gone, suspects).await
            };
            let error = match db::bounded(&self.pool, WORK_LIMIT, tried).await {
                Ok(Some(outcomes)) => return Ok(outcomes),
                Ok(None) => continue,
                Err(error) => error,
            };
            let sqlstate = error.sqlstate().unwrap_or_default();
            match (sqlstate.as_str(), error.constraint()) {
                (_, Some("issues_project_id_fkey" | "events_issue_fkey")) => {
                    gone = self.deleted_projects(batch).await.map_err(SinkError::Unavailable)?;
                }
                (UNIQUE_VIOLATION, _) => {
                    suspects = Suspects::All;
                    self.wary.store(WARY, Relaxed);
                }
                (CHECK_VIOLATION, None) => self.partitions.forget(),
                _ => return Err(sink_error(error, sqlstate)),
            }
            last = Some(error);
        }
        // The table changed each time; it will not for ever.
        Err(SinkError::Unavailable(last.unwrap_or(DatabaseError::Unavailable(sqlx::Error::PoolTimedOut))))
    }

    #[instrument(
        name = "db.dead_letter.create", skip_all, fields(otel.kind = "client", db.system.name = "postgresql")
    )]
    async fn dead_letter(&self, event: &Event, sqlstate: &str, reason: &str) -> Result<(), SinkError> {
        let kept = db::bounded(&self.pool, WORK_LIMIT, async |connection| {
            sqlx::query(
                "INSERT INTO dead_letters (project_id, event_id, received_at, sqlstate, reason, payload)
                 VALUES ($1, $2, $3, $4, $5, $6)
                 ON CONFLICT DO NOTHING",
            )
            .bind(event.project_id)
            .bind(event.id)
            .bind(event.received_at)
            .bind(sqlstate)
            .bind(reason)
            .bind(event.payload())
            .execute(connection)
            .await?;
            Ok(())
        });
        kept.await.map_err(|error| {
            let sqlstate = error.sqlstate().unwrap_or_default();
            sink_error(error, sqlstate)
        })
    }
}

/// Whether an error is about a row's data: data exceptions (22), violated constraints (23), what routines and triggers say
/// (38, 39, P0), violated views (44), limits exceeded (54). Anything else says nothing against the batch.
fn sink_error(error: DatabaseError, sqlstate: String) -> SinkError {
    if ["22", "23", "38", "39", "44", "54", "P0"].iter().any(|class| sqlstate.starts_with(class)) {
        SinkError::Rejected { sqlstate, reason: error.cause() }
    } else {
        SinkError::Unavailable(error)
    }
}
