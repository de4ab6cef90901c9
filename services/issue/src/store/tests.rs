//! How PostgreSQL does what it is asked, once it plans for any parameters.

use mesher_common::id::IssueId;
use mesher_testing::TestDatabase;
use sqlx::{AssertSqlSafe, PgConnection};

use super::*;

/// How many days of events there are.
const DAYS: usize = 4;

/// So many events of a project on each day, which the planner knows nothing of.
async fn filled(database: &TestDatabase, project: ProjectId) -> PgConnection {
    let mut connection = database.pool().acquire().await.unwrap().detach();
    let (org, issue) = (ProjectId::new(), IssueId::new().0);
    let fingerprint = "decode(repeat('01', 17), 'hex')";
    let fill = format!(
        "SELECT ensure_event_partitions(current_date - 3, current_date);
         INSERT INTO orgs VALUES ('{org}', 'o', 'o', now());
         INSERT INTO projects (id, org_id, name, slug, created_at) VALUES ('{project}', '{org}', 'p', 'p', now());
         INSERT INTO issues VALUES ('{issue}', '{project}', {fingerprint}, 't', 'error', 1, now(), now());
         INSERT INTO events (project_id, event_id, issue_id, fingerprint, received_at, occurred_at, level, tags, payload)
         SELECT '{project}', gen_random_uuid(), '{issue}', {fingerprint},
             now() - n % {DAYS} * interval '1 day', now(), 'error', '{{}}', decode(repeat('00', 400), 'hex')
         FROM generate_series(1, 80000) n;
         SET plan_cache_mode = force_generic_plan"
    );
    sqlx::raw_sql(AssertSqlSafe(fill)).execute(&mut connection).await.unwrap();
    connection
}

/// The plan of a statement for whatever parameters of these types.
async fn plan(connection: &mut PgConnection, statement: &str, types: &str, values: &str) -> String {
    let prepare = format!("DEALLOCATE ALL; PREPARE asked ({types}) AS {statement}");
    sqlx::raw_sql(AssertSqlSafe(prepare)).execute(&mut *connection).await.unwrap();
    let explain = format!("EXPLAIN EXECUTE asked ({values})");
    let lines: Vec<String> =
        sqlx::query_scalar(AssertSqlSafe(explain)).persistent(false).fetch_all(connection).await.unwrap();
    lines.join("\n")
}

#[tokio::test]
async fn an_event_is_looked_up_by_its_id_and_pages_begin_where_the_one_before_ended() {
    let database = TestDatabase::new().await;
    let (project, id) = (ProjectId::new(), EventId::new().0);
    let mut connection = filled(&database, project).await;
    for step in ["SELECT", "ANALYZE events"] {
        sqlx::raw_sql(step).execute(&mut connection).await.unwrap();
        let by_id = plan(&mut connection, BY_ID, "uuid, uuid", &format!("'{project}', '{id}'")).await;
        assert_eq!(by_id.matches("_event_id_key").count(), DAYS, "after {step}:\n{by_id}");
        assert_eq!(by_id.matches("Index Scan").count(), DAYS, "after {step}:\n{by_id}");

        let first = plan(&mut connection, FIRST_PAGE, "uuid, bigint", &format!("'{project}', 50")).await;
        let values = format!("'{project}', 50, now(), '{id}'");
        let next = plan(&mut connection, NEXT_PAGE, "uuid, bigint, timestamptz, uuid", &values).await;
        for (page, begins) in
            [(&first, "project_id = $1"), (&next, "ROW(received_at, event_id) < ROW($3, $4)")]
        {
            let scans = page.matches("Index Scan Backward").count();
            let conditions = page.lines().filter(|line| line.contains("Index Cond") && line.contains(begins));
            assert_eq!((scans, conditions.count()), (DAYS, DAYS), "after {step}:\n{page}");
            assert!(!page.contains("Filter") && !page.contains("Sort"), "after {step}:\n{page}");
        }
    }
}
