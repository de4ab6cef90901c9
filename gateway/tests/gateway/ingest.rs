//! Events over HTTP, with a writer that keeps what it is given.

use std::{
    pin::Pin,
    sync::{Arc, Mutex},
};

use mesher_common::{
    handle::Handle,
    server::ServerBuilder,
    status::{self, Violation},
};
use mesher_gateway::spawn;
use mesher_proto::mesher::writer::v1::{
    Durability, FlushRequest, FlushResponse, GetWriterStatsRequest, GetWriterStatsResponse,
    StoreBatchRequest, StoreBatchResponse, StoreRequest, StoreResponse, StoreResult, StoreStreamRequest,
    StoreStreamResponse, WriterStats, event_payload, store_request, store_result,
    writer_service_server::{WriterService, WriterServiceServer},
};
use serde_json::{Value, json};
use tokio_stream::Stream;
use tonic::{Request, Response, Status, Streaming};
use tonic_types::StatusExt as _;

use crate::support::{Answered, answered, client, config};

/// Takes every event that is a JSON object.
#[derive(Clone, Default)]
struct Writer(Arc<Mutex<Vec<Vec<u8>>>>);

impl Writer {
    fn take(&self, json: &[u8]) -> Result<String, Status> {
        if !json.starts_with(b"{") {
            return Err(Violation::new("event", "is no object").into());
        }
        if json.len() > 1 << 20 {
            return Err(status::too_large(&Violation::new("event", "is larger than 1 MiB")));
        }
        let mut taken = self.0.lock().unwrap();
        taken.push(json.to_vec());
        Ok(format!("{:032x}", taken.len()))
    }

    fn taken(&self) -> Vec<Vec<u8>> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

#[tonic::async_trait]
impl WriterService for Writer {
    type StoreStreamStream = Pin<Box<dyn Stream<Item = Result<StoreStreamResponse, Status>> + Send>>;

    async fn store(&self, request: Request<StoreRequest>) -> Result<Response<StoreResponse>, Status> {
        if request.metadata().get("x-mesher-key").is_none() {
            return Err(status::credentials_missing("an API key is needed, as x-mesher-key"));
        }
        let Some(store_request::Payload::Json(json)) = request.into_inner().payload else {
            panic!("no JSON")
        };
        let event_id = self.take(&json)?;
        Ok(Response::new(StoreResponse { event_id, durability: Durability::Memory.into() }))
    }

    async fn store_batch(
        &self,
        request: Request<StoreBatchRequest>,
    ) -> Result<Response<StoreBatchResponse>, Status> {
        let store = |payload| {
            let Some(event_payload::Payload::Json(json)) = payload else { panic!("no JSON") };
            let outcome = match self.take(&json) {
                Ok(id) => store_result::Outcome::EventId(id),
                Err(status) => {
                    let details = status.get_error_details_vec();
                    let rpc = tonic_types::pb::Status {
                        code: status.code().into(),
                        message: status.message().to_owned(),
                        details: prost::Message::decode(status.details())
                            .map(|status: tonic_types::pb::Status| status.details)
                            .unwrap_or_default(),
                    };
                    assert_eq!(details.len(), rpc.details.len());
                    store_result::Outcome::Error(rpc)
                }
            };
            StoreResult { outcome: Some(outcome) }
        };
        let results = request.into_inner().events.into_iter().map(|event| store(event.payload)).collect();
        Ok(Response::new(StoreBatchResponse { results, durability: Durability::Memory.into() }))
    }

    async fn store_stream(
        &self,
        _: Request<Streaming<StoreStreamRequest>>,
    ) -> Result<Response<Self::StoreStreamStream>, Status> {
        panic!("the gateway does not call it")
    }

    async fn flush(&self, request: Request<FlushRequest>) -> Result<Response<FlushResponse>, Status> {
        assert_eq!(request.get_ref().project_id, "7");
        Ok(Response::new(FlushResponse { stored_count: 3 }))
    }

    async fn get_writer_stats(
        &self,
        _: Request<GetWriterStatsRequest>,
    ) -> Result<Response<GetWriterStatsResponse>, Status> {
        Ok(Response::new(GetWriterStatsResponse { stats: Some(WriterStats::default()) }))
    }
}

struct Fixture {
    writer: Writer,
    url: String,
    client: reqwest::Client,
    _handles: [Handle; 2],
}

impl Fixture {
    async fn start() -> Self {
        let writer = Writer::default();
        let any = "127.0.0.1:0".parse().unwrap();
        let service = WriterServiceServer::new(writer.clone()).max_decoding_message_size(16 << 20);
        let server =
            ServerBuilder::bind("writer", any, any).await.unwrap().service(service).start().await.unwrap();
        let address = format!("http://{}", server.address("grpc").unwrap());
        let gateway = spawn(config(&["--writer-address", &address])).await.unwrap();
        let url = format!("http://{}", gateway.address("http").unwrap());
        Self { writer, url, client: client(), _handles: [server, gateway] }
    }

