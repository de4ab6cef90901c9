//! A writer that keeps what it is given, and a gateway in front of it. What it does with events depends on the key, so that
//! a test need not break anything to see how a broken writer is answered for.

use std::{
    pin::Pin,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures_util::TryStreamExt as _;
use mesher_common::{
    handle::Handle,
    rate_limit::RateLimit,
    server::ServerBuilder,
    status::{self, KeyFault, LimitScope, Violation},
    tls::ListenerTlsArgs,
};
use mesher_gateway::spawn;
use mesher_proto::mesher::writer::v1::{
    Durability, EventPayload, FlushRequest, FlushResponse, GetWriterStatsRequest, GetWriterStatsResponse,
    Parcel, ParcelResult, StoreBatchRequest, StoreBatchResponse, StoreRequest, StoreResponse, StoreResult,
    StoreStreamRequest, StoreStreamResponse, WriterStats, event_payload, store_result,
    writer_service_server::{WriterService, WriterServiceServer},
};
use tokio::sync::Semaphore;
use tokio_stream::Stream;
use tonic::{Request, Response, Status, Streaming};

use crate::support::{Answered, answered, client, config};

/// The key of project 42.
pub(crate) const KEY: &str = "mshr_x";

/// Another.
pub(crate) const OTHER_KEY: &str = "mshr_y";

/// A key that is not valid, which is only said when the writer is allowed to.
pub(crate) const LATE_KEY: &str = "mshr_late";

/// Takes every event that is a JSON object.
#[derive(Clone)]
pub(crate) struct Writer {
    taken: Arc<Mutex<Vec<Vec<u8>>>>,
    /// How often [`LATE_KEY`] may be answered for.
    pub(crate) late: Arc<Semaphore>,
}

/// What the writer thinks of a key.
fn check(parcel: &Parcel) -> Result<(), Status> {
    match parcel.api_key.as_str() {
        "" => Err(status::credentials_missing("an API key is needed, as x-mesher-key")),
        "mshr_revoked" => Err(status::api_key_invalid(KeyFault::Revoked)),
        "mshr_full" => Err(status::quota_exceeded("the project has as many events as it may")),
        "mshr_stopping" => Err(status::shutting_down()),
        "mshr_broken" => Err(status::internal(&std::fmt::Error)),
        KEY | OTHER_KEY if ["", "42"].contains(&parcel.project_number.as_str()) => Ok(()),
        KEY | OTHER_KEY => Err(status::api_key_invalid(KeyFault::OtherProject)),
        _ => Err(status::api_key_invalid(KeyFault::Unknown)),
    }
}

impl Writer {
    fn take(&self, json: &[u8], id: String) -> Result<String, Status> {
        if !json.starts_with(b"{") {
            return Err(Violation::new("event", "is no object").into());
        }
        if json.starts_with(br#"{"over""#) {
            let limit = RateLimit::new(10, 60).unwrap();
            return Err(status::rate_limited(LimitScope::Project, limit, Duration::from_millis(5200)));
        }
        if json.len() > 1 << 20 {
            return Err(status::too_large(&Violation::new("event", "is larger than 1 MiB")));
        }
        let mut taken = self.taken.lock().unwrap();
        taken.push(json.to_vec());
        Ok(if id.is_empty() { format!("{:032x}", taken.len()) } else { id })
    }

    /// What it was given since this was asked.
    pub(crate) fn taken(&self) -> Vec<Vec<u8>> {
        std::mem::take(&mut *self.taken.lock().unwrap())
    }
}

fn rpc_status(status: &Status) -> tonic_types::Status {
    prost::Message::decode(status.details()).unwrap()
}

/// What becomes of a parcel.
fn stored(writer: &Writer, parcel: Parcel) -> ParcelResult {
    let sequence = parcel.sequence;
    if let Err(refused) = check(&parcel) {
        return ParcelResult { sequence, error: Some(rpc_status(&refused)), ..ParcelResult::default() };
    }
    let store = |event: EventPayload| {
        let Some(event_payload::Payload::Json(json)) = event.payload else { panic!("no JSON") };
        assert_ne!(event.event_id.is_empty(), event.fallback_event_id.is_empty(), "it has one id beside it");
        let outcome = match writer.take(&json, event.event_id) {
            Ok(id) => store_result::Outcome::EventId(id),
            Err(status) => store_result::Outcome::Error(rpc_status(&status)),
        };
        StoreResult { outcome: Some(outcome) }
    };
    let results = parcel.events.into_iter().map(store).collect();
    ParcelResult { sequence, results, project_id: "42".to_owned(), error: None }
}

#[tonic::async_trait]
impl WriterService for Writer {
    type StoreStreamStream = Pin<Box<dyn Stream<Item = Result<StoreStreamResponse, Status>> + Send>>;

    async fn store(&self, _: Request<StoreRequest>) -> Result<Response<StoreResponse>, Status> {
        panic!("the gateway does not call it")
    }

    async fn store_batch(
        &self,
        _: Request<StoreBatchRequest>,
    ) -> Result<Response<StoreBatchResponse>, Status> {
        panic!("the gateway does not call it")
    }

    async fn store_stream(
        &self,
        request: Request<Streaming<StoreStreamRequest>>,
    ) -> Result<Response<Self::StoreStreamStream>, Status> {
        let writer = self.clone();
        let answers = request.into_inner().and_then(move |request| {
            let writer = writer.clone();
            async move {
                for _ in request.parcels.iter().filter(|parcel| parcel.api_key == LATE_KEY) {
                    writer.late.acquire().await.unwrap().forget();
                }
                let parcels = request.parcels.into_iter().map(|parcel| stored(&writer, parcel)).collect();
                let durability = Durability::Memory.into();
                Ok(StoreStreamResponse { parcels, durability, ..StoreStreamResponse::default() })
            }
        });
        Ok(Response::new(Box::pin(answers)))
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

/// A [`Writer`] and a gateway.
pub(crate) struct Fixture {
    pub(crate) writer: Writer,
    pub(crate) url: String,
    pub(crate) client: reqwest::Client,
    gateway: Handle,
    _writer: Handle,
}

impl Fixture {
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Starts both, the gateway with these flags.
    pub(crate) async fn start_with(flags: &[&str]) -> Self {
        let writer = Writer { taken: Arc::default(), late: Arc::new(Semaphore::new(0)) };
        let any = "127.0.0.1:0".parse().unwrap();
        let service = WriterServiceServer::new(writer.clone()).max_decoding_message_size(16 << 20);
        let server = ServerBuilder::bind("writer", any, any, &ListenerTlsArgs::default())
            .await
            .unwrap()
            .service(service)
            .start()
            .await
            .unwrap();
        let address = format!("http://{}", server.address("grpc").unwrap());
        // Nothing listens on port 1, whatever does on those that services have by themselves.
        let nowhere = ["--org-address", "--project-address", "--user-address", "--issue-address"]
            .map(|flag| [flag, "http://127.0.0.1:1"]);
        let addresses = [&["--writer-address", &address], nowhere.as_flattened()].concat();
        let gateway = spawn(config(&[&addresses, flags].concat())).await.unwrap();
        let url = format!("http://{}", gateway.address("http").unwrap());
        Self { writer, url, client: client(), gateway, _writer: server }
    }

    /// Sends events with the key.
    pub(crate) async fn post(
        &self,
        path: &str,
        content_type: &str,
        body: impl Into<reqwest::Body>,
    ) -> Answered {
        let request = self.client.post(format!("{}{path}", self.url)).header("x-mesher-key", KEY);
        answered(request.header("content-type", content_type).body(body)).await
    }

    /// The gateway's metrics, line by line.
    pub(crate) async fn metrics(&self) -> Vec<String> {
        let url = format!("http://{}/metrics", self.gateway.address("admin").unwrap());
        let metrics = self.client.get(url).send().await.unwrap().text().await.unwrap();
        metrics.lines().map(str::to_owned).collect()
    }

    /// Fails unless the metrics have these lines.
    pub(crate) async fn expect_metrics(&self, lines: &[&str]) {
        let metrics = self.metrics().await;
        for line in lines {
            assert!(metrics.iter().any(|found| found == line), "{line} is not in\n{}", metrics.join("\n"));
        }
    }
}
