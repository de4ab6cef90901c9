//! The reference for what PostgreSQL takes in where nobody else works: its own COPY of the very rows that the writer stored,
//! finished, from files on the server, on two connections at once. It is no bound: more connections may take in more.

use std::{
    fs::File,
    time::{Duration, Instant},
};

use anyhow::{Context as _, ensure};
use sqlx::PgConnection;

use super::columns::{columns, count, execute, names};
use crate::setup::Server;

/// The rows of the table in two files, each a half by the time of arrival.
pub(super) struct Export {
    columns: String,
    files: [String; 2],
    rows: usize,
}

/// Writes the rows to files, and has them on the disk: what would be written there later would slow down the references.
pub(super) async fn export(connection: &mut PgConnection) -> anyhow::Result<Export> {
    let columns = names(&columns(connection).await?);
    let dir: String =
        sqlx::query_scalar("SELECT current_setting('data_directory')").fetch_one(&mut *connection).await?;
    let half: String = sqlx::query_scalar(
        "SELECT quote_literal(percentile_disc(0.5) WITHIN GROUP (ORDER BY received_at)) FROM events",
    )
    .fetch_one(&mut *connection)
    .await?;
    let files = ["early", "late"].map(|half| format!("{dir}/bench-{half}.copy"));
    let mut rows = 0;
    for (file, side) in files.iter().zip(["<=", ">"]) {
        let statement = format!(
            "COPY (SELECT {columns} FROM events WHERE received_at {side} {half}) TO {} (FORMAT binary)",
            quoted(file)
        );
        rows += usize::try_from(execute(connection, statement).await?)?;
        let synced = File::open(file).and_then(|file| file.sync_all());
        synced.with_context(|| format!("{file} cannot be synced"))?;
    }
    Ok(Export { columns, files, rows })
}

/// How long PostgreSQL takes to copy them into the table, which is empty.
pub(super) async fn copy(server: &Server, export: &Export) -> anyhow::Result<Duration> {
    let Export { columns, files: [early, late], rows } = export;
    let statement = |file: &str| format!("COPY events ({columns}) FROM {} (FORMAT binary)", quoted(file));
    let (mut one, mut other) = (server.connect().await?, server.connect().await?);
    let started = Instant::now();
    tokio::try_join!(execute(&mut one, statement(early)), execute(&mut other, statement(late)))?;
    let took = started.elapsed();
    let copied = count(&mut one).await?;
    ensure!(copied == *rows, "{copied} of {rows} rows were copied");
    Ok(took)
}

/// A path for a statement.
fn quoted(path: &str) -> String {
    format!("'{}'", path.replace('\'', "''"))
}
