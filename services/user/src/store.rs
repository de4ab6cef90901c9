//! The SQL of users; that of sessions is in [`crate::sessions`], that of members in [`crate::members`], that of failed
//! sign-ins in [`crate::guessing`], and that of the audit log in [`crate::audit`].

use mesher_common::{
    audit::{Entry, Kind},
    db::DatabaseError,
    id::UserId,
};
use sqlx::{PgExecutor, PgPool};
use tracing::instrument;

use crate::{email::Address, error::UserError, user::User};

/// The one account that an address names, `$1` as new ones are kept and `$2` as it was written: what follows the columns of a
/// query. Of several, which there may be from before, it is the one whose address is written in the same way.
macro_rules! of_address {
    () => {
        " FROM users
         WHERE lower(normalize(email, NFKC)) = lower(normalize($1, NFKC))
         ORDER BY lower(email) = lower($2) DESC, email_variant
         LIMIT 1"
    };
}
pub(crate) use of_address;

/// What belongs to users in the database.
#[derive(Clone, Debug)]
pub struct Store {
    pool: PgPool,
}

#[derive(sqlx::FromRow)]
struct WithPassword {
    #[sqlx(flatten)]
    user: User,
    password_hash: String,
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

    /// Adds a user.
    #[instrument(name = "db.user.create", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
    pub async fn create(&self, user: &User, password_hash: &str, done: Entry) -> Result<(), UserError> {
        let mut transaction = self.pool.begin().await.map_err(DatabaseError::from)?;
        sqlx::query(
            "INSERT INTO users (id, email, name, password_hash, created_at) VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(user.id)
        .bind(&user.email)
        .bind(&user.name)
        .bind(password_hash)
        .bind(user.created_at)
        .execute(&mut *transaction)
        .await
        .map_err(|error| {
            let error = DatabaseError::from(error);
            match error.constraint() {
                Some("users_email_key") => UserError::EmailTaken,
                _ => error.into(),
            }
        })?;
        done.by(user.id).record(&mut transaction, Kind::User, user.id.0, user.created_at).await?;
        transaction.commit().await.map_err(DatabaseError::from)?;
        Ok(())
    }

    /// The user whom an e-mail address names, and the hash of the user's password.
    #[instrument(name = "db.user.for_login", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
    pub async fn for_login(&self, address: &Address) -> Result<Option<(User, String)>, UserError> {
        let row: Option<WithPassword> =
            sqlx::query_as(concat!("SELECT id, email, name, created_at, password_hash", of_address!()))
                .bind(address.email())
                .bind(address.written())
                .fetch_optional(&self.pool)
                .await
                .map_err(DatabaseError::from)?;
        Ok(row.map(|row| (row.user, row.password_hash)))
    }

    /// The kinds of hashes that passwords have, by their parameters: one of each, and how many accounts have its like.
    #[instrument(name = "db.user.hashes", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
    pub async fn kinds_of_hashes(&self) -> Result<Vec<(String, i64)>, UserError> {
        let kinds = sqlx::query_as(
            "SELECT min(password_hash), count(*) FROM users GROUP BY split_part(password_hash, '$', 4) LIMIT 1000",
        )
        .fetch_all(&self.pool)
        .await
        .map_err(DatabaseError::from)?;
        Ok(kinds)
    }

    /// The user with an id, and the hash of the user's password.
    #[instrument(name = "db.user.password", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
    pub async fn with_password(&self, id: UserId) -> Result<(User, String), UserError> {
        let row: Option<WithPassword> =
            sqlx::query_as("SELECT id, email, name, created_at, password_hash FROM users WHERE id = $1")
                .bind(id)
                .fetch_optional(&self.pool)
                .await
                .map_err(DatabaseError::from)?;
        let row = row.ok_or_else(|| UserError::UserNotFound(id.to_string()))?;
        Ok((row.user, row.password_hash))
    }

    /// The user with an id, if that is `viewer` or shares an organization with `viewer`.
    #[instrument(name = "db.user.get", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
    pub async fn get_visible(&self, id: UserId, viewer: UserId) -> Result<User, UserError> {
        visible(&self.pool, id, viewer).await?.ok_or_else(|| UserError::UserNotFound(id.to_string()))
    }
}

/// The user with an id, for a viewer who may know of that user: the user's own self, and who shares an organization with it.
pub(crate) async fn visible(
    executor: impl PgExecutor<'_>,
    id: UserId,
    viewer: UserId,
) -> Result<Option<User>, DatabaseError> {
    let user = sqlx::query_as(
        "SELECT id, email, name, created_at FROM users
         WHERE id = $1 AND (id = $2 OR EXISTS (
             SELECT FROM org_members theirs JOIN org_members own USING (org_id)
             WHERE theirs.user_id = $1 AND own.user_id = $2
         ))",
    )
    .bind(id)
    .bind(viewer)
    .fetch_optional(executor)
    .await?;
    Ok(user)
}
