//! The writer while PostgreSQL does not answer.

use mesher_proto::mesher::writer::v1::{DropReason, FlushRequest};
use mesher_suite::{Suite, reason, signed};
use mesher_testing::eventually;
use sqlx::Connection as _;
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
