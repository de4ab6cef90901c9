//! Telling an event that is in the table already, or is the same as another, from a new one.

use std::collections::HashMap;

use chrono::{DateTime, NaiveTime, TimeDelta, Utc};
use mesher_common::{
    db::DatabaseError,
    id::{EventId, ProjectId},
};
use sqlx::{AssertSqlSafe, PgConnection};

use crate::event::Event;

/// For how long the same id, sent again, is the same event.
const SAME_EVENT: TimeDelta = TimeDelta::days(1);
/// A partition.
const DAY: TimeDelta = TimeDelta::days(1);
/// An event that is sent twice is flushed twice within so long, as long as all is well.
const AT_ONCE: TimeDelta = TimeDelta::minutes(5);

/// Begins a transaction in which [`stored_already`] is asked, and that waits for a lock less long than others do: what does
/// not need that lock waits as well, and a batch is tried several times until it is halved down to what does.
///
/// Of a partition that was never analyzed the planner thinks that several rows have the same project and id, and takes a
/// bitmap of all that its project received in those days for the better way.
pub(super) const BEGIN: &str = "BEGIN; SET LOCAL enable_bitmapscan = off; SET LOCAL lock_timeout = '2s'";

/// Which events of a batch may be in the table already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Suspects {
    /// Those whose ids their senders gave, received on the day before or after: ids made at admission are new, and of those
    /// received on the same day the unique index says so.
    OnOtherDays,
    /// All: an earlier try may have been committed although its answer was lost, or the index said so.
    All,
}

/// For each event of a batch, when an event with its id was received that is in the table already: at the very same time,
/// which is the event itself, or within a day. To be asked in a transaction that [began](BEGIN) for it.
pub(super) async fn stored_already(
    connection: &mut PgConnection,
    batch: &[Event],
    suspects: Suspects,
) -> Result<Vec<Option<DateTime<Utc>>>, DatabaseError> {
    let mut found = vec![None; batch.len()];
    let suspected = |event: &Event| event.id_given || suspects == Suspects::All;
    let given: Vec<(usize, &Event)> =
        batch.iter().enumerate().filter(|(_, event)| suspected(event)).collect();
    let times = || given.iter().map(|(_, event)| event.received_at);
    let (Some(first), Some(last)) = (times().min(), times().max()) else { return Ok(found) };
    let rows: Vec<(i64, DateTime<Utc>)> = sqlx::query_as(AssertSqlSafe(lookup(first, last, suspects)))
        // A plan that was made while a day's partition was empty must not outlive that.
        .persistent(false)
        .bind(given.iter().map(|(_, event)| event.project_id.0).collect::<Vec<_>>())
        .bind(given.iter().map(|(_, event)| event.id.0).collect::<Vec<_>>())
        .fetch_all(connection)
        .await?;
    for (position, time) in rows {
        // PostgreSQL counts from one.
        let place = usize::try_from(position - 1).ok().and_then(|place| given.get(place));
        let Some((index, event)) = place else { continue };
        let is_itself = found[*index] == Some(event.received_at);
        if !is_itself && (time - event.received_at).abs() < SAME_EVENT {
            found[*index] = Some(time);
        }
    }
    Ok(found)
}

/// The query for ids among the events of the days around a batch.
///
/// It is to look ids up in the unique index, whatever the planner knows of the table, and it knows nothing of a day that has
/// just begun: in the index by time it would walk through all that a project received in a day, for every id. So the days are
/// written into it, no time is compared but with them, and they are two ranges with an OR between: that tells which partitions
/// there are to look in, and is nothing to search an index by.
fn lookup(first: DateTime<Utc>, last: DateTime<Utc>, suspects: Suspects) -> String {
    let (from, until) = (start_of_day(first) - DAY, start_of_day(last) + DAY + DAY);
    let is_one_day = start_of_day(first) == start_of_day(last);
    let (middle, again) = match suspects {
        Suspects::OnOtherDays if is_one_day => (start_of_day(last), start_of_day(last) + DAY),
        // Of two days each is another day to the events of the other one.
        Suspects::OnOtherDays | Suspects::All => (start_of_day(first), start_of_day(first)),
    };
    let [from, middle, again, until] = [from, middle, again, until].map(|time| time.to_rfc3339());
    // With a LIMIT, so that each id is looked up by itself: it is in a partition once, and there are few of them.
    format!(
        "SELECT sent.position, stored.received_at
         FROM unnest($1::uuid[], $2::uuid[]) WITH ORDINALITY AS sent (project_id, event_id, position)
         CROSS JOIN LATERAL (
             SELECT received_at FROM events
             WHERE project_id = sent.project_id AND event_id = sent.event_id AND (
                 received_at >= '{from}' AND received_at < '{middle}'
                 OR received_at >= '{again}' AND received_at < '{until}'
             )
             LIMIT 100
         ) AS stored"
    )
}