    async fn post(&self, path: &str, content_type: &str, body: impl Into<reqwest::Body>) -> Answered {
        let request = self.client.post(format!("{}{path}", self.url)).header("x-mesher-key", "mshr_x");
        answered(request.header("content-type", content_type).body(body)).await
    }
}

#[tokio::test]
async fn an_event_goes_to_the_writer_byte_for_byte() {
    let fixture = Fixture::start().await;
    let event = r#"{ "message": "a", "message":"b", "n": 1e400, "s": "\ud800" }"#;
    for content_type in ["application/json", "text/plain", "application/x-www-form-urlencoded"] {
        let answer = fixture.post("/v1/events", content_type, event).await;
        let expected = json!({"eventId": format!("{:032x}", 1), "durability": "DURABILITY_MEMORY"});
        assert_eq!((answer.status, answer.json), (202, expected));
        assert_eq!(fixture.writer.taken(), [event.as_bytes()]);
    }
    let request = fixture.client.post(format!("{}/v1/events", fixture.url)).body(event);
    answered(request).await.expect(401, "CREDENTIALS_MISSING");
    for wrong in ["[]", "null", ""] {
        assert_eq!(
            fixture.post("/v1/events", "application/json", wrong).await.refuses("event"),
            "is no object"
        );
    }
    let request = fixture.client.get(format!("{}/v1/events", fixture.url));
    assert_eq!(answered(request).await.headers["allow"], "POST");
}

#[tokio::test]
async fn an_event_beyond_its_limit_is_413_whoever_notices() {
    let fixture = Fixture::start().await;
    let event = |size: usize| format!(r#"{{"message": "{}"}}"#, "x".repeat(size - 15));
    assert_eq!(fixture.post("/v1/events", "text/plain", event(1 << 20)).await.status, 202);
    for size in [(1 << 20) + 1, 2 << 20] {
        fixture.post("/v1/events", "text/plain", event(size)).await.expect(413, "TOO_LARGE");
    }
    let deep = "[".repeat(10_000) + &"]".repeat(10_000);
    assert_eq!(fixture.post("/v1/events", "text/plain", format!(r#"{{"extra": {deep}}}"#)).await.status, 202);
}

#[tokio::test]
async fn each_event_of_a_batch_has_an_answer_of_its_own() {
    let fixture = Fixture::start().await;
    let first = r#"{"message": "a", "n": 1.50}"#;
    for (content_type, body) in [
        ("application/json", format!("[{first}, [1], {{}}]")),
        ("application/x-ndjson", format!("{first}\n[1]\n{{}}\n")),
        ("text/plain", format!("{first}\r\n[1]\r\n\r\n{{}}")),
    ] {
        let answer = fixture.post("/v1/events:batch", content_type, body).await;
        assert_eq!(answer.status, 202, "{}", answer.json);
        assert_eq!(answer.json["durability"], "DURABILITY_MEMORY");
        let results = answer.json["results"].as_array().unwrap();
        assert_eq!(results[0], json!({"eventId": format!("{:032x}", 1)}));
        assert_eq!(results[2], json!({"eventId": format!("{:032x}", 2)}));
        let error = &results[1]["error"];
        assert_eq!((&error["code"], &error["status"]), (&json!(400), &json!("INVALID_ARGUMENT")));
        assert_eq!(error["message"], "event is no object");
        assert_eq!(error["details"][0]["reason"], "INVALID_FIELD");
        assert_eq!(fixture.writer.taken(), [first.as_bytes(), b"{}"]);
    }
}

#[tokio::test]
async fn a_batch_is_bounded_in_events_and_bytes() {
    let fixture = Fixture::start().await;
    let batch = |count: usize, size: usize| {
        let event = format!(r#"{{"message": "{}"}}"#, "x".repeat(size - 15));
        format!("[{}]", vec![event; count].join(","))
    };
    let answer = fixture.post("/v1/events:batch", "application/json", batch(1000, 10_000)).await;
    assert_eq!((answer.status, answer.json["results"].as_array().map(Vec::len)), (202, Some(1000)));
    fixture.post("/v1/events:batch", "application/json", batch(1001, 20)).await.refuses("events");
    fixture.post("/v1/events:batch", "application/json", batch(11, 1_000_000)).await.expect(413, "TOO_LARGE");
    fixture.post("/v1/events:batch", "application/json", "[]").await.refuses("events");
    fixture.post("/v1/events:batch", "application/json", "hello").await.expect(400, "MALFORMED_REQUEST");
}

#[tokio::test]
async fn the_writers_other_rpcs_are_transcoded() {
    let fixture = Fixture::start().await;
    let flush = fixture.client.post(format!("{}/v1/projects/7/events:flush", fixture.url));
    assert_eq!(answered(flush).await.ok(), json!({"storedCount": "3"}));
    let stats = fixture.client.get(format!("{}/v1/projects/7/writer-stats", fixture.url));
    let stats: Value = answered(stats).await.ok();
    assert_eq!((&stats["stats"]["bufferedCount"], &stats["stats"]["drops"]), (&json!("0"), &json!([])));
}
