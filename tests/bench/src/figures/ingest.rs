//! `ingest`: how many events are stored each second, from the first that is sent until the last is in the table.

use std::time::{Duration, Instant};

use super::{
    copy, insert,
    stored::{Measured, Way, add_cost, rates, stored},
};
use crate::{
    events::{Generator, Sample},
    load::{Client, closed},
    numbers::float,
    report::{Line, Reference, Report, Target},
    setup::{Bench, Projects},
};

const PROJECTS: usize = 20;
const EVENTS_IN_A_CALL: usize = 50;
const CALLS_AT_ONCE: usize = 16;

#[derive(Default)]
struct Rounds {
    mesher: Vec<Measured>,
    acknowledged: Vec<f64>,
    insert: Vec<Measured>,
    copy: Vec<Measured>,
}

/// Measures it.
pub(crate) async fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let options = &bench.options;
    let (events, rounds, insert_limit) = if options.short {
        (5000, 1, Duration::from_secs(1))
    } else {
        (options.events.unwrap_or(100_000), options.rounds.unwrap_or(3), Duration::from_secs(15))
    };
    let samples = Generator::new(options.seed).take(usize::try_from(events)?, PROJECTS)?;
    // There are at least so many: `--events` takes no fewer.
    bench.report.sizes(&samples[..1000])?;
    let projects = bench.projects(PROJECTS).await?;
    let mut all = Rounds::default();
    for round in 1..=rounds {
        Report::say(&format!("ingest, round {round} of {rounds}: {events} events of {PROJECTS} projects"));
        mesher(bench, &projects, &samples, &mut all).await?;
        references(bench, &projects, &samples, insert_limit, &mut all).await?;
    }
    add(bench, &all);
    Ok(())
}

async fn mesher(
    bench: &Bench,
    projects: &Projects,
    samples: &[Sample],
    all: &mut Rounds,
) -> anyhow::Result<()> {
    let calls = closed::calls(samples, PROJECTS, EVENTS_IN_A_CALL);
    let send = async |client: &Client, _| {
        let started = Instant::now();
        let tally = closed::send(client, &projects.all, calls, CALLS_AT_ONCE).await?;
        all.acknowledged.push(float(tally.acknowledged.len()) / started.elapsed().as_secs_f64());
        Ok(tally)
    };
    all.mesher.push(stored(bench, projects, Way::Straight, send).await?);
    Ok(())
}

async fn references(
    bench: &Bench,
    projects: &Projects,
    samples: &[Sample],
    insert_limit: Duration,
    all: &mut Rounds,
) -> anyhow::Result<()> {
    let mut connection = bench.server.connect().await?;
    let given = insert::given(&mut connection).await?;
    let export = copy::export(&mut connection).await?;
    bench.server.clear_events().await?;
    let before = bench.cpu(None)?;
    let (events, took) = insert::insert(&mut connection, projects, samples, &given, insert_limit).await?;
    all.insert.push(Measured { events, took, cpu: bench.cpu(None)? - before, peak: None });
    bench.server.clear_events().await?;
    let before = bench.cpu(None)?;
    let took = copy::copy(&bench.server, &export).await?;
    all.copy.push(Measured { events: samples.len(), took, cpu: bench.cpu(None)? - before, peak: None });
    Ok(())
}

fn add(bench: &mut Bench, all: &Rounds) {
    let line = |what: &str, value, reference, target| Line {
        figure: "ingest",
        what: what.to_owned(),
        value,
        unit: "events/s",
        reference,
        target,
    };
    let mesher = rates(&all.mesher);
    let insert = Reference { what: "by one INSERT an event", value: rates(&all.insert) };
    let copy = Reference { what: "by two COPYs of finished rows", value: rates(&all.copy) };
    bench.report.line(line("stored", mesher.clone(), Some(insert), Some(Target::AtLeast(10.0))));
    bench.report.line(line("stored", mesher, Some(copy), Some(Target::AtLeast(0.5))));
    bench.report.line(line("acknowledged", all.acknowledged.iter().copied().collect(), None, None));
    for (what, measured) in
        [("ingest", &all.mesher), ("one INSERT an event", &all.insert), ("two COPYs", &all.copy)]
    {
        add_cost(&mut bench.report, what, measured);
    }
}
