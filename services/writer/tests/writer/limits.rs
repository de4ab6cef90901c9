//! Rate limits: what counts, what is refused, and how it is told.

use std::time::Duration;

use mesher_proto::mesher::{
    error::v1::ErrorReason,
    project::v1::{RateLimit, UpdateApiKeyRequest, UpdateProjectRequest},
    writer::v1::{
        DropReason, EventPayload, StoreBatchRequest, StoreResult, WriterStats, store_result::Outcome,
    },
};
use mesher_suite::{Key, Suite, error_info, signed, with_key};
use mesher_testing::eventually;
use tonic::{Code, Status};
use tonic_types::StatusExt as _;

use crate::support::{PATIENCE, dropped, flush, json, metrics, payload, stats, status, store};

/// What the database says of a key is asked for each time.
const FLAGS: [&str; 2] = ["--api-key-cache", "0s"];
/// In a day, nothing comes back while a test runs.
const DAY: i32 = 86_400;

const GOOD: &str = r#"{"message":"m"}"#;

async fn limit_project(suite: &Suite, key: &Key, events: i32) {
    let project_id = key.project.id.clone();
    let rate_limit = Some(RateLimit { events, period_seconds: DAY });
    let change = UpdateProjectRequest { project_id, rate_limit, ..Default::default() };
    suite.projects().update_project(signed(&key.project.org.owner, change)).await.unwrap();
}

async fn limit_key(suite: &Suite, key: &Key, events: i32) {
    let rate_limit = Some(RateLimit { events, period_seconds: DAY });
    let change = UpdateApiKeyRequest { key_id: key.id.clone(), rate_limit, ..Default::default() };
    suite.projects().update_api_key(signed(&key.project.org.owner, change)).await.unwrap();
}

async fn batch(suite: &Suite, key: &Key, events: Vec<EventPayload>) -> Vec<Result<String, Status>> {
    let answer = suite.writer().store_batch(with_key(key, StoreBatchRequest { events })).await.unwrap();
    answer.into_inner().results.into_iter().map(outcome).collect()
}

fn outcome(result: StoreResult) -> Result<String, Status> {
    match result.outcome.unwrap() {
        Outcome::EventId(id) => Ok(id),
        Outcome::Error(error) => Err(status(error)),
    }
}

/// Whose limit is reached.
#[track_caller]
fn scope(refused: &Status) -> String {
    let (reason, about) = error_info(refused);
    assert_eq!((refused.code(), reason.as_str()), (Code::ResourceExhausted, "RATE_LIMITED"), "{refused:?}");
    let wait = refused.get_details_retry_info().unwrap().retry_delay.unwrap();
    assert!(wait > Duration::ZERO && wait <= Duration::from_hours(24), "{wait:?}");
    about["scope"].clone()
}

fn refused(stats: &WriterStats, reason: ErrorReason) -> i64 {
    stats.refusals.iter().filter(|refusal| refusal.reason() == reason).map(|refusal| refusal.count).sum()
}

#[tokio::test]
async fn of_a_batch_those_beyond_the_limit_are_refused_one_by_one_and_bad_ones_cost_nothing() {
    let suite = Suite::start_with(&[], &FLAGS).await;
    let key = suite.key().await;
    limit_project(&suite, &key, 5).await;
    let events = ["[]", GOOD, "{}", GOOD, GOOD, GOOD, "", GOOD, GOOD, GOOD].map(payload).into();
    let outcomes = batch(&suite, &key, events).await;
    let taken: Vec<usize> = (0..10).filter(|index| outcomes[*index].is_ok()).collect();
    assert_eq!(taken, [1, 3, 4, 5, 7]);
    for index in [8, 9] {
        assert_eq!(scope(outcomes[index].as_ref().unwrap_err()), "PROJECT");
    }
    let one = suite.writer().store(with_key(&key, json(GOOD))).await.unwrap_err();
    assert_eq!(scope(&one), "PROJECT");
    let account = stats(&suite, &key.project).await;
    assert_eq!((account.accepted_count, account.refused_count), (5, 6));
    assert_eq!(refused(&account, ErrorReason::InvalidField), 3);
    assert_eq!(refused(&account, ErrorReason::RateLimited), 3);
    let metrics = metrics(&suite).await;
    for line in [
        r#"mesher_writer_refused_total{reason="rate_limited"} 3"#,
        r#"mesher_writer_refused_total{reason="invalid"} 3"#,
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} is not in\n{metrics}");
    }
    // Another project is not limited, and a new limit holds at once, where nothing is remembered.
    let other = suite.key().await;
    assert!(batch(&suite, &other, vec![payload(GOOD); 100]).await.iter().all(Result::is_ok));
    limit_project(&suite, &key, 0).await;
    assert!(batch(&suite, &key, vec![payload(GOOD); 100]).await.iter().all(Result::is_ok));
}

#[tokio::test]
async fn a_key_has_a_limit_of_its_own_and_changes_are_in_force_within_seconds() {
    let suite =
        Suite::start_with(&[], &["--key-rate-limit", "1/1day", "--project-rate-limit", "6/1day"]).await;
    let first = suite.key().await;
    let second = suite.key_of(&first.project).await;
    for key in [&first, &second] {
        store(&suite, key, GOOD).await;
        let refused = suite.writer().store(with_key(key, json(GOOD))).await.unwrap_err();
        assert_eq!(scope(&refused), "KEY", "the default holds");
    }
    limit_key(&suite, &second, 100).await;
    eventually("the new limit was in force", PATIENCE, async || {
        suite.writer().store(with_key(&second, json(GOOD))).await
    })
    .await;
    let outcomes = batch(&suite, &second, vec![payload(GOOD); 10]).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 3);
    assert_eq!(scope(outcomes.last().unwrap().as_ref().unwrap_err()), "PROJECT");
    assert_eq!(stats(&suite, &first.project).await.accepted_count, 6);
}

#[tokio::test]
async fn what_the_quota_refuses_and_what_turns_out_to_be_a_duplicate_costs_nothing() {
    let suite = Suite::start_with(&[], &["--api-key-cache", "0s", "--quota-events", "3"]).await;
    let key = suite.key().await;
    limit_project(&suite, &key, 4).await;
    limit_key(&suite, &key, 4).await;
    let event = r#"{"message":"m","event_id":"0123456789abcdef0123456789abcdef"}"#;
    for text in [event, event, GOOD] {
        store(&suite, &key, text).await;
    }
    for _ in 0..5 {
        let full = suite.writer().store(with_key(&key, json(GOOD))).await.unwrap_err();
        assert_eq!(error_info(&full).0, "QUOTA_EXCEEDED");
    }
    assert_eq!(flush(&suite, &key.project).await, 2);
    let account = stats(&suite, &key.project).await;
    assert_eq!(dropped(&account, DropReason::Duplicate), 1);
    assert_eq!(refused(&account, ErrorReason::QuotaExceeded), 5);
    // Two of the four are in the table, and two are left.
    for _ in 0..2 {
        store(&suite, &key, GOOD).await;
    }
    let refused = suite.writer().store(with_key(&key, json(GOOD))).await.unwrap_err();
    scope(&refused);
}
