//! Sends events, and asks. It shares the machine with what it measures, and so does as little as it can: one thread, two
//! connections, and bytes that were made before.

pub(crate) mod closed;
pub(crate) mod http;
pub(crate) mod open;
pub(crate) mod streams;
mod timer;

use std::{collections::BTreeMap, net::SocketAddr, time::Duration};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use mesher_proto::mesher::writer::v1::{
    EventPayload, FlushRequest, StoreBatchRequest, StoreRequest, StoreResult, event_payload, store_request,
    store_result, writer_service_client::WriterServiceClient,
};
use tokio::time::sleep;
use tonic::{
    Code, Request, Status,
    transport::{Channel, Endpoint},
};
use uuid::Uuid;

use crate::setup::{Project, Projects};

const CONNECTIONS: usize = 2;
/// How long an overloaded writer is left alone.
const RETRY_DELAY: Duration = Duration::from_millis(20);
/// How often a call is made before the figure is given up.
const TRIES: usize = 1000;
/// How long a flush is asked for: the writer ends such calls earlier.
const FLUSH_TRIES: usize = 30;

/// What became of the events that were sent.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// The ids of those that the writer acknowledged.
    pub(crate) acknowledged: Vec<Uuid>,
    /// How often the writer said no, by the reason.
    pub(crate) refusals: BTreeMap<String, u64>,
}

impl Tally {
    /// Adds what became of others.
    pub(crate) fn add(&mut self, other: Self) {
        self.acknowledged.extend(other.acknowledged);
        for (reason, count) in other.refusals {
            *self.refusals.entry(reason).or_default() += count;
        }
    }

    fn refuse(&mut self, status: &Status) {
        self.refuse_for(format!("{:?}: {}", status.code(), status.message()));
    }

    fn refuse_for(&mut self, reason: String) {
        *self.refusals.entry(reason).or_default() += 1;
    }
}

/// Connections to a writer.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    connections: Vec<WriterServiceClient<Channel>>,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr) -> anyhow::Result<Self> {
        let mut connections = Vec::new();
        for _ in 0..CONNECTIONS {
            let endpoint = Endpoint::from_shared(format!("http://{address}"))?;
            connections.push(WriterServiceClient::new(endpoint.connect().await?));
        }
        Ok(Self { connections })
    }

    fn one(&self, number: usize) -> WriterServiceClient<Channel> {
        self.connections[number % CONNECTIONS].clone()
    }

    /// Sends one event, once.
    async fn store(&self, number: usize, project: &Project, json: Bytes) -> Result<Uuid, Status> {
        let payload = store_request::Payload::Json(json);
        let mut request = Request::new(StoreRequest { payload: Some(payload) });
        request.metadata_mut().insert("x-mesher-key", project.key.clone());
        let answer = self.one(number).store(request).await?.into_inner();
        id(&answer.event_id)
    }

    /// Sends several events of a project, once.
    async fn store_batch(
        &self,
        number: usize,
        project: &Project,
        events: &[Bytes],
    ) -> Result<Vec<Uuid>, Status> {
        let mut request = Request::new(StoreBatchRequest { events: payloads(events) });
        request.metadata_mut().insert("x-mesher-key", project.key.clone());
        let answer = self.one(number).store_batch(request).await?.into_inner();
        ids(answer.results)
    }

    /// Has everything stored that was acknowledged.
    pub(crate) async fn flush(&self, projects: &Projects) -> anyhow::Result<()> {
        let flushes = projects.all.iter().enumerate().map(|(number, project)| async move {
            for _ in 0..FLUSH_TRIES {
                let mut request = Request::new(FlushRequest { project_id: project.id.to_string() });
                request.metadata_mut().insert("authorization", projects.session.clone());
                match self.one(number).flush(request).await {
                    Ok(_) => return Ok(()),
                    Err(status)
                        if matches!(status.code(), Code::DeadlineExceeded | Code::ResourceExhausted) =>
                    {
                        sleep(RETRY_DELAY).await;
                    }
                    Err(status) => return Err(status).context("a flush failed"),
                }
            }
            bail!("a flush did not end")
        });
        futures_util::future::try_join_all(flushes).await?;
        Ok(())
    }
}

fn payloads(events: &[Bytes]) -> Vec<EventPayload> {
    let payload = |json: &Bytes| EventPayload {
        payload: Some(event_payload::Payload::Json(json.clone())),
        ..EventPayload::default()
    };
    events.iter().map(payload).collect()
}

/// The ids of events that were all accepted.
fn ids(results: Vec<StoreResult>) -> Result<Vec<Uuid>, Status> {
    let outcome = |result: StoreResult| match result.outcome {
        Some(store_result::Outcome::EventId(text)) => id(&text),
        Some(store_result::Outcome::Error(error)) => {
            Err(Status::new(Code::from_i32(error.code), error.message))
        }
        None => Err(Status::internal("an event has no outcome")),
    };
    results.into_iter().map(outcome).collect()
}

fn id(text: &str) -> Result<Uuid, Status> {
    Uuid::try_parse(text).map_err(|error| Status::internal(format!("{text} is no id: {error}")))
}
