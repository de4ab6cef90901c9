//! Locks that somebody else holds: a writer that was lost, or whoever works on the database by hand.

use chrono::{DateTime, Utc};
use mesher_common::{clock::Clock, config::DatabaseArgs, db};
use mesher_proto::mesher::writer::v1::FlushRequest;
use mesher_suite::{Suite, reason, signed};
use mesher_testing::{TestDatabase, eventually};
use mesher_writer::store::Store;
use sqlx::{Connection as _, PgConnection};

use crate::support::{PATIENCE, events, flush, stats, store, store_batch};

#[tokio::test]
async fn the_server_is_told_to_give_up_on_locks_and_on_clients_that_are_lost() {
    let database = TestDatabase::new().await;
    let args = DatabaseArgs {
        database_url: database.url().parse().unwrap(),
        database_connections: 1,
        database_wait: PATIENCE,
    };
    let pool = db::connect(&args, mesher_writer::DATABASE_ROLE).await.unwrap();
    // What is shown of TCP on a local socket is always 0; what was asked for is kept nevertheless.
    let settings: Vec<(String, String)> = sqlx::query_as(
        "SELECT name, reset_val || coalesce(unit, '') FROM pg_settings
         WHERE name ~ '^(lock|statement|idle_in_transaction_session|tcp_user)_timeout|^tcp_keepalives' ORDER BY name",
    )
    .fetch_all(&pool)
    .await
    .unwrap();
    let expected = [
        ("idle_in_transaction_session_timeout", "60000ms"),
        ("lock_timeout", "5000ms"),
        ("statement_timeout", "20000ms"),
        ("tcp_keepalives_count", "3"),
        ("tcp_keepalives_idle", "30s"),
        ("tcp_keepalives_interval", "10s"),
        ("tcp_user_timeout", "60000ms"),
    ];
    assert_eq!(settings, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
}

#[tokio::test]
async fn events_of_an_issue_that_a_lost_writer_has_locked_wait_and_those_of_other_issues_do_not() {
    let suite = Suite::start_with(&[], &["--shards", "1"]).await;
    let key = suite.key().await;
    let texts = ["free", "held", "free"].map(|message| format!(r#"{{"message":"{message}"}}"#));
    store_batch(&suite, &key, &texts).await;
    assert_eq!(flush(&suite, &key.project).await, 3);
    let mut lost = PgConnection::connect_with(&suite.database.connect_options()).await.unwrap();
    sqlx::query("BEGIN").execute(&mut lost).await.unwrap();
    sqlx::query("UPDATE issues SET event_count = event_count + 1 WHERE title = 'held'")
        .execute(&mut lost)
        .await
        .unwrap();

    store_batch(&suite, &key, &texts).await;
    let request = FlushRequest { project_id: key.project.id.clone() };
    let refused = suite.writer().flush(signed(&key.project.org.owner, request)).await.unwrap_err();
    assert_eq!(reason(&refused), "DATABASE_UNAVAILABLE");
    let account = stats(&suite, &key.project).await;
    assert_eq!((account.stored_count, account.buffered_count, account.dead_lettered_count), (5, 1, 0));

    sqlx::query("ROLLBACK").execute(&mut lost).await.unwrap();
    eventually("the event was stored", PATIENCE, async || {
        stats(&suite, &key.project).await.stored_count == 6
    })
    .await;
    assert_eq!(events(&suite, &key.project).await.len(), 6, "none twice");
    let counts: Vec<(String, i64)> = sqlx::query_as("SELECT title, event_count FROM issues ORDER BY title")
        .fetch_all(suite.database.pool())
        .await
        .unwrap();
    assert_eq!(counts, [("free".to_owned(), 4), ("held".to_owned(), 2)]);
}

/// Begins what a VACUUM of the issues does to others.
async fn vacuum(database: &TestDatabase) -> PgConnection {
    let mut vacuum = PgConnection::connect_with(&database.connect_options()).await.unwrap();
    sqlx::query("BEGIN").execute(&mut vacuum).await.unwrap();
    sqlx::query("LOCK TABLE issues IN SHARE UPDATE EXCLUSIVE MODE").execute(&mut vacuum).await.unwrap();
    vacuum
}

/// When a statement began that waits for a lock, other than at `before`.
async fn waiting(database: &TestDatabase, before: Option<DateTime<Utc>>) -> DateTime<Utc> {
    eventually("a statement waited for a lock", PATIENCE, async || {
        let find = "SELECT query_start FROM pg_stat_activity WHERE datname = current_database()
            AND wait_event_type = 'Lock' AND query_start IS DISTINCT FROM $1";
        sqlx::query_scalar(find).bind(before).fetch_optional(database.pool()).await.unwrap()
    })
    .await
}

#[tokio::test]
async fn flushes_go_on_while_a_new_partition_has_to_wait() {
    let suite = Suite::start().await;
    let key = suite.key().await;
    store(&suite, &key, r#"{"message":"m"}"#).await;
    let mut vacuum = vacuum(&suite.database).await;
    let make = sqlx::query("SELECT ensure_event_partitions(current_date + 10, current_date + 10)")
        .execute(suite.database.pool());
    let flushed = async {
        waiting(&suite.database, None).await;
        flush(&suite, &key.project).await
    };
    let (result, flushed) = tokio::join!(make, flushed);
    assert_eq!(flushed, 1);
    let error = result.unwrap_err();
    assert_eq!(error.as_database_error().unwrap().code().as_deref(), Some("55P03"), "{error}");
    sqlx::query("ROLLBACK").execute(&mut vacuum).await.unwrap();
}

#[tokio::test]
async fn partitions_are_made_at_the_start_once_the_lock_that_they_need_is_free() {
    let database = TestDatabase::new().await;
    let mut vacuum = vacuum(&database).await;
    let (store, clock) = (Store::new(database.pool().clone()), Clock::system());
    let freed = async {
        let first = waiting(&database, None).await;
        waiting(&database, Some(first)).await;
        sqlx::query("ROLLBACK").execute(&mut vacuum).await.unwrap();
    };
    let (made, ()) = tokio::join!(store.partitions().ensure_ahead(&clock), freed);
    made.unwrap();
}
