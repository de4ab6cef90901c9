//! `http`: how many events are stored each second that come as SDKs send them, one a request, through the gateway; beside
//! gRPC streams to the writer.

use std::{io::Write as _, sync::Arc};

use anyhow::Context as _;
use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};

use super::stored::{Way, add_cost, rates, stored};
use crate::{
    events::{Generator, Sample},
    load::{
        Client, closed,
        http::{self, Envelope},
        streams,
    },
    report::{Line, Reference, Report, Target},
    setup::{Bench, Projects},
};

const PROJECTS: usize = 20;
/// In a message of a stream.
const EVENTS_IN_A_MESSAGE: usize = 50;
/// As many applications send at once.
const CONNECTIONS: usize = 256;

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
        let send = async |_: &Client, gateway| http::send(gateway, Arc::clone(&envelopes), CONNECTIONS).await;
        over_http.push(stored(bench, &projects, Way::Gateway, send).await?);
        let calls = closed::calls(&samples, PROJECTS, EVENTS_IN_A_MESSAGE);
        let send = async |client: &Client, _| streams::send(client, &projects.all, &calls).await;
        streamed.push(stored(bench, &projects, Way::Straight, send).await?);
    }
    bench.report.line(Line {
        figure: "http",
        what: "stored, one event a request".to_owned(),
        value: rates(&over_http),
        unit: "events/s",
        reference: Some(Reference { what: "by gRPC streams", value: rates(&streamed) }),
        target: Some(Target::AtLeast(0.4)),
    });
    add_cost(&mut bench.report, "http", &over_http);
    add_cost(&mut bench.report, "gRPC streams", &streamed);
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
