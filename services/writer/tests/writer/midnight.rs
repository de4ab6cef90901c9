//! An id is one event for a day, also where one day's partition ends and the next one's begins: no index tells there.

use chrono::{DateTime, Days, NaiveTime, TimeDelta, Utc};
use mesher_common::{clock::Clock, id::ProjectId};
use mesher_suite::Suite;
use mesher_testing::eventually;
use mesher_writer::{
    admission::{Sent, admit},
    engine::sink::{Outcome, Sink as _},
    event::Event,
    store::Store,
};
use sqlx::{AssertSqlSafe, Connection as _, PgConnection, PgPool};

use crate::support::PATIENCE;

const ID: &str = "0123456789abcdef0123456789abcdef";
const OTHER_ID: &str = "fedcba9876543210fedcba9876543210";

fn at(id: &str, project: ProjectId, time: DateTime<Utc>) -> Event {
    let json = format!(r#"{{"message":"m","event_id":"{id}"}}"#);
    admit(project, &Sent::Json(json.as_bytes()), time).unwrap()
}

/// When tomorrow begins, the partition of which is there.
fn midnight() -> DateTime<Utc> {
    (Clock::system().now().date_naive() + Days::new(1)).and_time(NaiveTime::MIN).and_utc()
}

async fn count(pool: &PgPool) -> (i64, i64) {
    let query = "SELECT (SELECT count(*) FROM events), (SELECT sum(event_count)::bigint FROM issues)";
    sqlx::query_as(query).fetch_one(pool).await.unwrap()
}

#[tokio::test]
async fn a_batch_of_two_days_finds_its_ids_on_both() {
    let suite = Suite::start().await;
    let project = ProjectId::parse("project_id", &suite.project().await.id).unwrap();
    let store = Store::new(suite.database.pool().clone());
    let (before, after) = (midnight() - TimeDelta::hours(1), midnight() + TimeDelta::hours(1));
    for (first, again) in [(after, before), (before, after)] {
        assert_eq!(store.store(&[at(ID, project, first)]).await.unwrap(), [Outcome::Stored]);
        let day = if again == before { after } else { before };
        let batch = [at(ID, project, again), at(OTHER_ID, project, day)];
        assert_eq!(store.store(&batch).await.unwrap(), [Outcome::Duplicate, Outcome::Stored]);
        sqlx::query("DELETE FROM events").execute(suite.database.pool()).await.unwrap();
    }
}

#[tokio::test]
async fn who_waited_for_another_that_stored_the_same_event_on_the_other_day_finds_it() {
    let suite = Suite::start().await;
    let project = ProjectId::parse("project_id", &suite.project().await.id).unwrap();
    let pool = suite.database.pool();
    let store = Store::new(pool.clone());
    let (before, after) = (midnight() - TimeDelta::seconds(1), midnight() + TimeDelta::seconds(1));
    store.store(&[at(OTHER_ID, project, before - TimeDelta::hours(1))]).await.unwrap();

    // Another writer's transaction, before its commit.
    let mut other = PgConnection::connect_with(&suite.database.connect_options()).await.unwrap();
    let columns = "project_id, issue_id, fingerprint, occurred_at, level, tags, payload";
    let begun = format!(
        "BEGIN; UPDATE issues SET event_count = event_count + 1;
         INSERT INTO events ({columns}, event_id, received_at)
         SELECT {columns}, '{ID}', '{}' FROM events",
        after.to_rfc3339()
    );
    sqlx::raw_sql(AssertSqlSafe(begun)).execute(&mut other).await.unwrap();
    let batch = [at(ID, project, before)];
    let commit = async {
        eventually("the flush waited for the issue", PATIENCE, async || {
            let waiting = "SELECT count(*) FROM pg_stat_activity
                WHERE datname = current_database() AND wait_event_type = 'Lock'";
            sqlx::query_scalar::<_, i64>(waiting).fetch_one(pool).await.unwrap() == 1
        })
        .await;
        sqlx::query("COMMIT").execute(&mut other).await.unwrap();
    };
    let (outcomes, ()) = tokio::join!(store.store(&batch), commit);
    assert_eq!(outcomes.unwrap(), [Outcome::Duplicate]);
    assert_eq!(count(pool).await, (2, 2));
}
