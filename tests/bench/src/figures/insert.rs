//! The reference for what storing events costs without a writer: one INSERT an event, as an application would that has no
//! more than PostgreSQL. The server takes the JSON apart; the statement is prepared, and each is a transaction of its own.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use sqlx::{AssertSqlSafe, PgConnection};
use uuid::Uuid;

use super::columns::{Column, columns, names};
use crate::{events::Sample, setup::Projects};

/// How each column comes from the project (`$1`) and the payload (`$2`, and `j` when it is taken apart).
const SOURCES: &[(&str, &str)] = &[
    ("project_id", "$1"),
    ("event_id", "(j ->> 'event_id')::uuid"),
    ("received_at", "clock_timestamp()"),
    ("occurred_at", "(j ->> 'timestamp')::timestamptz"),
    ("level", "(j ->> 'level')::event_level"),
    ("message", "j #>> '{logentry,formatted}'"),
    ("exception_type", "j #>> '{exception,values,-1,type}'"),
    ("exception_value", "j #>> '{exception,values,-1,value}'"),
    ("release", "j ->> 'release'"),
    ("environment", "j ->> 'environment'"),
    ("sdk_name", "j #>> '{sdk,name}'"),
    ("sdk_version", "j #>> '{sdk,version}'"),
    ("tags", "j -> 'tags'"),
    ("\"user\"", "j -> 'user'"),
    // As it was given: what compresses it in the writer is not in the database.
    ("payload", "convert_to($2, 'UTF8')"),
];

/// What the columns that are not in the payload hold, as texts: what the writer found out about an event is given to the
/// reference for nothing.
pub(super) struct Given {
    all: Vec<Column>,
    columns: Vec<Column>,
    values: HashMap<Uuid, Vec<Option<String>>>,
}

/// Reads them from what the writer stored.
pub(super) async fn given(connection: &mut PgConnection) -> anyhow::Result<Given> {
    let all = columns(connection).await?;
    let is_source = |column: &Column| SOURCES.iter().any(|(name, _)| *name == column.name);
    let columns: Vec<Column> = all.iter().filter(|column| !is_source(column)).cloned().collect();
    let texts: Vec<String> = columns.iter().map(|column| format!("{}::text", column.name)).collect();
    let statement = format!("SELECT event_id, ARRAY[{}]::text[] FROM events", texts.join(", "));
    let values: Vec<(Uuid, Vec<Option<String>>)> =
        sqlx::query_as(AssertSqlSafe(statement)).fetch_all(connection).await?;
    Ok(Given { all, columns, values: values.into_iter().collect() })
}

/// Inserts events one after the other until all are in, or the time is up: how many, and how long it took.
pub(super) async fn insert(
    connection: &mut PgConnection,
    projects: &Projects,
    samples: &[Sample],
    given: &Given,
    limit: Duration,
) -> anyhow::Result<(usize, Duration)> {
    let statement = statement(given);
    let started = Instant::now();
    let mut inserted = 0;
    for (project, sample) in projects.all.iter().cycle().zip(samples) {
        if started.elapsed() >= limit {
            break;
        }
        let json = std::str::from_utf8(&sample.json)?;
        let mut query = sqlx::query(AssertSqlSafe(statement.as_str())).bind(project.id).bind(json);
        for value in given.values.get(&sample.id).context("the writer stored another event")? {
            query = query.bind(value);
        }
        query.execute(&mut *connection).await?;
        inserted += 1;
    }
    Ok((inserted, started.elapsed()))
}

fn statement(given: &Given) -> String {
    let source = |column: &Column| {
        let known =
            SOURCES.iter().find(|(name, _)| *name == column.name).map(|(_, source)| (*source).to_owned());
        let place = given.columns.iter().position(|one| one.name == column.name).unwrap_or_default();
        known.unwrap_or_else(|| format!("${}::text::{}", place + 3, column.kind))
    };
    let sources: Vec<String> = given.all.iter().map(source).collect();
    // Materialized, or the JSON would be parsed anew for each column.
    format!(
        "WITH sent AS MATERIALIZED (SELECT $2::text::jsonb AS j) INSERT INTO events ({}) SELECT {} FROM sent",
        names(&given.all),
        sources.join(", ")
    )
}
