//! All the SQL of the service.

use futures_util::TryStreamExt as _;
use mesher_common::{
    db::DatabaseError,
    id::{EventId, ProjectId},
    paging::Page,
};
use sqlx::PgPool;
use tracing::instrument;

use crate::{
    error::IssueError,
    event::{Event, EventSummary},
};

/// The columns of an [`EventSummary`].
macro_rules! summary {
    () => {
        r#"event_id, project_id, issue_id, received_at, occurred_at, level, message, exception_type, exception_value,
            release, environment, sdk_name, sdk_version, tags, "user""#
    };
}

// After some calls PostgreSQL may make one plan of a statement for all its parameters, and knows nothing of them then. So each
// of these can only be done in one way.

const FIRST_PAGE: &str = concat!(
    "SELECT ",
    summary!(),
    " FROM events WHERE project_id = $1 ORDER BY received_at DESC, event_id DESC LIMIT $2"
);

/// Not the same with `$3 IS NULL OR`: that is no condition to begin in an index with.
const NEXT_PAGE: &str = concat!(
    "SELECT ",
    summary!(),
    " FROM events WHERE project_id = $1 AND (received_at, event_id) < ($3, $4)
     ORDER BY received_at DESC, event_id DESC LIMIT $2"
);

/// In two steps: for the order the index by time would do, with a walk through all that the project received.
const BY_ID: &str = concat!(
    "WITH found AS MATERIALIZED (
         SELECT ",
    summary!(),
    ", payload FROM events WHERE project_id = $1 AND event_id = $2
     )
     SELECT * FROM found ORDER BY received_at DESC LIMIT 1"
);

/// The events in the database.
#[derive(Clone, Debug)]
pub struct Store {
    pool: PgPool,
}

impl Store {
    /// The store in the database of `pool`.
    pub fn new(pool: PgPool) -> Self {
        Self { pool }
    }

    /// The database.
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }

    /// A page of a project's events, those received last first. It ends early with the first event that is more than
    /// `max_bytes` have room for, which is never the very first.
    #[instrument(name = "db.event.list", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
    pub async fn list(
        &self,
        project: ProjectId,
        page: &Page,
        max_bytes: usize,
    ) -> Result<Vec<EventSummary>, IssueError> {
        let mut rows = match (page.after_time(), page.after_id()) {
            (Some(time), Some(id)) => {
                sqlx::query_as(NEXT_PAGE).bind(project).bind(page.limit()).bind(time).bind(id)
            }
            _ => sqlx::query_as(FIRST_PAGE).bind(project).bind(page.limit()),
        }
        .fetch(&self.pool);
        let mut events = Vec::new();
        let mut bytes = 0;
        while (bytes <= max_bytes || events.len() < 2)
            && let Some(event) = rows.try_next().await.map_err(DatabaseError::from)?
        {
            let event: EventSummary = event;
            bytes += event.size();
            events.push(event);
        }
        Ok(events)
    }

    /// An event of a project: the one received last, should its sender have used the id again after a day.
    #[instrument(name = "db.event.get", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
    pub async fn get(&self, project: ProjectId, id: EventId) -> Result<Event, IssueError> {
        sqlx::query_as(BY_ID)
            .bind(project)
            .bind(id)
            .fetch_optional(&self.pool)
            .await
            .map_err(DatabaseError::from)?
            .ok_or(IssueError::EventNotFound(id))
    }
}

#[cfg(test)]
mod tests;
