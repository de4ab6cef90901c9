//! The routes for events, by hand: the body is passed on as the bytes that it is, where transcoding would read all
//! of it and write it again. Their paths are those of the RPCs' own HTTP rules, in whose stead they are served.
//!
//! | route | body | answer |
//! |---|---|---|
//! | `POST /v1/events` | one event | 202 with its id, and what is promised |
//! | `POST /v1/events:batch` | a JSON array of events, or one event a line | 202 with a result for each |

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use mesher_common::status;
use mesher_proto::mesher::writer::v1::{
    EventPayload, StoreBatchRequest, StoreBatchResponse, StoreRequest, event_payload, store_request,
    store_result::Outcome,
};
use prost::Message as _;
use prost_reflect::{DescriptorPool, MethodDescriptor};
use serde_json::{Value, json};
use tonic::Status;

use crate::{
    batch,
    call::{self, Context},
    error::ApiError,
    headers::media_type,
    route::Route,
    transcode,
};

/// The largest event that the writer may take, and some room for white space around it.
const MAX_EVENT: usize = (1 << 20) + (4 << 10);

/// The largest batch.
const MAX_BATCH: usize = 10 << 20;

/// An RPC that is served by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ingest {
    /// `WriterService.Store`.
    Store,
    /// `WriterService.StoreBatch`.
    StoreBatch,
}

impl Ingest {
    /// How `rpc` is served, if it is served by hand.
    pub(crate) fn of(rpc: &MethodDescriptor) -> Option<Self> {
        match rpc.full_name() {
            "mesher.writer.v1.WriterService.Store" => Some(Self::Store),
            "mesher.writer.v1.WriterService.StoreBatch" => Some(Self::StoreBatch),
            _ => None,
        }
    }

    /// The largest body.
    pub(crate) fn max_body(self) -> usize {
        match self {
            Self::Store => MAX_EVENT,
            Self::StoreBatch => MAX_BATCH,
        }
    }

    /// Answers a request for `route`.
    pub(crate) async fn serve(
        self,
        route: &Route,
        body: Bytes,
        context: Context<'_>,
        pool: &DescriptorPool,
    ) -> Result<Response<Body>, ApiError> {
        let mut response = match self {
            Self::Store => store(route, body, context).await?,
            Self::StoreBatch => store_batch(route, &body, context, pool).await?,
        };
        *response.status_mut() = StatusCode::ACCEPTED;
        Ok(response)
    }
}

async fn store(route: &Route, body: Bytes, context: Context<'_>) -> Result<Response<Body>, Status> {
    let request = StoreRequest { payload: Some(store_request::Payload::Json(body)) };
    let answer = call::unary(route, request.encode_to_vec().into(), context).await?;
    transcode::respond(route, answer)
}

async fn store_batch(
    route: &Route,
    body: &Bytes,
    context: Context<'_>,
    pool: &DescriptorPool,
) -> Result<Response<Body>, Status> {
    let events = batch::split(is_lines(context.headers), body)?;
    let events = events
        .into_iter()
        .map(|event| EventPayload { payload: Some(event_payload::Payload::Json(event)) })
        .collect();
    let answer = call::unary(route, StoreBatchRequest { events }.encode_to_vec().into(), context).await?;
    let answer = StoreBatchResponse::decode(answer).map_err(|error| status::internal(&error))?;
    let durability = answer.durability().as_str_name();
    let results: Vec<Value> =
        answer.results.into_iter().map(|result| outcome(result.outcome, pool)).collect();
    let body = json!({ "results": results, "durability": durability });
    let mut response = Response::new(Body::from(body.to_string()));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

fn outcome(outcome: Option<Outcome>, pool: &DescriptorPool) -> Value {
    match outcome {
        Some(Outcome::EventId(id)) => json!({ "eventId": id }),
        Some(Outcome::Error(status)) => json!({ "error": ApiError::from(status).object(pool) }),
        None => json!({}),
    }
}

/// Whether the body says of itself that it is one event a line.
fn is_lines(headers: &HeaderMap) -> bool {
    let media_type = media_type(headers);
    ["application/x-ndjson", "application/ndjson", "application/jsonl"]
        .iter()
        .any(|lines| media_type.eq_ignore_ascii_case(lines))
}
