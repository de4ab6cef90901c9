//! What is older than it has to be kept is deleted: whole partitions, dead letters, and issues without an event since.

use std::num::NonZeroU16;

use chrono::TimeDelta;
use mesher_common::clock::Clock;
use mesher_suite::Suite;
use mesher_testing::{ScratchDir, eventually};
use mesher_writer::store::Store;
use sqlx::{AssertSqlSafe, PgPool};

use crate::support::{PATIENCE, flush, store, writer_on};

const DAYS: NonZeroU16 = NonZeroU16::new(3).unwrap();

async fn column(pool: &PgPool, query: &'static str) -> Vec<String> {
    sqlx::query_scalar(query).fetch_all(pool).await.unwrap()
}

/// How many days of partitions there are.
async fn partitions(pool: &PgPool) -> i64 {
    let query = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'events'::regclass";
    sqlx::query_scalar(query).fetch_one(pool).await.unwrap()
}

/// A clock that is so many days ahead.
fn ahead(days: i64) -> Clock {
    Clock::from_fn(move || Clock::system().now() + TimeDelta::days(days))
}

/// A suite with three events, each with an issue and a dead letter: one of four whole days ago, which is too old, one of three,
/// which is not, and one of now.
async fn with_old_events() -> Suite {
    let suite = Suite::start().await;
    let key = suite.key().await;
    let pool = suite.database.pool();
    sqlx::query("SELECT ensure_event_partitions(current_date - 5, current_date)")
        .execute(pool)
        .await
        .unwrap();
    for message in ["old", "kept", "new"] {
        store(&suite, &key, &format!(r#"{{"message":"{message}"}}"#)).await;
    }
    assert_eq!(flush(&suite, &key.project).await, 3);
    sqlx::query(
        "INSERT INTO dead_letters (project_id, event_id, received_at, sqlstate, reason, payload)
         SELECT project_id, event_id, received_at, '23514', message, payload FROM events",
    )
    .execute(pool)
    .await
    .unwrap();
    for (table, time, name) in [
        ("events", "received_at", "message"),
        ("dead_letters", "received_at", "reason"),
        ("issues", "last_seen_at", "title"),
    ] {
        let update = format!(
            "UPDATE {table} SET {time} = {time} - days.n * interval '1 day'
             FROM (VALUES ('old', 4), ('kept', 3)) AS days (name, n) WHERE {name} = days.name"
        );
        sqlx::query(AssertSqlSafe(update)).execute(pool).await.unwrap();
    }
    suite
}

#[tokio::test]
async fn what_is_too_old_is_deleted_and_nothing_else_is() {
    let suite = with_old_events().await;
    let pool = suite.database.pool();
    let before = partitions(pool).await;

    let retention = Store::new(pool.clone()).retention(DAYS);
    let steps = retention.delete_expired(&Clock::system()).await.unwrap();
    assert_eq!(steps, 4, "two partitions, the dead letter, the issue");
    assert_eq!(partitions(pool).await, before - 2);
    assert_eq!(column(pool, "SELECT message FROM events ORDER BY 1").await, ["kept", "new"]);
    assert_eq!(column(pool, "SELECT reason FROM dead_letters ORDER BY 1").await, ["kept", "new"]);
    assert_eq!(column(pool, "SELECT title FROM issues ORDER BY 1").await, ["kept", "new"]);
    assert_eq!(retention.delete_expired(&Clock::system()).await.unwrap(), 0);
    retention.delete_expired(&ahead(1)).await.unwrap();
    assert_eq!(column(pool, "SELECT message FROM events").await, ["new"], "a day later the next has expired");
}

#[tokio::test]
async fn a_writer_deletes_what_is_too_old_when_it_starts() {
    let suite = with_old_events().await;
    let pool = suite.database.pool();
    let scratch = ScratchDir::new();
    let writer = writer_on(&suite.database, &scratch.join("log"), &["--retention-days", "3"]).await;
    // Issues are deleted last.
    let issues = eventually("the old issue was deleted", PATIENCE, async || {
        let issues = column(pool, "SELECT title FROM issues ORDER BY 1").await;
        if issues.contains(&"old".to_owned()) { Err(issues) } else { Ok(issues) }
    })
    .await;
    assert_eq!(issues, ["kept", "new"]);
    assert_eq!(column(pool, "SELECT message FROM events ORDER BY 1").await, ["kept", "new"]);
    writer.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_partition_that_somebody_reads_is_dropped_later() {
    let suite = Suite::start().await;
    let pool = suite.database.pool();
    sqlx::query("SELECT ensure_event_partitions(current_date - 9, current_date - 9)")
        .execute(pool)
        .await
        .unwrap();
    let retention = Store::new(pool.clone()).retention(DAYS);
    let before = partitions(pool).await;
    let mut reader = pool.begin().await.unwrap();
    sqlx::query("SELECT FROM events").execute(&mut *reader).await.unwrap();
    let error = retention.delete_expired(&Clock::system()).await.unwrap_err();
    assert_eq!(error.sqlstate().as_deref(), Some("55P03"), "{error}");
    assert_eq!(partitions(pool).await, before);
    reader.commit().await.unwrap();
    assert_eq!(retention.delete_expired(&Clock::system()).await.unwrap(), 1);
}

#[tokio::test]
async fn a_clock_that_is_wrong_cannot_delete_what_is_new() {
    let suite = Suite::start().await;
    let pool = suite.database.pool();
    let before = partitions(pool).await;
    let retention = Store::new(pool.clone()).retention(DAYS);
    let error = retention.delete_expired(&ahead(1000)).await.unwrap_err();
    assert_eq!(error.sqlstate().as_deref(), Some("P0001"), "{error}");
    assert_eq!(partitions(pool).await, before);
}
