//! What is counted in more than one place of the database, and must be the same in all.

use sqlx::PgPool;

/// Each is the number of a project's events.
const COUNTS: &[(&str, &str)] = &[
    ("events", "SELECT count(*) FROM events WHERE project_id = $1::uuid"),
    (
        "counted in issues",
        "SELECT coalesce(sum(event_count), 0)::bigint FROM issues WHERE project_id = $1::uuid",
    ),
    ("event ids", "SELECT count(DISTINCT event_id) FROM events WHERE project_id = $1::uuid"),
];

/// The number of a project's events, which is the same wherever it is counted.
pub(crate) async fn agreed(pool: &PgPool, project: &str) -> i64 {
    let mut counts = Vec::new();
    for (what, query) in COUNTS {
        let count: i64 = sqlx::query_scalar(*query).bind(project).fetch_one(pool).await.unwrap();
        counts.push((what, count));
    }
    assert!(counts.iter().all(|(_, count)| *count == counts[0].1), "{counts:?}");
    counts[0].1
}
