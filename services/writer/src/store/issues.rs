//! Issues: the events of a batch, counted by their fingerprints.

use std::collections::{BTreeMap, HashMap};

use chrono::{DateTime, Utc};
use mesher_common::{
    db::DatabaseError,
    id::{IssueId, ProjectId},
};
use sqlx::PgConnection;

use crate::{admission::Fingerprint, event::Event, row::Column};

/// What tells one issue from all others.
pub(super) type Key = (ProjectId, Fingerprint);

/// What a batch has of one issue.
#[derive(Debug)]
struct Counted<'a> {
    events: i64,
    first: DateTime<Utc>,
    last: &'a Event,
}

/// Counts events in their issues, which are made if they are new: the ids of the issues.
///
/// One statement, and the issues in the order of their keys in every transaction, so that two that have issues in common wait
/// for each other and never in a circle. Until the end of the transaction nobody else counts in these issues.
pub(super) async fn count(
    connection: &mut PgConnection,
    events: impl Iterator<Item = &Event>,
) -> Result<HashMap<Key, IssueId>, DatabaseError> {
    let mut issues: BTreeMap<Key, Counted<'_>> = BTreeMap::new();
    for event in events {
        let at = event.received_at;
        issues
            .entry((event.project_id, event.fingerprint))
            .and_modify(|issue| {
                issue.events += 1;
                issue.first = issue.first.min(at);
                if at >= issue.last.received_at {
                    issue.last = event;
                }
            })
            .or_insert(Counted { events: 1, first: at, last: event });
    }
    if issues.is_empty() {
        return Ok(HashMap::new());
    }
    let fingerprints = || issues.keys().map(|(_, fingerprint)| fingerprint.as_bytes().as_slice());
    let found: Vec<(IssueId, ProjectId, Vec<u8>)> = sqlx::query_as(
        "INSERT INTO issues AS known
             (id, project_id, fingerprint, title, level, event_count, first_seen_at, last_seen_at)
         SELECT * FROM unnest(
             $1::uuid[], $2::uuid[], $3::bytea[], $4::text[], $5::text[]::event_level[], $6::bigint[],
             $7::timestamptz[], $8::timestamptz[]
         )
         ON CONFLICT (project_id, fingerprint) DO UPDATE SET
             event_count = known.event_count + excluded.event_count,
             first_seen_at = least(known.first_seen_at, excluded.first_seen_at),
             last_seen_at = greatest(known.last_seen_at, excluded.last_seen_at),
             title = CASE WHEN excluded.last_seen_at < known.last_seen_at THEN known.title ELSE excluded.title END,
             level = CASE WHEN excluded.last_seen_at < known.last_seen_at THEN known.level ELSE excluded.level END
         RETURNING id, project_id, fingerprint",
    )
    .bind(issues.keys().map(|_| IssueId::new().0).collect::<Vec<_>>())
    .bind(issues.keys().map(|(project, _)| project.0).collect::<Vec<_>>())
    .bind(fingerprints().collect::<Vec<_>>())
    .bind(issues.values().map(|issue| issue.last.title()).collect::<Vec<_>>())
    .bind(issues.values().map(|issue| issue.last.row.text(Column::Level)).collect::<Vec<_>>())
    .bind(issues.values().map(|issue| issue.events).collect::<Vec<_>>())
    .bind(issues.values().map(|issue| issue.first).collect::<Vec<_>>())
    .bind(issues.values().map(|issue| issue.last.received_at).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    let by_key = |(id, project, fingerprint): (IssueId, ProjectId, Vec<u8>)| {
        let fingerprint = Fingerprint::from_bytes(fingerprint.try_into().ok()?);
        Some(((project, fingerprint), id))
    };
    Ok(found.into_iter().filter_map(by_key).collect())
}
