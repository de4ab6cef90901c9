//! Deletes the sessions that expired, the failures and networks that are forgotten, and audit events that have been kept for
//! long enough: nobody ends most sessions, and a table of all that ever were would grow for ever.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::{error::UserError, store::Store};

/// How often it is looked for them.
const LOOK: Duration = Duration::from_hours(1);
/// How long after a failure it is tried again.
const RETRY: Duration = Duration::from_mins(1);
/// The most rows that one statement deletes: some milliseconds of work.
const BATCH: u32 = 1000;

/// Deletes what expired, and audit events older than `audit_days`, once at the start and then every hour, until `stop` is
/// cancelled. Every replica may do it at once.
pub async fn delete_expired(store: Store, audit_days: u16, stop: CancellationToken) -> anyhow::Result<()> {
    loop {
        let deleted = tokio::select! {
            // What a statement that is cut off had deleted is there again.
            () = stop.cancelled() => return Ok(()),
            deleted = delete_all(&store, audit_days) => deleted,
        };
        let pause = match deleted {
            Ok(0) => LOOK,
            Ok(count) => {
                tracing::info!(count, "expired sessions, forgotten failures and old audit events deleted");
                LOOK
            }
            Err(error) => {
                tracing::warn!(%error, "what expired could not be deleted");
                RETRY
            }
        };
        tokio::select! {
            () = stop.cancelled() => return Ok(()),
            () = tokio::time::sleep(pause) => {}
        }
    }
}

async fn delete_all(store: &Store, audit_days: u16) -> Result<u64, UserError> {
    let mut total = 0;
    loop {
        let deleted = [
            store.delete_expired(BATCH).await?,
            store.forget_failures(BATCH).await?,
            store.forget_networks(BATCH).await?,
            store.delete_old_audit_events(audit_days, BATCH).await?,
        ];
        total += deleted.iter().sum::<u64>();
        if deleted.iter().all(|count| *count < u64::from(BATCH)) {
            return Ok(total);
        }
    }
}
