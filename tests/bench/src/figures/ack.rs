//! `ack`: how long an event takes to be acknowledged when events come in at a fixed rate, each in a call of its own.

use std::{
    ops::ControlFlow,
    time::{Duration, Instant},
};

use anyhow::ensure;

use super::sync;
use crate::{
    events::Generator,
    load::{Client, open},
    numbers::{float, median, millis, quantile},
    report::{Line, Reference, Report, Target},
    setup::Bench,
    verify::exactly_once,
};

const PROJECTS: usize = 20;
const RATE: u32 = 1000;
/// Left out at the beginning: connections, caches, the first partition's pages.
const WARM_UP: Duration = Duration::from_secs(1);

/// Measures it.
pub(crate) async fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let (syncs, seconds) = if bench.options.short { (200, 3) } else { (3000, 31) };
    Report::say(&format!("ack: {RATE} events/s for {seconds} s"));
    let projects = bench.projects(PROJECTS).await?;
    let mut generator = Generator::new(bench.options.seed);
    bench.server.clear().await?;
    let syncs: Vec<f64> =
        sync::appends(bench.dir(), &generator.take(syncs, PROJECTS)?)?.into_iter().map(millis).collect();

    let samples = generator.take(usize::try_from(RATE * seconds)?, PROJECTS)?;
    let mut left = samples.iter();
    let writer = bench.fresh_writer().await?;
    let client = Client::connect(writer.grpc).await?;
    let before = bench.cpu(Some(&writer))?;
    let started = Instant::now();
    let next =
        |_| Ok(left.next().map_or(ControlFlow::Break(()), |sample| ControlFlow::Continue(sample.clone())));
    let sent = open::send(&client, &projects.all, RATE, next).await?;
    let (took, cpu) = (started.elapsed(), bench.cpu(Some(&writer))? - before);
    ensure!(sent.tally.refusals.is_empty(), "events were refused: {:?}", sent.tally.refusals);
    client.flush(&projects).await?;
    exactly_once(&mut bench.server.connect().await?, &sent.tally.acknowledged, 0).await?;
    let peak = writer.memory()?;
    writer.stop().await?;

    let warm = sent.latencies.iter().filter(|(due, _)| *due >= started + WARM_UP);
    let latencies: Vec<f64> = warm.map(|(_, took)| millis(*took)).collect();
    let reference = || Some(Reference { what: "median of one fdatasync", value: median(&syncs).into() });
    for (what, part, most) in [("median", 0.5, 3.0), ("99th percentile", 0.99, 10.0)] {
        bench.report.line(Line {
            figure: "ack",
            what: what.to_owned(),
            value: quantile(&latencies, part).into(),
            unit: "ms",
            reference: reference(),
            target: Some(Target::AtMost(most)),
        });
    }
    bench.report.note(format!(
        "ack: 90 % within {:.2} ms, all within {:.1} ms; the sync alone: 99 % within {:.2} ms, all within {:.1} ms",
        quantile(&latencies, 0.9),
        quantile(&latencies, 1.0),
        quantile(&syncs, 0.99),
        quantile(&syncs, 1.0),
    ));
    bench.report.cost(
        format!("ack, at {} events/s", float(samples.len()) / f64::from(seconds)),
        samples.len(),
        cpu,
        took,
        Some(peak),
    );
    Ok(())
}
