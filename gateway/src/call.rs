//! Calling RPCs with messages as bytes: what they mean is the business of whoever has the descriptors.

use std::error::Error as _;

use bytes::{Buf as _, BufMut as _, Bytes};
use http::{HeaderMap, HeaderValue};
use mesher_common::{
    access::{API_KEY_HEADER, PROJECT_NUMBER_HEADER},
    public_url::PUBLIC_URL_HEADER,
    status, telemetry,
};
use tonic::{
    Code, Request, Status, TimeoutExpired,
    client::Grpc,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    metadata::MetadataMap,
};
use tonic_types::StatusExt as _;
use tracing::{Instrument as _, Span, field};

use crate::{deadline::Deadline, route::Route, upstream::Upstream};

/// The header with the request's id, here and behind.
pub(crate) const REQUEST_ID: &str = "x-request-id";

/// What is passed on as it came, beside the trace and the request's id.
const PASSED_ON: [&str; 4] = ["authorization", API_KEY_HEADER, PROJECT_NUMBER_HEADER, PUBLIC_URL_HEADER];

/// The most bytes of credentials: well below what a gRPC server takes in headers.
const MAX_CREDENTIALS: usize = 4096;

/// The largest message that is taken from a service.
const MAX_ANSWER: usize = 16 << 20;

/// What a call takes over from the HTTP request that it is made for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context<'a> {
    /// The request's headers.
    pub(crate) headers: &'a HeaderMap,
    /// The request's id.
    pub(crate) request_id: &'a HeaderValue,
    /// By when the request must be answered.
    pub(crate) deadline: Deadline,
}

/// Calls the route's RPC with one message, for one message.
pub(crate) async fn unary(route: &Route, message: Bytes, context: Context<'_>) -> Result<Bytes, Status> {
    let span = tracing::info_span!(
        "call",
        otel.name = route.rpc_path.path().trim_start_matches('/'),
        otel.kind = "client",
        otel.status_code = field::Empty,
        rpc.system = "grpc",
        rpc.method = route.rpc_path.path(),
        rpc.grpc.status_code = field::Empty,
    );
    async {
        let called = context.deadline.bound(call(route, message, context)).await;
        let answer = called
            .and_then(|answer| answer.map_err(|status| explain(status, &route.upstream, &context.deadline)));
        let code = answer.as_ref().map_or_else(Status::code, |_| Code::Ok);
        Span::current().record("rpc.grpc.status_code", code as i32);
        if code != Code::Ok {
            Span::current().record("otel.status_code", "ERROR");
        }
        answer
    }
    .instrument(span)
    .await
}

async fn call(route: &Route, message: Bytes, context: Context<'_>) -> Result<Bytes, Status> {
    let mut request = Request::new(message);
    *request.metadata_mut() = metadata(context)?;
    request.set_timeout(context.deadline.remaining());
    let mut client = Grpc::new(route.upstream.channel()).max_decoding_message_size(MAX_ANSWER);
    client.ready().await.map_err(|error| Status::from_error(error.into()))?;
    let answer = client.unary(request, route.rpc_path.clone(), BytesCodec).await?;
    Ok(answer.into_inner())
}

fn metadata(context: Context<'_>) -> Result<MetadataMap, Status> {
    let mut headers = HeaderMap::new();
    for name in PASSED_ON {
        for value in context.headers.get_all(name) {
            headers.append(name, value.clone());
        }
    }
    if headers.values().map(HeaderValue::len).sum::<usize>() > MAX_CREDENTIALS {
        return Err(status::credentials_missing("the credentials are too long to be any"));
    }
    headers.insert(REQUEST_ID, context.request_id.clone());
    telemetry::propagate_trace(&mut headers);
    if !headers.contains_key("traceparent") {
        // This process records no traces; the caller and the service may.
        for name in ["traceparent", "tracestate"] {
            if let Some(value) = context.headers.get(name) {
                headers.insert(name, value.clone());
            }
        }
    }
    Ok(MetadataMap::from_headers(headers))
}

/// Makes of an error what a client may see. One with an `ErrorInfo` is the service's and was made to be seen;
/// others come from the connection, or from gRPC itself.
fn explain(status: Status, upstream: &Upstream, deadline: &Deadline) -> Status {
    // The service knows a deadline, but not whose it was.
    if status.code() == Code::DeadlineExceeded || timed_out(&status) {
        return deadline.exceeded();
    }
    if status.get_details_error_info().is_some() {
        return status;
    }
    if status.source().is_some() {
        tracing::warn!(upstream = upstream.name(), cause = ?status, "a service did not answer");
        return status::service_unavailable(upstream.name());
    }
    match status.code() {
        Code::Cancelled | Code::DeadlineExceeded => deadline.exceeded(),
        Code::Unavailable => status::service_unavailable(upstream.name()),
        Code::Ok | Code::Unknown | Code::Internal | Code::DataLoss | Code::OutOfRange => {
            status::internal(&status)
        }
        Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::ResourceExhausted
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::Unimplemented
        | Code::Unauthenticated => status,
    }
}

fn timed_out(status: &Status) -> bool {
    let mut cause = status.source();
    while let Some(error) = cause {
        if error.is::<TimeoutExpired>() {
            return true;
        }
        cause = error.source();
    }
    false
}

/// Messages as the bytes that they are.
#[derive(Clone, Copy, Debug)]
struct BytesCodec;

impl Codec for BytesCodec {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for BytesCodec {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(message);
        Ok(())
    }
}

impl Decoder for BytesCodec {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}
