//! Telling an event that is in the table already, or is the same as another, from a new one.

use std::collections::HashMap;

use chrono::{DateTime, NaiveTime, TimeDelta, Utc};
use mesher_common::{
    db::DatabaseError,
    id::{EventId, ProjectId},
};
use sqlx::PgConnection;

use crate::event::Event;

/// For how long the same id, sent again, is the same event.
const SAME_EVENT: TimeDelta = TimeDelta::days(1);
/// A partition.
const DAY: TimeDelta = TimeDelta::days(1);

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
/// which is the event itself, or within a day.
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
    // Of the days between, partitions are not even looked at.
    let (unseen_from, unseen_until) = match suspects {
        Suspects::OnOtherDays => (start_of_day(last), start_of_day(last) + DAY),
        Suspects::All => (first, first),
    };
    // A subquery with a LIMIT, so that each id is looked up in the index whatever the planner thinks of the table.
    let times: Vec<Option<DateTime<Utc>>> = sqlx::query_scalar(
        "SELECT (
             SELECT e.received_at FROM events e
             WHERE e.project_id = sent.project_id AND e.event_id = sent.event_id
                 AND e.received_at > sent.received_at - interval '1 day'
                 AND e.received_at < sent.received_at + interval '1 day'
                 AND (e.received_at > $4 AND e.received_at < $5 OR e.received_at >= $6 AND e.received_at < $7)
             ORDER BY e.received_at = sent.received_at DESC LIMIT 1
         )
         FROM unnest($1::uuid[], $2::uuid[], $3::timestamptz[]) WITH ORDINALITY
             AS sent (project_id, event_id, received_at, position)
         ORDER BY sent.position",
    )
    .bind(given.iter().map(|(_, event)| event.project_id.0).collect::<Vec<_>>())
    .bind(given.iter().map(|(_, event)| event.id.0).collect::<Vec<_>>())
    .bind(times().collect::<Vec<_>>())
    .bind(first - SAME_EVENT)
    .bind(unseen_from)
    .bind(unseen_until)
    .bind(last + SAME_EVENT)
    .fetch_all(connection)
    .await?;
    for ((index, _), time) in given.into_iter().zip(times) {
        found[index] = time;
    }
    Ok(found)
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
