//! The SQL of the networks that accounts were signed in from of late: whoever guesses elsewhere keeps nobody waiting there.

use std::{net::IpAddr, time::Duration};

use mesher_common::{db::DatabaseError, id::UserId};
use sqlx::PgConnection;
use tracing::instrument;

use crate::{error::UserError, store::Store};

/// For how long a network is known after the last time.
pub const KNOWN: Duration = Duration::from_hours(24 * 30);

/// The most networks of a user that are known: the latest.
const MAX_NETWORKS: i64 = 50;

impl Store {
    /// Deletes networks that are not known any more, at most `limit`; how many it deleted.
    #[instrument(
        name = "db.network.forget", skip_all,
        fields(otel.kind = "client", db.system.name = "postgresql")
    )]
    pub async fn forget_networks(&self, limit: u32) -> Result<u64, UserError> {
        let done = sqlx::query(
            "DELETE FROM login_networks WHERE (user_id, network) IN (
                 SELECT user_id, network FROM login_networks WHERE last_login_at < now() - make_interval(secs => $1)
                 ORDER BY last_login_at LIMIT $2
             )",
        )
        .bind(KNOWN.as_secs_f64())
        .bind(i64::from(limit))
        .execute(self.pool())
        .await
        .map_err(DatabaseError::from)?;
        Ok(done.rows_affected())
    }
}

/// Notes that a user signed in from a network.
pub(crate) async fn remember(
    connection: &mut PgConnection,
    user: UserId,
    network: IpAddr,
) -> Result<(), DatabaseError> {
    sqlx::query(
        "INSERT INTO login_networks (user_id, network, last_login_at) VALUES ($1, $2, now())
         ON CONFLICT (user_id, network) DO UPDATE SET last_login_at = now()",
    )
    .bind(user)
    .bind(network.to_string())
    .execute(&mut *connection)
    .await?;
    sqlx::query(
        "DELETE FROM login_networks WHERE user_id = $1 AND network IN (
             SELECT network FROM login_networks WHERE user_id = $1 ORDER BY last_login_at DESC OFFSET $2
         )",
    )
    .bind(user)
    .bind(MAX_NETWORKS)
    .execute(connection)
    .await?;
    Ok(())
}

/// Forgets the networks of a user, but for one.
pub(crate) async fn forget_others(
    connection: &mut PgConnection,
    user: UserId,
    but: Option<IpAddr>,
) -> Result<(), DatabaseError> {
    sqlx::query("DELETE FROM login_networks WHERE user_id = $1 AND network IS DISTINCT FROM $2")
        .bind(user)
        .bind(but.map(|network| network.to_string()))
        .execute(connection)
        .await?;
    Ok(())
}

/// Whether a user is signed in from a network, or was of late.
pub(crate) async fn is_known(
    connection: &mut PgConnection,
    user: UserId,
    network: IpAddr,
) -> Result<bool, DatabaseError> {
    let is_known = sqlx::query_scalar(
        "SELECT EXISTS (
             SELECT FROM sessions WHERE user_id = $1
                 AND expires_at > now() AND idle_expires_at > now() AND client_network = $2
         ) OR EXISTS (
             SELECT FROM login_networks WHERE user_id = $1
                 AND network = $2 AND last_login_at > now() - make_interval(secs => $3)
         )",
    )
    .bind(user)
    .bind(network.to_string())
    .bind(KNOWN.as_secs_f64())
    .fetch_one(connection)
    .await?;
    Ok(is_known)
}
