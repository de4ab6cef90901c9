//! The command line.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};

/// Measures Mesher, each figure beside its reference in the same run: real processes, a real PostgreSQL that syncs to a real
/// disk, and events as Sentry's SDKs send them.
#[derive(Clone, Debug, Parser)]
#[command(name = "mesher-bench", version)]
pub(crate) struct Options {
    /// What to measure.
    #[arg(value_enum, required = true)]
    pub(crate) figures: Vec<Figure>,
    /// A few seconds each: says whether the benchmark works and whether events were lost or doubled, and nothing about
    /// how fast anything is.
    #[arg(long)]
    pub(crate) short: bool,
    /// The directory for PostgreSQL's data and the writer's log, on the disk that is to be measured. [default: bench in the
    /// target directory]
    #[arg(long)]
    pub(crate) dir: Option<PathBuf>,
    /// Write the results to this file, as JSON.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// What the events are made from: the same seed makes the same events.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// For `ingest`, `http` and `restart`: how many events; the first two hold all of them, some 5 KB each. [default: 100000,
    /// and 1000000 for `restart`]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1000..=5_000_000))]
    pub(crate) events: Option<u32>,
    /// For `ingest`, `http`, `transcode` and `projects`: how often each is measured; the median counts. [default: 3]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub(crate) rounds: Option<u32>,
    /// For `outage`: how many minutes PostgreSQL is away. [default: 10]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=120))]
    pub(crate) minutes: Option<u32>,
    /// For `outage`: how many events come in each second.
    #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) rate: u32,
    /// For `outage`: lock the table of events instead of stopping PostgreSQL, which goes on to answer everything else.
    #[arg(long)]
    pub(crate) lock: bool,
    /// Flags for the writer that differ from its defaults, such as `--writer-flag=--shards=4`.
    #[arg(long, value_name = "FLAG")]
    pub(crate) writer_flag: Vec<String>,
}

/// What can be measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Figure {
    /// Events stored each second, beside one INSERT an event and beside PostgreSQL's own COPY.
    Ingest,
    /// Time to the acknowledgement at 1,000 events a second, beside one sync of a record.
    Ack,
    /// Events in SDKs' envelopes stored each second through the gateway, one a request, beside gRPC streams to the writer.
    Http,
    /// Calls of `GET /v1/orgs/{org_id}` answered each second, and how long they take, beside the same RPC called directly.
    Transcode,
    /// Cost of an event with 10,000 active projects, beside one project.
    Projects,
    /// The writer's memory while PostgreSQL is away, and whether all is stored afterwards.
    Outage,
    /// The memory of a writer that finds a million events in its log.
    Restart,
    /// All of them.
    All,
}

impl Options {
    /// Whether a figure is to be measured.
    pub(crate) fn wants(&self, figure: Figure) -> bool {
        self.figures.iter().any(|wanted| *wanted == figure || *wanted == Figure::All)
    }
}
