//! `http`: how many events are stored each second that come as SDKs send them, one a request, through the gateway; beside
//! gRPC streams to the writer.

use std::{
    io::Write as _,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};

use crate::{
    events::{Generator, Sample},
    load::{
        Client, closed,
        http::{self, Envelope},
        streams,
    },
    numbers::float,
    report::{Line, Reference, Report, Target, Values},
    setup::{Bench, Projects},
    usage::{Cpu, Memory},
    verify::exactly_once,
};

const PROJECTS: usize = 20;
/// In a message of a stream.
const EVENTS_IN_A_MESSAGE: usize = 50;
/// As many applications send at once.
const CONNECTIONS: usize = 256;

struct Measured {
    took: Duration,
    cpu: Cpu,
    peak: Memory,
}

/// Measures it.
pub(crate) async fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let options = &bench.options;
    let (events, rounds) = if options.short {
        (3000, 1)
    } else {
        (options.events.unwrap_or(100_000), options.rounds.unwrap_or(3))
    };
    let count = usize::try_from(events)?;
    let samples = Generator::new(options.seed).take(count, PROJECTS)?;
    let projects = bench.projects(PROJECTS).await?;
    let envelopes = envelopes(&samples, &projects)?;
    let (mut over_http, mut streamed) = (Vec::new(), Vec::new());
    for round in 1..=rounds {
        Report::say(&format!("http, round {round} of {rounds}: {events} events of {PROJECTS} projects"));
        over_http.push(through_the_gateway(bench, &projects, &envelopes).await?);
        streamed.push(by_streams(bench, &projects, &samples).await?);
    }
    let rates = |measured: &[Measured]| {
        measured.iter().map(|one| float(count) / one.took.as_secs_f64()).collect::<Values>()
    };
    bench.report.line(Line {
        figure: "http",
        what: "stored, one event a request".to_owned(),
        value: rates(&over_http),
        unit: "events/s",
        reference: Some(Reference { what: "by gRPC streams", value: rates(&streamed) }),
        target: Some(Target::AtLeast(0.4)),
    });
    for (what, measured) in [("http", &over_http), ("gRPC streams", &streamed)] {
        if let Some(last) = measured.last() {
            bench.report.cost(what, count, last.cpu, last.took, Some(last.peak));
        }
    }
    Ok(())
}

fn envelopes(samples: &[Sample], projects: &Projects) -> anyhow::Result<Arc<[Envelope]>> {
    let envelope = |(index, Sample { id, json }): (usize, &Sample)| {
        let project = &projects.all[index % PROJECTS];
        let key = project.key.to_str().context("a key is text")?;
        let head = format!(
            "{{\"event_id\":\"{}\"}}\n{{\"type\":\"event\",\"length\":{}}}\n",
            id.simple(),
            json.len()
        );
        let mut body = GzEncoder::new(Vec::new(), Compression::default());
        body.write_all(head.as_bytes())?;
        body.write_all(json)?;
        body.write_all(b"\n")?;
        Ok(Envelope {
            id: *id,
            uri: format!("/api/{}/envelope/", project.number).parse()?,
            auth: format!("Sentry sentry_version=7, sentry_client=bench/1, sentry_key={key}").parse()?,
            body: Bytes::from(body.finish()?),
        })
    };
    samples.iter().enumerate().map(envelope).collect()
}

async fn through_the_gateway(
    bench: &Bench,
    projects: &Projects,
    envelopes: &Arc<[Envelope]>,
) -> anyhow::Result<Measured> {
    let writer = bench.fresh_writer().await?;
    let gateway = bench.gateway("writer", writer.grpc).await?;
    let client = Client::connect(writer.grpc).await?;
    let before = bench.cpu_behind(&gateway, writer.id())?;
    let started = Instant::now();
    let tally = http::send(gateway.address("http")?, Arc::clone(envelopes), CONNECTIONS).await?;
    client.flush(projects).await?;
    let took = started.elapsed();
    let cpu = bench.cpu_behind(&gateway, writer.id())? - before;
    let peak = writer.memory()?;
    exactly_once(&mut bench.server.connect().await?, &tally.acknowledged, 0).await?;
    gateway.stop().await?;
    writer.stop().await?;
    Ok(Measured { took, cpu, peak })
}

async fn by_streams(bench: &Bench, projects: &Projects, samples: &[Sample]) -> anyhow::Result<Measured> {
    let writer = bench.fresh_writer().await?;
    let client = Client::connect(writer.grpc).await?;
    let calls = closed::calls(samples, PROJECTS, EVENTS_IN_A_MESSAGE);
    let before = bench.cpu(Some(&writer))?;
    let started = Instant::now();
    let tally = streams::send(&client, &projects.all, &calls).await?;
    client.flush(projects).await?;
    let took = started.elapsed();
    let cpu = bench.cpu(Some(&writer))? - before;
    let peak = writer.memory()?;
    exactly_once(&mut bench.server.connect().await?, &tally.acknowledged, 0).await?;
    writer.stop().await?;
    Ok(Measured { took, cpu, peak })
}
