//! Slowing down whoever guesses passwords. Failures are counted in the database, so that all replicas see them: for each
//! account, whether or not it exists, and for each client's address. After some failures the next attempt has to wait,
//! twice as long after each, up to a bound.
//!
//! - An attempt is charged as a failure before its password is looked at, and forgiven when it succeeds: a thousand
//!   attempts at once are a thousand failures.
//! - What is refused for coming too early is not charged. Nobody can make a wait longer by not heeding it.
//! - An account's failures from an address that it is signed in from, or was within the last 30 days, are counted apart, and not
//!   for the address: strangers who guess, there or elsewhere, cannot keep its owner out there. Everywhere else they can keep the
//!   owner waiting, at the most for the bound after each guess.
//! - A success takes the account's failures off those of the address, and no others: whoever has an account of their own
//!   cannot wipe an address clean with it.

use std::{net::IpAddr, time::Duration};

use mesher_common::{db::DatabaseError, id::UserId};
use sqlx::{PgConnection, PgTransaction};
use tracing::instrument;

use crate::{
    config::GuessingArgs,
    email::Address,
    error::UserError,
    networks,
    store::{Store, of_address},
};

/// After how long without an attempt the last failures are forgotten; longer than any wait.
pub const FORGET: Duration = Duration::from_hours(24);

/// After how long without an attempt half of the failures are forgotten: an address that many share gathers some every day.
const HALF_LIFE: Duration = Duration::from_hours(1);

/// How long the first wait is.
const BASE: Duration = Duration::from_secs(1);
/// How many more failures an address has than an account before it has to wait: several people may share one.
const ADDRESS_FACTOR: u32 = 10;
/// Doubled more often, any wait is beyond the bound.
const MAX_DOUBLINGS: i32 = 30;

/// When the failures of a row are enough to wait: how long after the last one. `$2` failures are free, then it is `$3`
/// seconds and twice as long after each more, up to `$4` seconds.
macro_rules! wait {
    () => {
        "make_interval(secs => CASE WHEN f.failures < $2 THEN 0
             ELSE least($4, $3 * power(2::float8, least(f.failures - $2, $5))) END)"
    };
}

/// What failures are counted for: a text, of which the database keeps a hash of that form in which it compares e-mail
/// addresses.
macro_rules! subject {
    () => {
        "sha256(convert_to(lower(normalize($1, NFKC)), 'UTF8'))"
    };
}

/// An attempt that was charged.
#[derive(Clone, Debug)]
pub struct Attempt {
    address: Option<String>,
    account: String,
}

impl Store {
    /// Charges an attempt to sign in, or says how long it has to wait: [`UserError::TooManyFailures`].
    #[instrument(name = "db.login.charge", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
    pub async fn charge(
        &self,
        who: &Address,
        client: Option<IpAddr>,
        args: &GuessingArgs,
    ) -> Result<Attempt, UserError> {
        let mut transaction = self.pool().begin().await.map_err(DatabaseError::from)?;
        let free = i32::from(args.login_failures);
        let named = named(&mut transaction, who).await?;
        let home = match (named, client) {
            (Some((user, _)), Some(client)) if networks::is_known(&mut transaction, user, client).await? => {
                Some(client)
            }
            _ => None,
        };
        let address = client.filter(|_| home.is_none()).map(|client| format!("address {client}"));
        if let Some(address) = &address {
            let free = free * i32::try_from(ADDRESS_FACTOR).unwrap_or(1);
            charge(&mut transaction, address, free, args.login_max_delay).await?;
        }
        // Each variant is an account of its own: what its owner does takes nothing off another's.
        let variant = match named {
            Some((_, variant @ 1..)) => format!(" variant {variant}"),
            _ => String::new(),
        };
        let place = home.map(|client| format!(" at {client}")).unwrap_or_default();
        let account = format!("account {}{variant}{place}", who.email().as_str());
        charge(&mut transaction, &account, free, args.login_max_delay).await?;
        transaction.commit().await.map_err(DatabaseError::from)?;
        Ok(Attempt { address, account })
    }

    /// Takes an attempt back that was neither a failure nor a success.
    #[instrument(name = "db.login.refund", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
    pub async fn refund(&self, attempt: &Attempt) -> Result<(), UserError> {
        let mut transaction = self.pool().begin().await.map_err(DatabaseError::from)?;
        for subject in attempt.address.iter().chain([&attempt.account]) {
            take_off(&mut transaction, subject, 1).await?;
        }
        transaction.commit().await.map_err(DatabaseError::from)?;
        Ok(())
    }

