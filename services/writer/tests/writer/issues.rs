//! Events with the same fingerprint are one issue, which counts each of them once.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use mesher_common::{clock::Clock, id::ProjectId};
use mesher_suite::Suite;
use mesher_writer::{
    admission::{Sent, admit},
    engine::sink::{Outcome, Sink as _},
    event::Event,
    store::Store,
};
use sqlx::PgPool;

use crate::support::{events, flush, store, store_batch};

/// What an issue says of its events.
#[derive(Debug, PartialEq, sqlx::FromRow)]
struct Issue {
    title: String,
    level: String,
    event_count: i64,
    first_seen_at: DateTime<Utc>,
    last_seen_at: DateTime<Utc>,
}

/// The issues, the one with most events first.
async fn issues(pool: &PgPool) -> Vec<Issue> {
    let query = "SELECT title, level::text, event_count, first_seen_at, last_seen_at
         FROM issues ORDER BY event_count DESC, title";
    sqlx::query_as(query).fetch_all(pool).await.unwrap()
}

/// Fails unless each issue says of its events what can be seen of them.
async fn assert_exact(pool: &PgPool) {
    let wrong: Vec<(String, i64, i64)> = sqlx::query_as(
        "SELECT i.title, i.event_count, count(e) FROM issues i LEFT JOIN events e ON e.issue_id = i.id
         GROUP BY i.id
         HAVING i.event_count <> count(e) OR i.first_seen_at <> min(e.received_at)
             OR i.last_seen_at <> max(e.received_at) OR NOT bool_and(i.fingerprint = e.fingerprint)",
    )
    .fetch_all(pool)
    .await
    .unwrap();
    assert_eq!(wrong, [], "title, counted, and in the table");
}

#[tokio::test]
async fn events_with_the_same_fingerprint_are_one_issue_that_counts_them() {
    let suite = Suite::start().await;
    let (key, other) = (suite.key().await, suite.key().await);
    let missing = |user: u32| format!(r#"{{"message":"user {user} not found","level":"warning"}}"#);
    let failed = r#"{"exception":{"values":[{"type":"KeyError","value":"'a'\nand more"}]}}"#.to_owned();
    store_batch(&suite, &key, &[missing(1), failed.clone(), missing(2)]).await;
    assert_eq!(flush(&suite, &key.project).await, 3);
    // The same id twice is one event, in one batch and later.
    let given = r#"{"message":"user 3 not found","event_id":"0123456789abcdef0123456789abcdef"}"#.to_owned();
    store_batch(&suite, &key, &[given.clone(), given.clone(), failed]).await;
    assert_eq!(flush(&suite, &key.project).await, 2);
    store(&suite, &key, &given).await;
    assert_eq!(flush(&suite, &key.project).await, 0);

    let pool = suite.database.pool();
    let found: Vec<_> =
        issues(pool).await.into_iter().map(|issue| (issue.title, issue.level, issue.event_count)).collect();
    let expected = [("user 3 not found", "error", 3), ("KeyError: 'a'", "error", 2)];
    assert_eq!(found, expected.map(|(title, level, count)| (title.to_owned(), level.to_owned(), count)));
    assert_exact(pool).await;
    let read = events(&suite, &key.project).await;
    let by_issue: BTreeMap<_, _> =
        read.iter().map(|event| (&event.issue_id, &event.exception_type)).collect();
    assert_eq!(by_issue.len(), 2, "an event tells its issue");

    store(&suite, &other, &missing(4)).await;
    assert_eq!(flush(&suite, &other.project).await, 1);
    assert_eq!(issues(pool).await.len(), 3, "another project's issues are others");
}

#[tokio::test]
async fn a_batch_that_was_committed_although_its_answer_was_lost_counts_once() {
    let suite = Suite::start().await;
    let project = ProjectId::parse("project_id", &suite.project().await.id).unwrap();
    let store = Store::new(suite.database.pool().clone());
    let batch: Vec<Event> = (0..20).map(|n| event(project, n)).collect();
    for _ in 0..2 {
        assert_eq!(store.store(&batch).await.unwrap(), [Outcome::Stored; 20]);
    }
    assert_exact(suite.database.pool()).await;
}

/// Two writers count in the same issues at once, each in the order in which its own events came.
#[tokio::test]
async fn many_count_in_the_same_issues_at_once_and_none_waits_in_a_circle() {
    const WRITERS: u32 = 6;
    const BATCHES: u32 = 15;
    let suite = Suite::start().await;
    let mut projects = Vec::new();
    for _ in 0..2 {
        projects.push(ProjectId::parse("project_id", &suite.project().await.id).unwrap());
    }
    let store = Store::new(suite.database.pool().clone());
    let writers = (0..WRITERS).map(|writer| {
        let (store, projects) = (store.clone(), projects.clone());
        async move {
            for batch in 0..BATCHES {
                let mut events: Vec<Event> =
                    (0..30).map(|n| event(projects[(n % 2) as usize], n + batch)).collect();
                events.rotate_left((writer * 7 % 30) as usize);
                assert_eq!(store.store(&events).await.unwrap(), [Outcome::Stored; 30]);
            }
        }
    });
    futures_util::future::join_all(writers).await;
    let pool = suite.database.pool();
    assert_exact(pool).await;
    let counted: i64 =
        sqlx::query_scalar("SELECT sum(event_count)::bigint FROM issues").fetch_one(pool).await.unwrap();
    assert_eq!(counted, i64::from(WRITERS * BATCHES * 30));
}

/// An event of one of seven issues.
fn event(project: ProjectId, number: u32) -> Event {
    let issue = ["a", "b", "c", "d", "e", "f", "g"][(number % 7) as usize];
    let json = format!(r#"{{"message":"{issue} {number}"}}"#);
    admit(project, &Sent::Json(json.as_bytes()), Clock::system().now()).unwrap()
}
