//! Measures the writer and the gateway, each figure beside its reference in the same run. `docs/benchmark.md` says what is measured against
//! what, and why.

mod events;
mod figures;
mod host;
mod load;
mod numbers;
mod options;
mod report;
mod setup;
mod usage;
mod verify;

use anyhow::bail;
use clap::Parser as _;
use tokio::signal::unix::{SignalKind, signal};

use crate::{
    figures::{ack, http, ingest, outage, projects, restart, transcode},
    options::{Figure, Options},
    setup::Bench,
};

// One thread: what sends the events leaves the rest of the machine to what is measured.
#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let mut bench = tokio::select! {
        bench = Bench::start(options) => bench?,
        stopped = interrupted() => return stopped,
    };
    let measured = tokio::select! {
        measured = measure(&mut bench) => measured,
        stopped = interrupted() => stopped,
    };
    if measured.is_ok() {
        bench.report.print();
        if let Some(path) = &bench.options.json {
            bench.report.write_json(path)?;
        }
    }
    bench.close().await?;
    measured
}

async fn measure(bench: &mut Bench) -> anyhow::Result<()> {
    if bench.options.wants(Figure::Ingest) {
        ingest::run(bench).await?;
    }
    if bench.options.wants(Figure::Ack) {
        ack::run(bench).await?;
    }
    if bench.options.wants(Figure::Http) {
        http::run(bench).await?;
    }
    if bench.options.wants(Figure::Transcode) {
        transcode::run(bench).await?;
    }
    if bench.options.wants(Figure::Projects) {
        projects::run(bench).await?;
    }
    if bench.options.wants(Figure::Outage) {
        outage::run(bench).await?;
    }
    if bench.options.wants(Figure::Restart) {
        restart::run(bench).await?;
    }
    Ok(())
}

/// Ctrl-C and SIGTERM end a run in order: PostgreSQL would outlive it.
async fn interrupted() -> anyhow::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    tokio::select! {
        interrupt = tokio::signal::ctrl_c() => interrupt?,
        _ = terminate.recv() => {}
    }
    bail!("interrupted")
}
