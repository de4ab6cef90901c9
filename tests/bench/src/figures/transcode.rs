//! `transcode`: how many calls of `GET /v1/orgs/{org_id}` are answered each second, and how long each takes; beside the same
//! RPC called directly.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::ensure;
use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::Full;
use mesher_proto::mesher::org::v1::{GetOrgRequest, org_service_client::OrgServiceClient};
use tokio::task::JoinSet;
use tonic::transport::{Channel, Endpoint};

use super::stored::{Measured, add_cost};
use crate::{
    load::http::Connection,
    numbers::{float, millis, quantile},
    report::{Line, Reference, Report, Target, Values},
    setup::{Bench, Projects},
    usage::Cpu,
};

/// As many calls at once, of both kinds.
const AT_ONCE: usize = 16;
/// The connections of those that call directly.
const GRPC_CONNECTIONS: usize = 2;
/// Left out at the beginning: connections, caches, prepared statements.
const WARM_UP: Duration = Duration::from_millis(500);

/// When to begin to count, and when to end.
#[derive(Clone, Copy)]
struct Span {
    from: Instant,
    until: Instant,
}

impl Span {
    fn of(time: Duration) -> Self {
        let from = Instant::now() + WARM_UP;
        Self { from, until: from + time }
    }
}

/// The calls of a round.
#[derive(Default)]
struct Calls {
    /// With those of the warm-up.
    all: usize,
    /// How long those took that count.
    latencies: Vec<f64>,
}

impl Calls {
    fn note(&mut self, began: Instant, span: Span) {
        self.all += 1;
        if began >= span.from {
            self.latencies.push(millis(began.elapsed()));
        }
    }
}

#[derive(Default)]
struct Rounds {
    rates: Vec<f64>,
    latencies: Vec<f64>,
    costs: Vec<Measured>,
}

impl Rounds {
    /// Has `calls` made for some time, and adds what came of it.
    async fn add(
        &mut self,
        time: Duration,
        cpu: impl Fn() -> anyhow::Result<Cpu>,
        calls: impl Future<Output = anyhow::Result<Calls>>,
    ) -> anyhow::Result<()> {
        let (started, before) = (Instant::now(), cpu()?);
        let Calls { all, latencies } = calls.await?;
        self.costs.push(Measured { events: all, took: started.elapsed(), cpu: cpu()? - before, peak: None });
        self.rates.push(float(latencies.len()) / time.as_secs_f64());
        self.latencies.push(quantile(&latencies, 0.99));
        Ok(())
    }
}

/// Measures it.
pub(crate) async fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let options = &bench.options;
    let (time, rounds) = if options.short {
        (Duration::from_secs(1), 1)
    } else {
        (Duration::from_secs(8), options.rounds.unwrap_or(3))
    };
    let projects = bench.projects(1).await?;
    let org = bench.org().await?;
    let gateway = bench.gateway("org", org.address("grpc")?).await?;
    let (mut through, mut directly) = (Rounds::default(), Rounds::default());
    for round in 1..=rounds {
        Report::say(&format!("transcode, round {round} of {rounds}: {AT_ONCE} calls at once for {time:?}"));
        let cpu = || bench.cpu_behind(&gateway, org.id());
        through.add(time, cpu, over_http(gateway.address("http")?, &projects, time)).await?;
        directly.add(time, cpu, over_grpc(org.address("grpc")?, &projects, time)).await?;
    }
    gateway.stop().await?;
    org.stop().await?;
    for (what, unit, value, reference, target) in [
        ("answered", "calls/s", through.rates, directly.rates, Target::AtLeast(0.5)),
        ("99th percentile", "ms", through.latencies, directly.latencies, Target::AtMost(2.0)),
    ] {
        bench.report.line(Line {
            figure: "transcode",
            what: what.to_owned(),
            value: value.into_iter().collect::<Values>(),
            unit,
            reference: Some(Reference { what: "called directly", value: reference.into_iter().collect() }),
            target: Some(target),
        });
    }
    add_cost(&mut bench.report, "transcode", &through.costs);
    add_cost(&mut bench.report, "called directly", &directly.costs);
    Ok(())
}

async fn over_http(address: SocketAddr, projects: &Projects, time: Duration) -> anyhow::Result<Calls> {
    let session = projects.session.to_str()?.to_owned();
    let path = format!("/v1/orgs/{}", projects.org);
    let mut callers = JoinSet::new();
    let mut connections = Vec::new();
    for _ in 0..AT_ONCE {
        connections.push(Connection::open(address).await?);
    }
    let span = Span::of(time);
    for mut connection in connections {
        let (session, path) = (session.clone(), path.clone());
        callers.spawn(async move {
            let mut calls = Calls::default();
            while let Some(began) = next(span) {
                let request = Request::get(&path).header(header::AUTHORIZATION, &session);
                let (status, body) = connection.ask(request.body(Full::new(Bytes::new()))?).await?;
                ensure!(status == StatusCode::OK, "{status}: {}", String::from_utf8_lossy(&body));
                calls.note(began, span);
            }
            Ok(calls)
        });
    }
    all(callers).await
}

async fn over_grpc(address: SocketAddr, projects: &Projects, time: Duration) -> anyhow::Result<Calls> {
    let mut clients: Vec<OrgServiceClient<Channel>> = Vec::new();
    for _ in 0..GRPC_CONNECTIONS {
        clients.push(OrgServiceClient::new(
            Endpoint::from_shared(format!("http://{address}"))?.connect().await?,
        ));
    }
    let mut callers = JoinSet::new();
    let span = Span::of(time);
    for number in 0..AT_ONCE {
        let mut client = clients[number % GRPC_CONNECTIONS].clone();
        let (session, org_id) = (projects.session.clone(), projects.org.to_string());
        callers.spawn(async move {
            let mut calls = Calls::default();
            while let Some(began) = next(span) {
                let mut request = tonic::Request::new(GetOrgRequest { org_id: org_id.clone() });
                request.metadata_mut().insert("authorization", session.clone());
                client.get_org(request).await?;
                calls.note(began, span);
            }
            Ok(calls)
        });
    }
    all(callers).await
}

/// The beginning of the next call, unless the time is up.
fn next(span: Span) -> Option<Instant> {
    let now = Instant::now();
    (now < span.until).then_some(now)
}

async fn all(mut callers: JoinSet<anyhow::Result<Calls>>) -> anyhow::Result<Calls> {
    let mut sum = Calls::default();
    while let Some(calls) = callers.join_next().await {
        let Calls { all, latencies } = calls??;
        sum.all += all;
        sum.latencies.extend(latencies);
    }
    Ok(sum)
}
