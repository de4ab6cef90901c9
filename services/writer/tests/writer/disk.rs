//! The log on disk, with PostgreSQL behind it.

use std::collections::BTreeSet;

use mesher_proto::mesher::writer::v1::FlushRequest;
use mesher_suite::{Suite, reason, signed, with_key};
use mesher_testing::{ScratchDir, eventually, skipped};
use sqlx::Connection as _;
use tonic::Code;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::support::{PATIENCE, events, flush, json, stats, store, store_batch, writer_on};

#[tokio::test]
async fn while_the_table_is_locked_events_wait_on_disk_and_none_is_dropped() {
    let suite = Suite::start().await;
    let key = suite.key().await;
    let mut blocker = sqlx::PgConnection::connect_with(&suite.database.connect_options()).await.unwrap();
    sqlx::query("BEGIN").execute(&mut blocker).await.unwrap();
    sqlx::query("LOCK TABLE events IN ACCESS EXCLUSIVE MODE").execute(&mut blocker).await.unwrap();
    let texts = vec![r#"{"message":"while locked"}"#.to_owned(); 400];
    for _ in 0..4 {
        store_batch(&suite, &key, &texts).await;
    }
    let during = stats(&suite, &key.project).await;
    assert_eq!((during.accepted_count, during.buffered_count), (1600, 1600));
    sqlx::query("ROLLBACK").execute(&mut blocker).await.unwrap();
    flush(&suite, &key.project).await;
    assert_eq!(stats(&suite, &key.project).await.stored_count, 1600);
}

#[tokio::test]
async fn a_flush_that_fails_costs_no_event() {
    let suite = Suite::start().await;
    let key = suite.key().await;
    sqlx::query("REVOKE INSERT ON events FROM mesher_writer").execute(suite.database.pool()).await.unwrap();
    for n in 0..3 {
        store(&suite, &key, &format!(r#"{{"message":"{n}"}}"#)).await;
    }
    let request = signed(&key.project.org.owner, FlushRequest { project_id: key.project.id.clone() });
    let failed = suite.writer().flush(request).await.unwrap_err();
    assert_eq!((failed.code(), reason(&failed).as_str()), (Code::Unavailable, "DATABASE_UNAVAILABLE"));
    assert_eq!(stats(&suite, &key.project).await.buffered_count, 3, "none is dropped");
    sqlx::query("GRANT INSERT ON events TO mesher_writer").execute(suite.database.pool()).await.unwrap();
    eventually("the events were stored", PATIENCE, async || {
        stats(&suite, &key.project).await.stored_count == 3
    })
    .await;
    assert_eq!(events(&suite, &key.project).await.len(), 3);
}

#[tokio::test]
async fn at_the_quota_new_events_are_refused_with_a_delay() {
    let suite = Suite::start_with(&[], &["--quota-events", "10"]).await;
    let key = suite.key().await;
    for n in 0..10 {
        store(&suite, &key, &format!(r#"{{"message":"{n}"}}"#)).await;
    }
    let full = suite.writer().store(with_key(&key, json(r#"{"message":"one more"}"#))).await.unwrap_err();
    assert_eq!((full.code(), reason(&full).as_str()), (Code::ResourceExhausted, "QUOTA_EXCEEDED"));
    assert!(tonic_types::StatusExt::get_details_retry_info(&full).is_some());
    assert_eq!(flush(&suite, &key.project).await, 10);
    store(&suite, &key, r#"{"message":"there is room again"}"#).await;
}

/// What the writer's gRPC health says of a service, or of all that it is.
async fn is_well(suite: &Suite, service: &str) -> bool {
    let mut health = HealthClient::new(suite.channel_of("mesher.writer.v1"));
    let answer = health.check(HealthCheckRequest { service: service.to_owned() }).await.unwrap();
    answer.get_ref().status() == ServingStatus::Serving
}

#[tokio::test]
async fn on_a_full_disk_nothing_is_acknowledged_until_there_is_room() {
    let scratch = ScratchDir::new();
    let Some(disk) = scratch.mount("disk", 1 << 20) else {
        return skipped("this user cannot mount a file system: a full disk is not tested");
    };
    let log_dir = disk.join("log");
    let flags = ["--log-dir", log_dir.to_str().unwrap(), "--shards", "1"];
    let suite = Suite::start_with(&[], &flags).await;
    let key = suite.key().await;
    let ballast = disk.join("ballast");
    // Leaves room for some events, and not for many.
    std::fs::write(&ballast, vec![1; 900 * 1024]).unwrap();
    // Each of some kilobytes that do not compress.
    let text = |n: u32| {
        let noise = (0..200).fold(String::new(), |noise, i| {
            noise + &format!("{:x}", (n * 7919 + i).wrapping_mul(2_654_435_761))
        });
        format!(r#"{{"message":"{n}","extra":"{noise}"}}"#)
    };
    // What is acknowledged stays in the log until the writer is another one.
    sqlx::query("REVOKE INSERT ON events FROM mesher_writer").execute(suite.database.pool()).await.unwrap();
    let mut acknowledged = BTreeSet::new();
    let refused = loop {
        let number = u32::try_from(acknowledged.len()).unwrap();
        match suite.writer().store(with_key(&key, json(&text(number)))).await {
            Ok(stored) => acknowledged.insert(stored.into_inner().event_id),
            Err(status) => break status,
        };
    };
    assert!(!acknowledged.is_empty());
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::Unavailable, "DISK_UNAVAILABLE"));
    eventually("others are called", PATIENCE, async || !is_well(&suite, "").await).await;
    assert!(is_well(&suite, "mesher.writer.v1.WriterService").await, "what it offers stays");
    std::fs::remove_file(&ballast).unwrap();
    let after = eventually("events were taken in again", PATIENCE, async || {
        suite.writer().store(with_key(&key, json(r#"{"message":"after"}"#))).await
    })
    .await;
    acknowledged.insert(after.into_inner().event_id);
    eventually("it is called again", PATIENCE, async || is_well(&suite, "").await).await;

    let database = suite.stop_writer().await;
    sqlx::query("GRANT INSERT ON events TO mesher_writer").execute(database.pool()).await.unwrap();
    // Another number of shards, so that what was left is also brought home.
    let flags = ["--shards", "3", "--concurrent-flushes", "2", "--flush-interval", "100ms"];
    let writer = writer_on(&database, &log_dir, &flags).await;
    let stored = eventually("what was acknowledged is stored", PATIENCE, async || {
        let ids = sqlx::query_scalar("SELECT replace(event_id::text, '-', '') FROM events")
            .fetch_all(database.pool())
            .await
            .unwrap();
        (ids.len() >= acknowledged.len()).then_some(ids)
    })
    .await;
    assert_eq!(stored.len(), acknowledged.len(), "once");
    assert_eq!(stored.into_iter().collect::<BTreeSet<String>>(), acknowledged, "and none was lost");
    writer.shutdown().await.unwrap();
}
