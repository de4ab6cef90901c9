//! The account of a project's events is exact, also when they are odd.

use mesher_proto::mesher::writer::v1::DropReason;
use mesher_suite::{Suite, reason, with_key};

use crate::support::{dropped, events, flush, json, stats, store_batch};

#[tokio::test]
async fn of_many_events_with_one_id_in_one_request_one_is_stored_and_counted() {
    let suite = Suite::start().await;
    let key = suite.key().await;
    let text = r#"{"message":"m","event_id":"0123456789abcdef0123456789abcdef"}"#.to_owned();
    // More than one flush takes of a project.
    store_batch(&suite, &key, &vec![text; 500]).await;
    flush(&suite, &key.project).await;
    let stats = stats(&suite, &key.project).await;
    assert_eq!((stats.stored_count, dropped(&stats, DropReason::Duplicate)), (1, 499));
    assert_eq!(events(&suite, &key.project).await.len(), 1);
}

#[tokio::test]
async fn a_lone_surrogate_does_not_cost_the_event() {
    let suite = Suite::start().await;
    let key = suite.key().await;
    store_batch(&suite, &key, &[r#"{"message":"cut \ud83d","extra":{"\udc00":"\ud83d\ude00"}}"#.to_owned()])
        .await;
    assert_eq!(flush(&suite, &key.project).await, 1);
    let found = events(&suite, &key.project).await;
    assert_eq!(found[0].message, "cut \u{fffd}");
    let request = mesher_proto::mesher::issue::v1::GetEventRequest {
        project_id: key.project.id.clone(),
        event_id: found[0].event_id.clone(),
    };
    let owner = &key.project.org.owner;
    let payload =
        suite.issues().get_event(mesher_suite::signed(owner, request)).await.unwrap().into_inner().payload;
    assert!(format!("{payload:?}").contains('\u{1f600}'), "{payload:?}");
}

#[tokio::test]
async fn past_a_quota_the_oldest_are_dropped_or_the_new_are_refused_as_it_is_set() {
    let quota = |flags: &'static [&'static str]| Suite::start_with(&[], flags);
    let texts: Vec<String> = (0..25).map(|number| format!(r#"{{"message":"event {number}"}}"#)).collect();

    let suite = quota(&["--when-full", "drop-oldest", "--quota-events", "10"]).await;
    let key = suite.key().await;
    store_batch(&suite, &key, &texts).await;
    let account = stats(&suite, &key.project).await;
    assert_eq!((account.buffered_count, dropped(&account, DropReason::BufferFull)), (10, 15));
    assert_eq!(flush(&suite, &key.project).await, 10);
    assert_eq!(events(&suite, &key.project).await[0].message, "event 24");

    // What cannot be made smaller: thirty of them are more than the mebibyte.
    let noise: String = (0..50_000).map(|_| char::from(rand::random_range(b'0'..=b'z'))).collect();
    let large = format!(r#"{{"message":"m","extra":{{"noise":{}}}}}"#, serde_json::json!(noise));
    let suite = quota(&["--quota-bytes", "1048576"]).await;
    let key = suite.key().await;
    let mut accepted = 0;
    let error = loop {
        match suite.writer().store(with_key(&key, json(&large))).await {
            Ok(_) => accepted += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(reason(&error), "QUOTA_EXCEEDED");
    assert!((20..40).contains(&accepted), "{accepted}");
    let account = stats(&suite, &key.project).await;
    assert_eq!((account.buffered_count, account.refused_count), (accepted, 1));
    assert_eq!(flush(&suite, &key.project).await, accepted);
}
