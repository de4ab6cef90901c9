//! The SQL of sessions.

use std::{net::IpAddr, time::Duration};

use chrono::{DateTime, Utc};
use mesher_common::{
    audit::{Entry, Kind},
    db::DatabaseError,
    id::{SessionId, UserId},
    paging::Page,
    secret::SecretHash,
};
use tracing::instrument;

use crate::{
    error::UserError,
    guessing::{self, Attempt},
    networks,
    store::Store,
    user::{Session, User},
};

/// The most sessions of a user. When there are more, those end that were not used for the longest.
pub const MAX_SESSIONS: i64 = 100;

/// What a session is read by.
macro_rules! columns {
    () => {
        "id, user_id, created_at, expires_at, last_used_at, idle_expires_at, client_address, user_agent"
    };
}

/// A session that is to begin.
#[derive(Clone, Debug)]
pub struct NewSession {
    /// The session.
    pub session: Session,
    /// For how long it may be unused.
    pub idle_timeout: Duration,
    /// The network of the client's address.
    pub client_network: Option<IpAddr>,
    /// The hash of its token.
    pub token: SecretHash,
}

/// Whom a password made known, and what is to change of the password's hash.
#[derive(Clone, Debug)]
pub struct Proof {
    /// The hash that the password was checked by.
    pub hash: String,
    /// What is to be in its place.
    pub new_hash: Option<String>,
}

