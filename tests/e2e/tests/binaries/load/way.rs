//! The ways that events take: over REST or gRPC, one by one, in batches, in a stream.

use futures_util::stream;
use mesher_proto::mesher::writer::v1::{
    EventPayload, StoreBatchRequest, StoreRequest, StoreResult, StoreStreamRequest, event_payload,
    store_request, store_result::Outcome, writer_service_client::WriterServiceClient,
};
use serde_json::Value;
use tonic::{Code, Request, Status, transport::Channel};

use super::sender::Event;

/// How many events a sender has in one request of a stream.
const STREAMED: usize = 4;

/// A way for a project's events.
#[derive(Clone)]
pub(crate) struct Way {
    /// The project's id.
    pub(crate) project: String,
    pub(crate) key: String,
    pub(crate) kind: Kind,
    /// How many events are sent at once.
    pub(crate) parcel: usize,
}

#[derive(Clone)]
pub(crate) enum Kind {
    /// `POST /v1/events` of the gateway at the URL.
    Rest(reqwest::Client, String),
    /// `POST /v1/events:batch`.
    RestBatch(reqwest::Client, String),
    Store(WriterServiceClient<Channel>),
    StoreBatch(WriterServiceClient<Channel>),
    StoreStream(WriterServiceClient<Channel>),
}

/// What was answered to the events of a request, or of several: the ids of those that were acknowledged, in their order.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    pub(crate) ids: Vec<String>,
    /// An answer that a sender who did nothing wrong must never get.
    pub(crate) surprise: Option<String>,
}

impl Way {
    pub(crate) async fn send(&self, events: &[Event]) -> Answers {
        let sent = match &self.kind {
            Kind::Rest(client, url) => self.rest(client, format!("{url}/v1/events"), events[0].json()).await,
            Kind::RestBatch(client, url) => {
                let all: Vec<String> = events.iter().map(Event::json).collect();
                self.rest(client, format!("{url}/v1/events:batch"), format!("[{}]", all.join(","))).await
            }
            Kind::Store(client) => {
                let payload = store_request::Payload::Json(events[0].json().into_bytes().into());
                let request = self.request(StoreRequest { payload: Some(payload) });
                client.clone().store(request).await.map(|answer| vec![answer.into_inner().event_id]).into()
            }
            Kind::StoreBatch(client) => {
                let request = self.request(StoreBatchRequest { events: payloads(events) });
                let answer = client.clone().store_batch(request).await;
                answer.and_then(|answer| ids(answer.into_inner().results)).into()
            }
            Kind::StoreStream(client) => self.stream(client.clone(), events).await,
        };
        let (events, ids) = (events.len(), sent.ids.len());
        assert!(ids <= events, "{ids} answers to {events} events");
        sent
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        request.metadata_mut().insert("x-mesher-key", self.key.parse().unwrap());
        request
    }

    async fn rest(&self, client: &reqwest::Client, url: String, body: String) -> Answers {
        let request = client.post(url).header("x-mesher-key", &self.key).body(body);
        let Ok(answer) = request.send().await else { return Answers::default() };
        let status = answer.status().as_u16();
        let Ok(body) = answer.bytes().await else { return Answers::default() };
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let id = |result: &Value| result["eventId"].as_str().map(str::to_owned);
        let ids: Option<Vec<String>> = match body["results"].as_array() {
            Some(results) => results.iter().map(id).collect(),
            None => id(&body).map(|id| vec![id]),
        };
        match (status, ids) {
            (202, Some(ids)) => Answers { ids, surprise: None },
            (429 | 503 | 504, None) => Answers::default(),
            _ => Answers { surprise: Some(format!("{status} {body}")), ids: Vec::new() },
        }
    }

    /// Several requests, of which some may be acknowledged before the stream breaks.
    async fn stream(&self, mut client: WriterServiceClient<Channel>, events: &[Event]) -> Answers {
        let requests: Vec<_> = (0..)
            .zip(events.chunks(STREAMED))
            .map(|(sequence, events)| StoreStreamRequest {
                sequence,
                events: payloads(events),
                parcels: Vec::new(),
            })
            .collect();
        let mut answers = match client.store_stream(self.request(stream::iter(requests))).await {
            Ok(answers) => answers.into_inner(),
            Err(status) => return status.into(),
        };
        let mut all = Answers::default();
        for sequence in 0.. {
            let results = match answers.message().await {
                Ok(Some(answer)) if answer.sequence == sequence => ids(answer.results),
                Ok(Some(answer)) => Err(Status::internal(format!("{sequence} was answered by {answer:?}"))),
                Ok(None) => break,
                Err(status) => Err(status),
            };
            match results {
                Ok(ids) => all.ids.extend(ids),
                Err(status) => return Answers { ids: all.ids, ..status.into() },
            }
        }
        all
    }
}

impl From<Result<Vec<String>, Status>> for Answers {
    fn from(answer: Result<Vec<String>, Status>) -> Self {
        match answer {
            Ok(ids) => Self { ids, surprise: None },
            Err(status) => status.into(),
        }
    }
}

impl From<Status> for Answers {
    fn from(status: Status) -> Self {
        // What the writer says has details; without them it is the connection that was cut off.
        let expected = status.details().is_empty()
            || matches!(status.code(), Code::Unavailable | Code::ResourceExhausted | Code::DeadlineExceeded);
        Self { ids: Vec::new(), surprise: (!expected).then(|| format!("{status:?}")) }
    }
}

pub(crate) fn payloads(events: &[Event]) -> Vec<EventPayload> {
    let payload = |event: &Event| event_payload::Payload::Json(event.json().into_bytes().into());
    events
        .iter()
        .map(|event| EventPayload { payload: Some(payload(event)), ..EventPayload::default() })
        .collect()
}

fn ids(results: Vec<StoreResult>) -> Result<Vec<String>, Status> {
    let id = |result: StoreResult| match result.outcome {
        Some(Outcome::EventId(id)) => Ok(id),
        other => Err(Status::with_details(Code::Internal, format!("{other:?}"), "an event".into())),
    };
    results.into_iter().map(id).collect()
}