/// Whether somebody else may be storing an event of the batch on another day at this very moment, where no index tells.
pub(super) fn is_at_midnight(batch: &[Event]) -> bool {
    let mut times = batch.iter().filter(|event| event.id_given).map(|event| event.received_at);
    times.any(|time| start_of_day(time - AT_ONCE) != start_of_day(time + AT_ONCE))
}

/// When the UTC day of a time began.
fn start_of_day(time: DateTime<Utc>) -> DateTime<Utc> {
    time.date_naive().and_time(NaiveTime::MIN).and_utc()
}

/// Whether an event of the same batch, within a day before, has the event's id.
pub(super) fn is_again(seen: &mut HashMap<(ProjectId, EventId), DateTime<Utc>>, event: &Event) -> bool {
    let key = (event.project_id, event.id);
    match seen.get(&key) {
        Some(before) if (event.received_at - before).abs() < SAME_EVENT => true,
        _ => {
            seen.insert(key, event.received_at);
            false
        }
    }
}

#[cfg(test)]
mod tests {
    use mesher_common::id::IssueId;
    use mesher_testing::TestDatabase;

    use super::*;

    #[tokio::test]
    async fn ids_are_looked_up_in_the_unique_index_whatever_the_planner_knows() {
        let database = TestDatabase::new().await;
        let (project, now) = (ProjectId::new(), Utc::now());
        // So many that it would be worth to avoid the unique index, were they not one each.
        let fill = fill(project, 160_000);
        let partitions = "SELECT ensure_event_partitions(current_date - 2, current_date + 2)";
        let mut connection = database.pool().acquire().await.unwrap();
        sqlx::raw_sql(partitions).execute(&mut *connection).await.unwrap();
        for step in [&fill, "ANALYZE events"] {
            sqlx::raw_sql(AssertSqlSafe(step.to_owned())).execute(&mut *connection).await.unwrap();
            sqlx::raw_sql(BEGIN).execute(&mut *connection).await.unwrap();
            for (suspects, last, days) in [
                (Suspects::OnOtherDays, now, 2),
                (Suspects::All, now, 3),
                (Suspects::OnOtherDays, now + DAY, 4),
            ] {
                let explain = format!("EXPLAIN {}", lookup(now, last, suspects));
                let plan: Vec<String> = sqlx::query_scalar(AssertSqlSafe(explain))
                    .bind(vec![project.0; 200])
                    .bind(vec![EventId::new().0; 200])
                    .persistent(false)
                    .fetch_all(&mut *connection)
                    .await
                    .unwrap();
                let plan = plan.join("\n");
                let message = format!("after {step}: {suspects:?}\n{plan}");
                assert_eq!(plan.matches("_event_id_key on").count(), days, "{message}");
                assert_eq!(plan.matches(" Scan ").count(), days + 1, "{message}");
            }
            sqlx::raw_sql("COMMIT").execute(&mut *connection).await.unwrap();
        }
    }

    /// So many events of a project, most of them today and the others on the day before and the two after.
    fn fill(project: ProjectId, events: usize) -> String {
        let (org, issue) = (ProjectId::new(), IssueId::new().0);
        let fingerprint = "decode(repeat('01', 17), 'hex')";
        format!(
            "INSERT INTO orgs VALUES ('{org}', 'o', 'o', now());
             INSERT INTO projects (id, org_id, name, slug, created_at) VALUES ('{project}', '{org}', 'p', 'p', now());
             INSERT INTO issues VALUES ('{issue}', '{project}', {fingerprint}, 't', 'error', 1, now(), now());
             INSERT INTO events (project_id, event_id, issue_id, fingerprint, received_at, occurred_at, level, tags, payload)
             SELECT '{project}', gen_random_uuid(), '{issue}', {fingerprint},
                 now() + coalesce((ARRAY[-1, 1, 2])[n % 10 + 1], 0) * interval '1 day', now(), 'error', '{{}}', decode(repeat('00', 400), 'hex')
             FROM generate_series(1, {events}) n"
        )
    }
}
