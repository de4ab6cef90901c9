//! All the SQL of the service.

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use mesher_common::{
    audit::{Entry, Kind},
    db::DatabaseError,
    id::{ApiKeyId, OrgId, ProjectId},
    paging::Page,
    secret::SecretHash,
    text::Slug,
};
use sqlx::PgPool;
use tracing::instrument;

use crate::{
    error::ProjectError,
    project::{ApiKey, ApiKeyChange, NewProject, Project, ProjectChange, RateLimitColumns},
};

/// How many issues of a deleted project one statement deletes, with what events they have left.
const ISSUES_AT_A_TIME: i64 = 500;
/// About how many events of a deleted project one statement deletes: well under a second of work.
const EVENTS_AT_A_TIME: i64 = 10_000;

/// The projects and API keys in the database.
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

    /// Adds a project.
    #[instrument(name = "db.project.create", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
    pub async fn create(&self, project: NewProject, done: Entry) -> Result<Project, ProjectError> {
        let mut transaction = self.pool.begin().await.map_err(DatabaseError::from)?;
        let project: Project = sqlx::query_as(
            "INSERT INTO projects (id, org_id, name, slug, created_at) VALUES ($1, $2, $3, $4, $5)
             RETURNING id, org_id, number, name, slug, created_at, rate_limit_events, rate_limit_seconds",
        )
        .bind(project.id)
        .bind(project.org_id)
        .bind(&project.name)
        .bind(&project.slug)
        .bind(project.created_at)
        .fetch_one(&mut *transaction)
        .await
        .map_err(|error| {
            let error = DatabaseError::from(error);
            match error.constraint() {
                Some("projects_org_id_slug_key") => ProjectError::SlugTaken(project.slug),
                Some("projects_org_id_fkey") => ProjectError::OrgNotFound(project.org_id),
                _ => error.into(),
            }
        })?;
        let done = done.detail("name", project.name.as_str()).detail("slug", project.slug.as_str());
        done.record(&mut transaction, Kind::Project, project.id.0, project.created_at).await?;
        transaction.commit().await.map_err(DatabaseError::from)?;
        Ok(project)
    }

    /// The project with an id.
    #[instrument(name = "db.project.get", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
    pub async fn get(&self, id: ProjectId) -> Result<Project, ProjectError> {
        sqlx::query_as(
            "SELECT id, org_id, number, name, slug, created_at, rate_limit_events, rate_limit_seconds
             FROM projects WHERE id = $1",
        )
        .bind(id)
        .fetch_optional(&self.pool)
        .await
        .map_err(DatabaseError::from)?
        .ok_or(ProjectError::ProjectNotFound(id))
    }

    /// A page of an organization's projects, the newest first.
    #[instrument(name = "db.project.list", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
    pub async fn list(&self, org: OrgId, page: &Page) -> Result<Vec<Project>, ProjectError> {
        let projects = sqlx::query_as(
            "SELECT id, org_id, number, name, slug, created_at, rate_limit_events, rate_limit_seconds
             FROM projects
             WHERE org_id = $1 AND ($2::timestamptz IS NULL OR (created_at, id) < ($2, $3))
             ORDER BY created_at DESC, id DESC
             LIMIT $4",
        )
        .bind(org)
        .bind(page.after_time())
        .bind(page.after_id())
        .bind(page.limit())
        .fetch_all(&self.pool)
        .await
        .map_err(DatabaseError::from)?;
        Ok(projects)
    }

    /// Changes a project.
    #[instrument(name = "db.project.update", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
    pub async fn update(
        &self,
        id: ProjectId,
        change: ProjectChange,
        (now, mut done): (DateTime<Utc>, Entry),
    ) -> Result<Project, ProjectError> {
        let slug: Option<Slug> = change.slug.clone();
        let limit = RateLimitColumns::from(change.rate_limit.flatten());
        if let Some(name) = &change.name {
            done = done.detail("name", name.as_str());
        }
        if let Some(slug) = &change.slug {
            done = done.detail("slug", slug.as_str());
        }
        if let Some(limit) = change.rate_limit {
            done =
                done.detail("rate_limit", limit.map_or_else(|| "none".to_owned(), |limit| limit.to_string()));
        }
        let mut transaction = self.pool.begin().await.map_err(DatabaseError::from)?;
        let project = sqlx::query_as(
            "UPDATE projects SET name = coalesce($2, name), slug = coalesce($3, slug),
                 rate_limit_events = CASE WHEN $4 THEN $5 ELSE rate_limit_events END,
                 rate_limit_seconds = CASE WHEN $4 THEN $6 ELSE rate_limit_seconds END
             WHERE id = $1
             RETURNING id, org_id, number, name, slug, created_at, rate_limit_events, rate_limit_seconds",
        )
        .bind(id)
        .bind(change.name)
        .bind(change.slug)
        .bind(change.rate_limit.is_some())
        .bind(limit.events())
        .bind(limit.seconds())
        .fetch_optional(&mut *transaction)
        .await
        .map_err(|error| {
            let error = DatabaseError::from(error);
            match (error.constraint(), slug) {
                (Some("projects_org_id_slug_key"), Some(slug)) => ProjectError::SlugTaken(slug),
                _ => error.into(),
            }
        })?
        .ok_or(ProjectError::ProjectNotFound(id))?;
        done.record(&mut transaction, Kind::Project, id.0, now).await?;
        transaction.commit().await.map_err(DatabaseError::from)?;
        Ok(project)
    }

    /// Deletes a project with all that belongs to it: revokes its keys at `now`, so that no more events come; deletes its
    /// events and issues, so many at a time that nobody waits long for what is locked, and as many as it can in `time`; and
    /// then the project with what is left, which are few.
    ///
    /// Without the last step it is [`ProjectError::DeletionUnfinished`]: the next call goes on. Every call deletes some.
    #[instrument(name = "db.project.delete", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
    pub async fn delete(
        &self,
        id: ProjectId,
        (now, done): (DateTime<Utc>, Entry),
        time: Duration,
    ) -> Result<(), ProjectError> {
        let started = Instant::now();
        let mut transaction = self.pool.begin().await.map_err(DatabaseError::from)?;
        let revoked =
            sqlx::query("UPDATE api_keys SET revoked_at = $2 WHERE project_id = $1 AND revoked_at IS NULL")
                .bind(id)
                .bind(now)
                .execute(&mut *transaction)
                .await
                .map_err(DatabaseError::from)?;
        // From here on it cannot be undone, whether or not this call comes to the end of it.
        let begun = done.clone().detail("revoked_keys", revoked.rows_affected().to_string());
        begun.record(&mut transaction, Kind::Project, id.0, now).await?;
        transaction.commit().await.map_err(DatabaseError::from)?;
        while self.delete_oldest_events(id).await? || self.delete_some_issues(id).await? {
            if started.elapsed() >= time {
                return Err(ProjectError::DeletionUnfinished(id));
            }
        }
        let mut transaction = self.pool.begin().await.map_err(DatabaseError::from)?;
        let name: Option<String> = sqlx::query_scalar("DELETE FROM projects WHERE id = $1 RETURNING name")
            .bind(id)
            .fetch_optional(&mut *transaction)
            .await
            .map_err(DatabaseError::from)?;
        let name = name.ok_or(ProjectError::ProjectNotFound(id))?;
        done.detail("deleted_name", name).record(&mut transaction, Kind::Project, id.0, now).await?;
        transaction.commit().await.map_err(DatabaseError::from)?;
        Ok(())
    }

    /// Deletes the oldest of a project's events if it has more than [`EVENTS_AT_A_TIME`]; whether it has.
    ///
    /// They are told by the time they were received at, by which they are indexed.
    async fn delete_oldest_events(&self, project: ProjectId) -> Result<bool, ProjectError> {
        let last: Option<DateTime<Utc>> = sqlx::query_scalar(
            "SELECT received_at FROM events WHERE project_id = $1 ORDER BY received_at OFFSET $2 LIMIT 1",
        )
        .bind(project)
        .bind(EVENTS_AT_A_TIME)
        .fetch_optional(&self.pool)
        .await
        .map_err(DatabaseError::from)?;
        let Some(last) = last else {
            return Ok(false);
        };
        sqlx::query("DELETE FROM events WHERE project_id = $1 AND received_at <= $2")
            .bind(project)
            .bind(last)
            .execute(&self.pool)
            .await
            .map_err(DatabaseError::from)?;
        Ok(true)
    }

    /// Deletes some of a project's issues; whether there were any.
    async fn delete_some_issues(&self, project: ProjectId) -> Result<bool, ProjectError> {
        let done = sqlx::query(
            "DELETE FROM issues WHERE id = ANY (ARRAY(SELECT id FROM issues WHERE project_id = $1 LIMIT $2))",
        )
        .bind(project)
        .bind(ISSUES_AT_A_TIME)
        .execute(&self.pool)
        .await
        .map_err(DatabaseError::from)?;
        Ok(done.rows_affected() > 0)
    }

    /// Adds an API key, of which only the hash is kept; the number of its project.
    #[instrument(name = "db.api_key.create", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
    pub async fn create_key(&self, key: &ApiKey, hash: SecretHash, done: Entry) -> Result<i64, ProjectError> {
        let mut transaction = self.pool.begin().await.map_err(DatabaseError::from)?;
        let number = sqlx::query_scalar(
            "INSERT INTO api_keys
                 (id, project_id, name, prefix, key_sha256, created_at, rate_limit_events, rate_limit_seconds, expires_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
             RETURNING (SELECT number FROM projects WHERE id = project_id)",
        )
        .bind(key.id)
        .bind(key.project_id)
        .bind(&key.name)
        .bind(&key.prefix)
        .bind(hash.as_bytes())
        .bind(key.created_at)
        .bind(key.rate_limit.events())
        .bind(key.rate_limit.seconds())
        .bind(key.expires_at)
        .fetch_one(&mut *transaction)
        .await
        .map_err(|error| {
            let error = DatabaseError::from(error);
            match error.constraint() {
                Some("api_keys_project_id_fkey") => ProjectError::ProjectNotFound(key.project_id),
                _ => error.into(),
            }
        })?;
        let mut done = done
            .detail("project_id", key.project_id.to_string())
            .detail("name", key.name.as_str())
            .detail("prefix", key.prefix.as_str());
        if let Some(expires_at) = key.expires_at {
            done = done.detail("expires_at", expires_at.to_rfc3339());
        }
        done.record(&mut transaction, Kind::ApiKey, key.id.0, key.created_at).await?;
        transaction.commit().await.map_err(DatabaseError::from)?;
        Ok(number)
    }

    /// A page of a project's API keys, the newest first.
    #[instrument(name = "db.api_key.list", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
    pub async fn list_keys(&self, project: ProjectId, page: &Page) -> Result<Vec<ApiKey>, ProjectError> {
        let keys = sqlx::query_as(
            "SELECT id, project_id, name, prefix, created_at, revoked_at, expires_at, last_used_at,
                 rate_limit_events, rate_limit_seconds
             FROM api_keys
             WHERE project_id = $1 AND ($2::timestamptz IS NULL OR (created_at, id) < ($2, $3))
             ORDER BY created_at DESC, id DESC
             LIMIT $4",
        )
        .bind(project)
        .bind(page.after_time())
        .bind(page.after_id())
        .bind(page.limit())
        .fetch_all(&self.pool)
        .await
        .map_err(DatabaseError::from)?;
        Ok(keys)
    }

    /// Changes an API key.
    #[instrument(name = "db.api_key.update", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
    pub async fn update_key(
        &self,
        id: ApiKeyId,
        change: ApiKeyChange,
        (now, mut done): (DateTime<Utc>, Entry),
    ) -> Result<ApiKey, ProjectError> {
        let limit = RateLimitColumns::from(change.rate_limit.flatten());
        if let Some(name) = &change.name {
            done = done.detail("name", name.as_str());
        }
        if let Some(limit) = change.rate_limit {
            done =
                done.detail("rate_limit", limit.map_or_else(|| "none".to_owned(), |limit| limit.to_string()));
        }
        let mut transaction = self.pool.begin().await.map_err(DatabaseError::from)?;
        let key: ApiKey = sqlx::query_as(
            "UPDATE api_keys SET name = coalesce($2, name),
                 rate_limit_events = CASE WHEN $3 THEN $4 ELSE rate_limit_events END,
                 rate_limit_seconds = CASE WHEN $3 THEN $5 ELSE rate_limit_seconds END
             WHERE id = $1
             RETURNING id, project_id, name, prefix, created_at, revoked_at, expires_at, last_used_at,
                 rate_limit_events, rate_limit_seconds",
        )
        .bind(id)
        .bind(change.name)
        .bind(change.rate_limit.is_some())
        .bind(limit.events())
        .bind(limit.seconds())
        .fetch_optional(&mut *transaction)
        .await
        .map_err(DatabaseError::from)?
        .ok_or(ProjectError::ApiKeyNotFound(id))?;
        let done =
            done.detail("project_id", key.project_id.to_string()).detail("prefix", key.prefix.as_str());
        done.record(&mut transaction, Kind::ApiKey, id.0, now).await?;
        transaction.commit().await.map_err(DatabaseError::from)?;
        Ok(key)
    }

    /// Revokes an API key; one that is revoked already keeps its time.
    #[instrument(name = "db.api_key.revoke", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
    pub async fn revoke_key(
        &self,
        id: ApiKeyId,
        (now, done): (DateTime<Utc>, Entry),
    ) -> Result<ApiKey, ProjectError> {
        let mut transaction = self.pool.begin().await.map_err(DatabaseError::from)?;
        let key: ApiKey = sqlx::query_as(
            "UPDATE api_keys SET revoked_at = coalesce(revoked_at, $2) WHERE id = $1
             RETURNING id, project_id, name, prefix, created_at, revoked_at, expires_at, last_used_at,
                 rate_limit_events, rate_limit_seconds",
        )
        .bind(id)
        .bind(now)
        .fetch_optional(&mut *transaction)
        .await
        .map_err(DatabaseError::from)?
        .ok_or(ProjectError::ApiKeyNotFound(id))?;
        let done =
            done.detail("project_id", key.project_id.to_string()).detail("prefix", key.prefix.as_str());
        done.record(&mut transaction, Kind::ApiKey, id.0, now).await?;
        transaction.commit().await.map_err(DatabaseError::from)?;
        Ok(key)
    }
}
