//! The routes for events, by hand: the body is passed on as the bytes that it is, where transcoding would read all
//! of it and write it again. Their paths are those of the RPCs' own HTTP rules, in whose stead they are served.
//!
//! | route | body | answer |
//! |---|---|---|
//! | `POST /v1/events` | one event | 202 with its id, and what is promised |
//! | `POST /v1/events:batch` | a JSON array of events, or one event a line | 202 with a result for each |
//!
//! Bodies may be encoded (`encoding`), keys stand in `x-mesher-key` or where Sentry's SDKs put them, and browsers may
//! call from anywhere (`cors`).

mod batch;
pub(crate) mod cors;
mod metrics;
mod send;

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header, request::Parts};
use mesher_common::{
    access::{API_KEY_HEADER, PROJECT_NUMBER_HEADER},
    status,
};
use prost_reflect::{DescriptorPool, MethodDescriptor};
use serde_json::{Value, json};
use tonic::Status;

use self::send::MissingResult;
pub(crate) use self::{
    metrics::{EventMetrics, Tally},
    send::{Refused, Sent, send},
};
use crate::{
    call::{Context, Sender},
    error::ApiError,
    headers::media_type,
    route::Route,
    sentry,
};

/// The largest event that the writer may take, and some room for white space around it.
pub(crate) const MAX_EVENT: usize = (1 << 20) + (4 << 10);

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

/// An answer, and what became of the events.
pub(crate) struct Served {
    /// The answer.
    pub(crate) response: Response<Body>,
    /// What became of the events.
    pub(crate) tally: Tally,
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

    /// The largest body, decoded.
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
        parts: &Parts,
        body: Bytes,
        sender: &Sender,
        (context, pool): (Context<'_>, &DescriptorPool),
    ) -> Result<Served, Refused> {
        let (body, tally) = match self {
            Self::Store => store(route, body, sender, context).await?,
            Self::StoreBatch => {
                let events = batch::split(is_lines(&parts.headers), &body)?;
                store_batch(route, events, sender, context, pool).await?
            }
        };
        let mut response = Response::new(Body::from(body.to_string()));
        *response.status_mut() = StatusCode::ACCEPTED;
        response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(Served { response, tally })
    }
}

/// The key of a request that is not of a Sentry SDK: where the API has it, or where those SDKs put it.
pub(crate) fn key(parts: &Parts) -> Result<Option<String>, Status> {
    match parts.headers.get(API_KEY_HEADER) {
        // What is no text is no key either, and the writer says so.
        Some(key) => Ok(Some(String::from_utf8_lossy(key.as_bytes()).into_owned())),
        None => sentry::auth::key(&parts.headers, parts.uri.query()),
    }
}

/// The number of the project that the key must be of, where a request that is not of a Sentry SDK names one.
pub(crate) fn project_number(parts: &Parts) -> String {
    let named =
        parts.headers.get(PROJECT_NUMBER_HEADER).map(|number| String::from_utf8_lossy(number.as_bytes()));
    match named.as_deref() {
        // It is named, and is no project's.
        Some("") => "?".to_owned(),
        Some(number) => number.to_owned(),
        None => String::new(),
    }
}

async fn store(
    route: &Route,
    json: Bytes,
    sender: &Sender,
    context: Context<'_>,
) -> Result<(Value, Tally), Refused> {
    let stored = send(route, vec![Sent { json, id: None }], sender, context).await?;
    let durability = stored.durability.as_str_name();
    let outcome = stored.outcomes.into_iter().next();
    let id = outcome.unwrap_or_else(|| Err(status::internal(&MissingResult).into()))?;
    Ok((json!({ "eventId": id, "durability": durability }), Tally::accepted(1)))
}

async fn store_batch(
    route: &Route,
    events: Vec<Bytes>,
    sender: &Sender,
    context: Context<'_>,
    pool: &DescriptorPool,
) -> Result<(Value, Tally), Refused> {
    let events = events.into_iter().map(|json| Sent { json, id: None }).collect();
    let stored = send(route, events, sender, context).await?;
    let tally = Tally::of(&stored.outcomes);
    let result = |outcome: &Result<String, ApiError>| match outcome {
        Ok(id) => json!({ "eventId": id }),
        Err(error) => json!({ "error": error.object(pool) }),
    };
    let results: Vec<Value> = stored.outcomes.iter().map(result).collect();
    Ok((json!({ "results": results, "durability": stored.durability.as_str_name() }), tally))
}

/// Whether the body says of itself that it is one event a line.
fn is_lines(headers: &HeaderMap) -> bool {
    let media_type = media_type(headers);
    ["application/x-ndjson", "application/ndjson", "application/jsonl"]
        .iter()
        .any(|lines| media_type.eq_ignore_ascii_case(lines))
}
