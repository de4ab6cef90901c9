//! The account of a project's events is exact, also when they are odd.

use mesher_proto::mesher::writer::v1::DropReason;
use mesher_suite::Suite;

use crate::support::{dropped, events, flush, stats, store_batch};

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