impl Store {
    /// Begins a session, if the user's password is still the one that was checked; whether it is.
    #[instrument(name = "db.session.create", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
    pub async fn begin_session(
        &self,
        new: &NewSession,
        proof: &Proof,
        attempt: &Attempt,
        done: Entry,
    ) -> Result<bool, UserError> {
        let session = &new.session;
        let mut transaction = self.pool().begin().await.map_err(DatabaseError::from)?;
        guessing::forgive(&mut transaction, attempt).await?;
        // A change of the password waits for this session, which it then ends, or is seen here.
        let lock = match &proof.new_hash {
            Some(_) => "SELECT password_hash FROM users WHERE id = $1 FOR NO KEY UPDATE",
            None => "SELECT password_hash FROM users WHERE id = $1 FOR SHARE",
        };
        let hash: Option<String> = sqlx::query_scalar(lock)
            .bind(session.user_id)
            .fetch_optional(&mut *transaction)
            .await
            .map_err(DatabaseError::from)?;
        if hash.as_ref() != Some(&proof.hash) {
            return Ok(false);
        }
        if let Some(new_hash) = &proof.new_hash {
            sqlx::query("UPDATE users SET password_hash = $2 WHERE id = $1")
                .bind(session.user_id)
                .bind(new_hash)
                .execute(&mut *transaction)
                .await
                .map_err(DatabaseError::from)?;
        }
        sqlx::query(
            "INSERT INTO sessions (id, token_sha256, user_id, created_at, expires_at, last_used_at, idle_timeout,
                 idle_expires_at, client_address, client_network, user_agent)
             VALUES ($1, $2, $3, $4, $5, $6, make_interval(secs => $7), $8, $9, $10, $11)",
        )
        .bind(session.id)
        .bind(new.token.as_bytes())
        .bind(session.user_id)
        .bind(session.created_at)
        .bind(session.expires_at)
        .bind(session.last_used_at)
        .bind(new.idle_timeout.as_secs_f64())
        .bind(session.idle_expires_at)
        .bind(&session.client_address)
        .bind(new.client_network.map(|network| network.to_string()))
        .bind(&session.user_agent)
        .execute(&mut *transaction)
        .await
        .map_err(DatabaseError::from)?;
        sqlx::query(
            "DELETE FROM sessions WHERE token_sha256 IN (
                 SELECT token_sha256 FROM sessions WHERE user_id = $1 AND token_sha256 <> $3
                 ORDER BY last_used_at DESC, created_at DESC, id DESC OFFSET $2 - 1
             )",
        )
        .bind(session.user_id)
        .bind(MAX_SESSIONS)
        .bind(new.token.as_bytes())
        .execute(&mut *transaction)
        .await
        .map_err(DatabaseError::from)?;
        if let Some(network) = new.client_network {
            networks::remember(&mut transaction, session.user_id, network).await?;
        }
        let done = done.by(session.user_id).detail("session_id", session.id.to_string());
        done.record(&mut transaction, Kind::User, session.user_id.0, session.created_at).await?;
        transaction.commit().await.map_err(DatabaseError::from)?;
        Ok(true)
    }

    /// The session of a token, and its user.
    #[instrument(name = "db.session.get", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
    pub async fn session(&self, token: SecretHash) -> Result<(Session, User), UserError> {
        let session: Option<Session> =
            sqlx::query_as(concat!("SELECT ", columns!(), " FROM sessions WHERE token_sha256 = $1"))
                .bind(token.as_bytes())
                .fetch_optional(self.pool())
                .await
                .map_err(DatabaseError::from)?;
        let session = session.ok_or(UserError::SessionGone)?;
        let user = self.get_visible(session.user_id, session.user_id).await?;
        Ok((session, user))
    }

    /// A page of a user's sessions, those that began last first, and which of them is the one of `token`.
    #[instrument(name = "db.session.list", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
    pub async fn list_sessions(
        &self,
        user: UserId,
        token: SecretHash,
        page: &Page,
    ) -> Result<(Vec<Session>, Option<SessionId>), UserError> {
        let sessions = sqlx::query_as(concat!(
            "SELECT ",
            columns!(),
            " FROM sessions
             WHERE user_id = $1 AND expires_at > now() AND idle_expires_at > now()
                 AND ($2::timestamptz IS NULL OR (created_at, id) < ($2, $3))
             ORDER BY created_at DESC, id DESC
             LIMIT $4"
        ))
        .bind(user)
        .bind(page.after_time())
        .bind(page.after_id())
        .bind(page.limit())
        .fetch_all(self.pool())
        .await
        .map_err(DatabaseError::from)?;
        let current = sqlx::query_scalar("SELECT id FROM sessions WHERE token_sha256 = $1")
            .bind(token.as_bytes())
            .fetch_optional(self.pool())
            .await
            .map_err(DatabaseError::from)?;
        Ok((sessions, current))
    }

    /// Ends the session of a token.
    #[instrument(name = "db.session.delete", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
    pub async fn end_session(
        &self,
        user: UserId,
        token: SecretHash,
        now: DateTime<Utc>,
        done: Entry,
    ) -> Result<(), UserError> {
        let mut transaction = self.pool().begin().await.map_err(DatabaseError::from)?;
        let id: Option<SessionId> =
            sqlx::query_scalar("DELETE FROM sessions WHERE token_sha256 = $1 RETURNING id")
                .bind(token.as_bytes())
                .fetch_optional(&mut *transaction)
                .await
                .map_err(DatabaseError::from)?;
        let id = id.ok_or(UserError::SessionGone)?;
        let done = done.detail("session_id", id.to_string());
        done.record(&mut transaction, Kind::User, user.0, now).await?;
        transaction.commit().await.map_err(DatabaseError::from)?;
        Ok(())
    }

    /// Ends one of a user's sessions.
    #[instrument(name = "db.session.revoke", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
    pub async fn revoke_session(
        &self,
        user: UserId,
        id: SessionId,
        now: DateTime<Utc>,
        done: Entry,
    ) -> Result<(), UserError> {
        let mut transaction = self.pool().begin().await.map_err(DatabaseError::from)?;
        // One that ended by itself is gone, though its row may be there.
        let ended = sqlx::query(
            "DELETE FROM sessions
             WHERE id = $1 AND user_id = $2 AND expires_at > now() AND idle_expires_at > now()",
        )
        .bind(id)
        .bind(user)
        .execute(&mut *transaction)
        .await
        .map_err(DatabaseError::from)?;
        if ended.rows_affected() == 0 {
            return Err(UserError::SessionNotFound(id));
        }
        let done = done.detail("session_id", id.to_string());
        done.record(&mut transaction, Kind::User, user.0, now).await?;
        transaction.commit().await.map_err(DatabaseError::from)?;
        Ok(())
    }

    /// Ends all of a user's sessions; how many there were.
    #[instrument(name = "db.session.revoke_all", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
    pub async fn revoke_all_sessions(
        &self,
        user: UserId,
        now: DateTime<Utc>,
        done: Entry,
    ) -> Result<u64, UserError> {
        let mut transaction = self.pool().begin().await.map_err(DatabaseError::from)?;
        let ended = sqlx::query("DELETE FROM sessions WHERE user_id = $1")
            .bind(user)
            .execute(&mut *transaction)
            .await
            .map_err(DatabaseError::from)?;
        done.record(&mut transaction, Kind::User, user.0, now).await?;
        transaction.commit().await.map_err(DatabaseError::from)?;
        Ok(ended.rows_affected())
    }

    /// Gives a user another password, if it is still the one that was checked, and ends all sessions but that of `token`;
    /// how many others there were. Of the networks that the user signed in from, only that of `client` stays known.
    #[instrument(name = "db.user.change_password", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
    pub async fn change_password(
        &self,
        user: UserId,
        (hash, new_hash): (&str, &str),
        token: SecretHash,
        (attempt, client): (&Attempt, Option<IpAddr>),
        (now, done): (DateTime<Utc>, Entry),
    ) -> Result<u64, UserError> {
        let mut transaction = self.pool().begin().await.map_err(DatabaseError::from)?;
        guessing::forgive(&mut transaction, attempt).await?;
        let changed = sqlx::query("UPDATE users SET password_hash = $3 WHERE id = $1 AND password_hash = $2")
            .bind(user)
            .bind(hash)
            .bind(new_hash)
            .execute(&mut *transaction)
            .await
            .map_err(DatabaseError::from)?;
        if changed.rows_affected() == 0 {
            return Err(UserError::CurrentPasswordWrong);
        }
        networks::forget_others(&mut transaction, user, client).await?;
        if let Some(client) = client {
            networks::remember(&mut transaction, user, client).await?;
        }
        let ended = sqlx::query("DELETE FROM sessions WHERE user_id = $1 AND token_sha256 <> $2")
            .bind(user)
            .bind(token.as_bytes())
            .execute(&mut *transaction)
            .await
            .map_err(DatabaseError::from)?;
        done.record(&mut transaction, Kind::User, user.0, now).await?;
        transaction.commit().await.map_err(DatabaseError::from)?;
        Ok(ended.rows_affected())
    }

    /// Deletes sessions that ended by themselves, at most `limit`; how many it deleted.
    #[instrument(
        name = "db.session.delete_expired", skip_all,
        fields(otel.kind = "client", db.system.name = "postgresql")
    )]
    pub async fn delete_expired(&self, limit: u32) -> Result<u64, UserError> {
        let done = sqlx::query(
            "DELETE FROM sessions WHERE token_sha256 IN (
                 (SELECT token_sha256 FROM sessions WHERE expires_at < now() ORDER BY expires_at LIMIT $1)
                 UNION
                 (SELECT token_sha256 FROM sessions WHERE idle_expires_at < now() ORDER BY idle_expires_at LIMIT $1)
                 LIMIT $1
             )",
        )
        .bind(i64::from(limit))
        .execute(self.pool())
        .await
        .map_err(DatabaseError::from)?;
        Ok(done.rows_affected())
    }
}
