//! The SQL of users and sessions; that of members is in [`crate::members`].

use chrono::{DateTime, Utc};
use mesher_common::{db::DatabaseError, id::UserId, secret::SecretHash};
use sqlx::PgPool;
use tracing::instrument;

use crate::{
    email::Email,
    error::UserError,
    user::{Session, User},
};

/// The users, sessions and members in the database.
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

    /// Adds a user.
    #[instrument(name = "db.user.create", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
    pub async fn create(&self, user: &User, password_hash: &str) -> Result<(), UserError> {
        sqlx::query(
            "INSERT INTO users (id, email, name, password_hash, created_at) VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(user.id)
        .bind(&user.email)
        .bind(&user.name)
        .bind(password_hash)
        .bind(user.created_at)
        .execute(&self.pool)
        .await
        .map_err(|error| {
            let error = DatabaseError::from(error);
            match error.constraint() {
                Some("users_email_key") => UserError::EmailTaken,
                _ => error.into(),
            }
        })?;
        Ok(())
    }

    /// The user with an e-mail address, and the hash of the user's password.
    #[instrument(name = "db.user.for_login", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
    pub async fn for_login(&self, email: &Email) -> Result<Option<(User, String)>, UserError> {
        #[derive(sqlx::FromRow)]
        struct Row {
            #[sqlx(flatten)]
            user: User,
            password_hash: String,
        }
        let row: Option<Row> = sqlx::query_as(
            "SELECT id, email, name, created_at, password_hash FROM users WHERE lower(email) = lower($1)",
        )
        .bind(email)
        .fetch_optional(&self.pool)
        .await
        .map_err(DatabaseError::from)?;
        Ok(row.map(|row| (row.user, row.password_hash)))
    }

    /// The user with an id, if that is `viewer` or shares an organization with `viewer`.
    #[instrument(name = "db.user.get", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
    pub async fn get_visible(&self, id: UserId, viewer: UserId) -> Result<User, UserError> {
        sqlx::query_as(
            "SELECT id, email, name, created_at FROM users
             WHERE id = $1 AND (id = $2 OR EXISTS (
                 SELECT FROM org_members theirs JOIN org_members own USING (org_id)
                 WHERE theirs.user_id = $1 AND own.user_id = $2
             ))",
        )
        .bind(id)
        .bind(viewer)
        .fetch_optional(&self.pool)
        .await
        .map_err(DatabaseError::from)?
        .ok_or_else(|| UserError::UserNotFound(id.to_string()))
    }

    /// Begins a session.
    #[instrument(name = "db.session.create", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
    pub async fn create_session(&self, session: &Session, token: SecretHash) -> Result<(), UserError> {
        sqlx::query(
            "INSERT INTO sessions (token_sha256, user_id, created_at, expires_at) VALUES ($1, $2, $3, $4)",
        )
        .bind(token.as_bytes())
        .bind(session.user_id)
        .bind(session.created_at)
        .bind(session.expires_at)
        .execute(&self.pool)
        .await
        .map_err(DatabaseError::from)?;
        Ok(())
    }

    /// The session of a token, and its user.
    #[instrument(name = "db.session.get", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
    pub async fn session(&self, token: SecretHash) -> Result<(Session, User), UserError> {
        let session: Option<Session> =
            sqlx::query_as("SELECT user_id, created_at, expires_at FROM sessions WHERE token_sha256 = $1")
                .bind(token.as_bytes())
                .fetch_optional(&self.pool)
                .await
                .map_err(DatabaseError::from)?;
        let session = session.ok_or(UserError::SessionGone)?;
        let user = self.get_visible(session.user_id, session.user_id).await?;
        Ok((session, user))
    }

    /// Deletes sessions that expired before `now`, those first that expired first, at most `limit`; how many it deleted.
    #[instrument(
        name = "db.session.delete_expired", skip_all,
        fields(otel.kind = "client", db.system.name = "postgresql")
    )]
    pub async fn delete_expired(&self, now: DateTime<Utc>, limit: u32) -> Result<u64, UserError> {
        let done = sqlx::query(
            "DELETE FROM sessions WHERE token_sha256 IN (
                 SELECT token_sha256 FROM sessions WHERE expires_at < $1 ORDER BY expires_at LIMIT $2
             )",
        )
        .bind(now)
        .bind(i64::from(limit))
        .execute(&self.pool)
        .await
        .map_err(DatabaseError::from)?;
        Ok(done.rows_affected())
    }

    /// Ends a session.
    #[instrument(name = "db.session.delete", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
    pub async fn end_session(&self, token: SecretHash) -> Result<(), UserError> {
        sqlx::query("DELETE FROM sessions WHERE token_sha256 = $1")
            .bind(token.as_bytes())
            .execute(&self.pool)
            .await
            .map_err(DatabaseError::from)?;
        Ok(())
    }
}
