//! The writer while PostgreSQL does not answer.

use mesher_proto::mesher::writer::v1::{DropReason, FlushRequest};
use mesher_suite::{Suite, reason, signed};
use mesher_testing::{TestDatabase, eventually, http_client};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection};
use tonic::Code;

use crate::support::{PATIENCE, dropped, flush, stats, store, store_batch};

#[tokio::test]
async fn admission_goes_on_while_the_table_is_locked_and_the_oldest_make_room() {
    let suite = Suite::start_with(&[], &["--durability", "memory"]).await;
    let key = suite.key().await;
    store(&suite, &key, r#"{"message":"first"}"#).await;
    flush(&suite, &key.project).await;

    let mut blocker = sqlx::PgConnection::connect_with(&suite.database.connect_options()).await.unwrap();
    sqlx::query("BEGIN").execute(&mut blocker).await.unwrap();
    sqlx::query("LOCK TABLE events IN ACCESS EXCLUSIVE MODE").execute(&mut blocker).await.unwrap();
    let texts = vec![r#"{"message":"while locked"}"#.to_owned(); 200];
    for _ in 0..4 {
        store_batch(&suite, &key, &texts).await;
    }
    let during = stats(&suite, &key.project).await;
    assert_eq!((during.accepted_count, during.buffered_count), (801, 500));
    assert_eq!(dropped(&during, DropReason::BufferFull), 300);
    sqlx::query("ROLLBACK").execute(&mut blocker).await.unwrap();

    flush(&suite, &key.project).await;
    assert_eq!(stats(&suite, &key.project).await.stored_count, 501);
}

#[tokio::test]
async fn a_batch_that_fails_three_times_is_dropped_and_counted() {
    let suite = Suite::start_with(&[], &["--durability", "memory"]).await;
    let key = suite.key().await;
    sqlx::query("REVOKE INSERT ON events FROM mesher_writer").execute(suite.database.pool()).await.unwrap();
    for n in 0..3 {
        store(&suite, &key, &format!(r#"{{"message":"{n}"}}"#)).await;
    }
    let request = FlushRequest { project_id: key.project.id.clone() };
    let refused = suite.writer().flush(signed(&key.project.org.owner, request)).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::Unavailable, "DATABASE_UNAVAILABLE"));
    assert_eq!(dropped(&stats(&suite, &key.project).await, DropReason::DatabaseFailed), 3);

    sqlx::query("GRANT INSERT ON events TO mesher_writer").execute(suite.database.pool()).await.unwrap();
    store(&suite, &key, r#"{"message":"after"}"#).await;
    eventually("the writer stored again", PATIENCE, async || flush(&suite, &key.project).await == 1).await;
}

/// Lets nobody in any more, and throws out whoever is: or lets all in again.
async fn set_away(database: &TestDatabase, away: bool) {
    let options = database.connect_options().database("postgres");
    let mut elsewhere = PgConnection::connect_with(&options).await.unwrap();
    let name = database.name();
    let allow = format!("ALTER DATABASE {name} ALLOW_CONNECTIONS {}", !away);
    sqlx::query(AssertSqlSafe(allow)).execute(&mut elsewhere).await.unwrap();
    if away {
        let terminate = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1";
        sqlx::query(terminate).bind(name).execute(&mut elsewhere).await.unwrap();
    }
}

#[tokio::test]
async fn a_known_key_goes_on_working_and_the_writer_is_ready_while_the_database_is_away() {
    let suite = Suite::start_with(&[], &["--api-key-cache", "1ms"]).await;
    let key = suite.key().await;
    store(&suite, &key, r#"{"message":"before"}"#).await;
    assert_eq!(flush(&suite, &key.project).await, 1);
    set_away(&suite.database, true).await;
    let texts = vec![r#"{"message":"while away"}"#.to_owned(); 100];
    for _ in 0..10 {
        store_batch(&suite, &key, &texts).await;
    }
    let ready = format!("http://{}/readyz", suite.writer_admin());
    let answer = http_client().build().unwrap().get(ready).send().await.unwrap();
    assert_eq!(answer.status(), 200, "it takes events in");
    set_away(&suite.database, false).await;
    eventually("all were stored", PATIENCE, async || stats(&suite, &key.project).await.stored_count == 1001)
        .await;
}
