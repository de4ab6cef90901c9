//! Measuring how long events take from the first that is sent until the last is in the table.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use crate::{
    load::{Client, Tally},
    numbers::float,
    report::{Report, Values},
    setup::{Bench, Projects},
    usage::{Cpu, Memory},
    verify::exactly_once,
};

/// What so many events or calls took.
pub(super) struct Measured {
    pub(super) events: usize,
    pub(super) took: Duration,
    pub(super) cpu: Cpu,
    /// The writer's, if it was one that stored them.
    pub(super) peak: Option<Memory>,
}

/// Events stored each second, in each round.
pub(super) fn rates(rounds: &[Measured]) -> Values {
    rounds.iter().map(|round| float(round.events) / round.took.as_secs_f64()).collect()
}

/// Adds what the last round cost: what was run first found a colder machine.
pub(super) fn add_cost(report: &mut Report, what: &str, rounds: &[Measured]) {
    if let Some(last) = rounds.last() {
        report.cost(what, last.events, last.cpu, last.took, last.peak);
    }
}

/// The way to a writer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Straight to it.
    Straight,
    /// Through a gateway.
    Gateway,
}

/// Has `send` send events to a fresh writer: by a client that is connected to it, or to the gateway at an address.
pub(super) async fn stored(
    bench: &Bench,
    projects: &Projects,
    way: Way,
    send: impl AsyncFnOnce(&Client, SocketAddr) -> anyhow::Result<Tally>,
) -> anyhow::Result<Measured> {
    let writer = bench.fresh_writer().await?;
    let gateway = match way {
        Way::Straight => None,
        Way::Gateway => Some(bench.gateway("writer", writer.grpc).await?),
    };
    let address = gateway.as_ref().map_or(Ok(writer.grpc), |gateway| gateway.address("http"))?;
    let cpu = || match &gateway {
        None => bench.cpu(Some(&writer)),
        Some(gateway) => bench.cpu_behind(gateway, writer.id()),
    };
    let client = Client::connect(writer.grpc).await?;
    let before = cpu()?;
    let started = Instant::now();
    let tally = send(&client, address).await?;
    client.flush(projects).await?;
    let took = started.elapsed();
    let cpu = cpu()? - before;
    let peak = Some(writer.memory()?);
    exactly_once(&mut bench.server.connect().await?, &tally.acknowledged, 0).await?;
    if let Some(gateway) = gateway {
        gateway.stop().await?;
    }
    writer.stop().await?;
    Ok(Measured { events: tally.acknowledged.len(), took, cpu, peak })
}