    /// Deletes failures that are forgotten, those first that were first, at most `limit`; how many it deleted.
    #[instrument(
        name = "db.login.forget", skip_all,
        fields(otel.kind = "client", db.system.name = "postgresql")
    )]
    pub async fn forget_failures(&self, limit: u32) -> Result<u64, UserError> {
        let done = sqlx::query(
            "DELETE FROM login_failures WHERE subject IN (
                 SELECT subject FROM login_failures WHERE last_failed_at < now() - make_interval(secs => $1)
                 ORDER BY last_failed_at LIMIT $2
             )",
        )
        .bind(FORGET.as_secs_f64())
        .bind(i64::from(limit))
        .execute(self.pool())
        .await
        .map_err(DatabaseError::from)?;
        Ok(done.rows_affected())
    }
}

/// The account that an address names, as for a login, and which one it is of those whose addresses are one in the form NFKC.
async fn named(connection: &mut PgConnection, who: &Address) -> Result<Option<(UserId, i32)>, DatabaseError> {
    let named = sqlx::query_as(concat!("SELECT id, email_variant::integer", of_address!()))
        .bind(who.email())
        .bind(who.written())
        .fetch_optional(connection)
        .await?;
    Ok(named)
}

/// Forgives all failures of an account, now that an attempt succeeded.
pub(crate) async fn forgive(
    transaction: &mut PgTransaction<'_>,
    attempt: &Attempt,
) -> Result<(), DatabaseError> {
    if let Some(address) = &attempt.address {
        // The address's row comes first, as when an attempt is charged: so nobody waits in a circle.
        let failures: Option<i32> =
            sqlx::query_scalar(concat!("SELECT failures FROM login_failures WHERE subject = ", subject!()))
                .bind(&attempt.account)
                .fetch_optional(&mut **transaction)
                .await?;
        take_off(transaction, address, failures.unwrap_or(1)).await?;
    }
    sqlx::query(concat!("DELETE FROM login_failures WHERE subject = ", subject!()))
        .bind(&attempt.account)
        .execute(&mut **transaction)
        .await?;
    Ok(())
}

async fn charge(
    connection: &mut PgConnection,
    subject: &str,
    free: i32,
    longest: Duration,
) -> Result<(), UserError> {
    let charged = sqlx::query(concat!(
        "INSERT INTO login_failures AS f (subject, failures, last_failed_at) VALUES (",
        subject!(),
        ", 1, now())
         ON CONFLICT (subject) DO UPDATE SET
             failures = 1 + round(
                 f.failures * power(0.5::float8, least(extract(epoch FROM now() - f.last_failed_at)::float8 / $6, 100))
             )::integer,
             last_failed_at = now()
         WHERE f.failures < $2 OR f.last_failed_at + ",
        wait!(),
        " <= now()"
    ))
    .bind(subject)
    .bind(free)
    .bind(BASE.as_secs_f64())
    .bind(longest.as_secs_f64())
    .bind(MAX_DOUBLINGS)
    .bind(HALF_LIFE.as_secs_f64())
    .execute(&mut *connection)
    .await
    .map_err(DatabaseError::from)?;
    if charged.rows_affected() > 0 {
        return Ok(());
    }
    let wait: Option<f64> = sqlx::query_scalar(concat!(
        "SELECT extract(epoch FROM f.last_failed_at + ",
        wait!(),
        " - now())::float8 FROM login_failures f WHERE f.subject = ",
        subject!()
    ))
    .bind(subject)
    .bind(free)
    .bind(BASE.as_secs_f64())
    .bind(longest.as_secs_f64())
    .bind(MAX_DOUBLINGS)
    .fetch_optional(connection)
    .await
    .map_err(DatabaseError::from)?;
    let wait = wait.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok()).unwrap_or_default();
    Err(UserError::TooManyFailures(wait.min(longest)))
}

async fn take_off(connection: &mut PgConnection, subject: &str, failures: i32) -> Result<(), DatabaseError> {
    for statement in [
        concat!("DELETE FROM login_failures WHERE subject = ", subject!(), " AND failures <= $2"),
        concat!("UPDATE login_failures SET failures = failures - $2 WHERE subject = ", subject!()),
    ] {
        sqlx::query(statement).bind(subject).bind(failures).execute(&mut *connection).await?;
    }
    Ok(())
}
