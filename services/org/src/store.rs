//! All the SQL of the service.

use mesher_common::{
    access::DbRole,
    audit::{Entry, Kind},
    db::DatabaseError,
    id::{OrgId, UserId},
    paging::Page,
};
use sqlx::PgPool;
use tracing::instrument;

use crate::{error::OrgError, org::Org};

/// The organizations in the database.
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

    /// Adds an organization with its first owner.
    #[instrument(name = "db.org.create", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
    pub async fn create(&self, org: &Org, owner: UserId, done: Entry) -> Result<(), OrgError> {
        let mut transaction = self.pool.begin().await.map_err(DatabaseError::from)?;
        sqlx::query("INSERT INTO orgs (id, name, slug, created_at) VALUES ($1, $2, $3, $4)")
            .bind(org.id)
            .bind(&org.name)
            .bind(&org.slug)
            .bind(org.created_at)
            .execute(&mut *transaction)
            .await
            .map_err(|error| {
                let error = DatabaseError::from(error);
                match error.constraint() {
                    Some("orgs_slug_key") => OrgError::SlugTaken(org.slug.clone()),
                    _ => error.into(),
                }
            })?;
        sqlx::query("INSERT INTO org_members (org_id, user_id, role, created_at) VALUES ($1, $2, $3, $4)")
            .bind(org.id)
            .bind(owner)
            .bind(DbRole::Owner)
            .bind(org.created_at)
            .execute(&mut *transaction)
            .await
            .map_err(DatabaseError::from)?;
        let done = done.in_org(org.id).detail("name", org.name.as_str()).detail("slug", org.slug.as_str());
        done.record(&mut transaction, Kind::Org, org.id.0, org.created_at).await?;
        transaction.commit().await.map_err(DatabaseError::from)?;
        Ok(())
    }

    /// The organization with an id.
    #[instrument(name = "db.org.get", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
    pub async fn get(&self, id: OrgId) -> Result<Org, OrgError> {
        sqlx::query_as("SELECT id, name, slug, created_at FROM orgs WHERE id = $1")
            .bind(id)
            .fetch_optional(&self.pool)
            .await
            .map_err(DatabaseError::from)?
            .ok_or(OrgError::NotFound(id))
    }

    /// A page of the organizations that a user is a member of, the newest first.
    #[instrument(name = "db.org.list", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
    pub async fn list(&self, member: UserId, page: &Page) -> Result<Vec<Org>, OrgError> {
        let orgs = sqlx::query_as(
            "SELECT o.id, o.name, o.slug, o.created_at
             FROM org_members m JOIN orgs o ON o.id = m.org_id
             WHERE m.user_id = $1 AND ($2::timestamptz IS NULL OR (o.created_at, o.id) < ($2, $3))
             ORDER BY o.created_at DESC, o.id DESC
             LIMIT $4",
        )
        .bind(member)
        .bind(page.after_time())
        .bind(page.after_id())
        .bind(page.limit())
        .fetch_all(&self.pool)
        .await
        .map_err(DatabaseError::from)?;
        Ok(orgs)
    }
}
