//! `projects`: what an event costs when thousands of projects send, beside what it costs when one does.

use std::time::{Duration, Instant};

use super::columns::count;
use crate::{
    events::{Generator, Sample},
    load::{Client, closed},
    numbers::float,
    report::{Line, Reference, Report, Target, Values},
    setup::{Bench, Projects},
    usage::{Cpu, Memory, children_gone},
    verify::exactly_once,
};

/// How events are sent: as SDKs do, one in a call, and as a relay does, several in a call.
const SENT: [(&str, usize, usize); 2] = [("one in a call", 1, 256), ("ten in a call", 10, 32)];
/// The most events of a project that wait for their time rather than for their turn.
const WAIT: usize = 49;
/// How long what was left to the log may take.
const LIMIT: Duration = Duration::from_mins(2);

struct Measured {
    took: Duration,
    cpu: Cpu,
    peak: Memory,
}

/// Measures it.
pub(crate) async fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let options = &bench.options;
    let (many, events, rounds) =
        if options.short { (1000, 3000, 1) } else { (10_000, 100_000, options.rounds.unwrap_or(3)) };
    let one = bench.projects(1).await?;
    let several = bench.projects(many).await?;
    let seed = options.seed;
    for (how, events_in_a_call, at_once) in SENT {
        let mut measured = [Vec::new(), Vec::new()];
        for round in 1..=rounds {
            Report::say(&format!(
                "projects, {how}, round {round} of {rounds}: {events} events of 1 and of {many} projects"
            ));
            for (projects, results) in [&one, &several].into_iter().zip(&mut measured) {
                let samples = Generator::new(seed).take(events, projects.all.len())?;
                let load = Load { projects, samples: &samples, events_in_a_call, at_once };
                results.push(measure(bench, load).await?);
            }
        }
        let [one, several] = measured;
        let times = |measured: &[Measured], time: fn(&Measured) -> Duration| {
            let each = |one: &Measured| time(one).as_secs_f64() * 1e6 / float(events);
            measured.iter().map(each).collect::<Values>()
        };
        for (what, time) in
            [("time", (|one| one.took) as fn(&Measured) -> Duration), ("CPU", |one| one.cpu.of_storing())]
        {
            bench.report.line(Line {
                figure: "projects",
                what: format!("{what} an event, {how}"),
                value: times(&several, time),
                unit: "µs",
                reference: Some(Reference { what: "with one project", value: times(&one, time) }),
                target: Some(Target::AtMost(1.5)),
            });
        }
        for (what, measured) in [("1 project".to_owned(), &one), (format!("{many} projects"), &several)] {
            if let Some(last) = measured.last() {
                bench.report.cost(format!("{what}, {how}"), events, last.cpu, last.took, Some(last.peak));
            }
        }
    }
    Ok(())
}

#[derive(Clone, Copy)]
struct Load<'a> {
    projects: &'a Projects,
    samples: &'a [Sample],
    events_in_a_call: usize,
    at_once: usize,
}

/// From the first event that is sent until the last is in the table. With thousands of projects most of what waits at the
/// end only waits for its time: the writer is told to stop, which makes all of it due, and the clock goes on until it has.
async fn measure(bench: &Bench, load: Load<'_>) -> anyhow::Result<Measured> {
    let Load { projects, samples, events_in_a_call, at_once } = load;
    let gone = children_gone()?;
    let mut writer = bench.fresh_writer().await?;
    let client = Client::connect(writer.grpc).await?;
    let calls = closed::calls(samples, projects.all.len(), events_in_a_call);
    let before = bench.cpu(Some(&writer))?;
    let started = Instant::now();
    let tally = closed::send(&client, &projects.all, calls, at_once).await?;
    let waiting = u64::try_from(WAIT * projects.all.len())?;
    writer.wait_until_buffered(waiting, LIMIT).await?;
    let peak = writer.memory()?;
    writer.stop().await?;
    let mut took = started.elapsed();
    let mut connection = bench.server.connect().await?;
    if count(&mut connection).await? < tally.acknowledged.len() {
        let mut next = bench.next_writer().await?;
        next.wait_until_buffered(0, LIMIT).await?;
        took = started.elapsed();
        next.stop().await?;
    }
    // The writers are gone, and their times are among those of this process's children.
    let mut cpu = bench.cpu(None)? - before;
    cpu.service = children_gone()?.saturating_sub(gone).saturating_sub(before.service);
    exactly_once(&mut connection, &tally.acknowledged, 0).await?;
    Ok(Measured { took, cpu, peak })
}
