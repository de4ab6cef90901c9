//! Calling RPCs with messages as bytes: what they mean is the business of whoever has the descriptors.

mod codec;

use std::{error::Error as _, net::IpAddr, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use mesher_common::{
    access::{API_KEY_HEADER, PROJECT_NUMBER_HEADER},
    origin::{FORWARDED_FOR, FORWARDED_USER_AGENT},
    public_url::PUBLIC_URL_HEADER,
    rpc::REQUEST_ID,
    status,
    telemetry::{self, TRACE_PARENT},
};
use mesher_proto::mesher::writer::v1::{EventPayload, Parcel};
use prost::Message as _;
use prost_reflect::DynamicMessage;
use tonic::{
    Code, Request, Response, Status, Streaming, TimeoutExpired, client::Grpc, metadata::MetadataMap,
    transport::Channel,
};
use tonic_types::StatusExt as _;
use tracing::{Instrument as _, Span, field};

use self::codec::BytesCodec;
use crate::{
    deadline::Deadline,
    guard::Attempt,
    merge,
    route::Route,
    upstream::{Answer, Failure, Replica, Upstream, caused_by},
};

/// What is passed on as it came, beside the trace and the request's id.
const PASSED_ON: [&str; 4] = ["authorization", API_KEY_HEADER, PROJECT_NUMBER_HEADER, PUBLIC_URL_HEADER];

/// The most bytes of credentials: well below what a gRPC server takes in headers.
const MAX_CREDENTIALS: usize = 4096;

/// The longest name that a client gives itself that is passed on, in bytes.
const MAX_USER_AGENT: usize = 1024;

/// The largest message that is taken from a service.
const MAX_ANSWER: usize = 16 << 20;

/// The largest message of a stream: of these, several can be in memory for one request.
const MAX_STREAMED: usize = 4 << 20;

/// Where a call comes from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin<'a> {
    /// The request's headers.
    pub(crate) headers: &'a HeaderMap,
    /// The request's id.
    pub(crate) request_id: &'a HeaderValue,
    /// Who sent it.
    pub(crate) client: IpAddr,
}

impl<'a> Origin<'a> {
    /// What a call takes over that must be answered by `deadline`.
    pub(crate) fn context(self, deadline: Deadline) -> Context<'a> {
        let Self { headers, request_id, client } = self;
        Context { headers, request_id, client, deadline }
    }
}

/// What a call takes over from the HTTP request that it is made for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Context<'a> {
    /// The request's headers.
    pub(crate) headers: &'a HeaderMap,
    /// The request's id.
    pub(crate) request_id: &'a HeaderValue,
    /// Who sent it.
    pub(crate) client: IpAddr,
    /// By when the request must be answered.
    pub(crate) deadline: Deadline,
}

/// Calls the route's RPC with one message, for one message and the metadata with it.
pub(crate) async fn answer(
    route: &Route,
    message: Bytes,
    context: Context<'_>,
) -> Result<Response<Bytes>, Status> {
    let message = &message;
    let once = |replica: Arc<Replica>| async move {
        let request = request(message.clone(), context)?;
        let mut client = client(replica.channel(), MAX_ANSWER).await?;
        Ok::<_, Failure>(client.unary(request, route.rpc_path.clone(), BytesCodec).await?)
    };
    let called = async {
        if route.asks_all {
            merged(route, route.upstream.call_all(once).await?)
        } else {
            route.upstream.call(route.upstream.turn(), route.is_idempotent, once).await
        }
    };
    in_span(route, context, called).await
}

/// What a call gives, in a span of its own, if that is in time.
async fn in_span<T>(
    route: &Route,
    context: Context<'_>,
    called: impl Future<Output = Result<T, Status>>,
) -> Result<T, Status> {
    let span = span(route);
    // Every future that it is wrapped in has room for it twice: as it came, and where it is polled.
    let called = Box::pin(called);
    let answer = async {
        let answer = context.deadline.bound(called).await;
        answer.and_then(|answer| answer.map_err(|status| explain(status, &route.upstream, &context.deadline)))
    };
    let answer = answer.instrument(span.clone()).await;
    ended(&span, answer.as_ref().map_or_else(Status::code, |_| Code::Ok));
    answer
}

/// One answer of those of all replicas.
fn merged(route: &Route, answers: Vec<Response<Bytes>>) -> Result<Response<Bytes>, Status> {
    let mut answers = answers.into_iter();
    let first = answers.next().ok_or_else(|| status::service_unavailable(route.upstream.name()))?;
    if answers.as_slice().is_empty() {
        return Ok(first);
    }
    let read = |bytes: Bytes| {
        DynamicMessage::decode(route.rpc.output(), bytes).map_err(|error| status::internal(&error))
    };
    let (metadata, bytes, extensions) = first.into_parts();
    let mut merged = read(bytes)?;
    for other in answers {
        merge::merge(&mut merged, &read(other.into_inner())?);
    }
    Ok(Response::from_parts(metadata, merged.encode_to_vec().into(), extensions))
}

/// Calls the route's RPC with one message, for a stream of them. An error that comes before the first message is the
/// call's.
pub(crate) async fn stream(
    route: &Route,
    message: Bytes,
    context: Context<'_>,
) -> Result<Response<Messages>, Status> {
    let message = &message;
    let called = route.upstream.call(route.upstream.turn(), route.is_idempotent, |replica| async move {
        let request = request(message.clone(), context)?;
        let mut client = client(replica.channel(), MAX_STREAMED).await?;
        let mut answer = client.server_streaming(request, route.rpc_path.clone(), BytesCodec).await?;
        let first = answer.get_mut().message().await?;
        Ok((answer, first))
    });
    let span = span(route);
    let called = context.deadline.bound(called).instrument(span.clone()).await;
    match called
        .and_then(|answer| answer.map_err(|status| explain(status, &route.upstream, &context.deadline)))
    {
        Ok((answer, first)) => Ok(answer.map(|rest| {
            let (upstream, deadline) = (route.upstream.clone(), context.deadline);
            Messages { first, rest, upstream, deadline, span }
        })),
        Err(status) => {
            ended(&span, status.code());
            Err(status)
        }
    }
}

/// Who sends events, as the writer is to know it.
#[derive(Clone, Debug)]
pub(crate) struct Sender {
    /// The API key; empty where there is none, which is the writer's to refuse.
    pub(crate) key: String,
    /// The number of the project that it must belong to, as the request has it; empty where it names none.
    pub(crate) project_number: String,
    /// What is told whether the key is valid; none where there is no key.
    pub(crate) attempt: Option<Arc<Attempt>>,
}

/// Has the writer of `route` store events that came in one request.
pub(crate) async fn store(
    route: &Route,
    events: Vec<EventPayload>,
    sender: &Sender,
    context: Context<'_>,
) -> Result<Answer, Status> {
    let called = async {
        let parcel = parcel(events, sender, context)?;
        route.upstream.store(parcel, sender.attempt.as_ref()).await
    };
    in_span(route, context, called).await
}

/// The events of a request, with what the writer has to know of it.
fn parcel(events: Vec<EventPayload>, sender: &Sender, context: Context<'_>) -> Result<Parcel, Status> {
    if sender.key.len() > MAX_CREDENTIALS {
        return Err(too_long());
    }
    let mut headers = HeaderMap::new();
    trace(&mut headers, context);
    let text = |value: Option<&HeaderValue>| {
        value.and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
    };
    Ok(Parcel {
        sequence: 0,
        api_key: sender.key.clone(),
        project_number: sender.project_number.clone(),
        events,
        trace_parent: text(headers.get(TRACE_PARENT)),
        request_id: text(Some(context.request_id)),
    })
}

/// The messages of a stream; the call ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Messages {
    first: Option<Bytes>,
    rest: Streaming<Bytes>,
    upstream: Upstream,
    deadline: Deadline,
    span: Span,
}

impl Messages {
    /// The next message, as soon as it is there; none when all have come.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Status> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        let next = self.deadline.bound(self.rest.message()).await;
        let next =
            next.and_then(|next| next.map_err(|status| explain(status, &self.upstream, &self.deadline)));
        match &next {
            Ok(Some(_)) => {}
            Ok(None) => ended(&self.span, Code::Ok),
            Err(status) => ended(&self.span, status.code()),
        }
        next
    }
}

fn span(route: &Route) -> Span {
    tracing::debug_span!(
        "call",
        otel.name = route.rpc_path.path().trim_start_matches('/'),
        otel.kind = "client",
        otel.status_code = field::Empty,
        rpc.system = "grpc",
        rpc.method = route.rpc_path.path(),
        rpc.grpc.status_code = field::Empty,
    )
}

fn ended(span: &Span, code: Code) {
    span.record("rpc.grpc.status_code", code as i32);
    if code != Code::Ok {
        span.record("otel.status_code", "ERROR");
    }
}

fn request(message: Bytes, context: Context<'_>) -> Result<Request<Bytes>, Status> {
    let mut request = Request::new(message);
    *request.metadata_mut() = metadata(context)?;
    request.set_timeout(context.deadline.remaining());
    Ok(request)
}

async fn client(channel: Channel, largest: usize) -> Result<Grpc<Channel>, Status> {
    let mut client = Grpc::new(channel).max_decoding_message_size(largest);
    client.ready().await.map_err(|error| Status::from_error(error.into()))?;
    Ok(client)
}

fn metadata(context: Context<'_>) -> Result<MetadataMap, Status> {
    let mut headers = HeaderMap::new();
    for name in PASSED_ON {
        for value in context.headers.get_all(name) {
            headers.append(name, value.clone());
        }
    }
    if headers.values().map(HeaderValue::len).sum::<usize>() > MAX_CREDENTIALS {
        return Err(too_long());
    }
    headers.insert(REQUEST_ID, context.request_id.clone());
    if let Ok(client) = HeaderValue::from_str(&context.client.to_string()) {
        headers.insert(FORWARDED_FOR, client);
    }
    let agent = context.headers.get(header::USER_AGENT).filter(|agent| agent.len() <= MAX_USER_AGENT);
    headers.insert(FORWARDED_USER_AGENT, agent.cloned().unwrap_or(HeaderValue::from_static("")));
    trace(&mut headers, context);
    Ok(MetadataMap::from_headers(headers))
}

fn too_long() -> Status {
    status::credentials_missing(format!("the credentials are longer than {MAX_CREDENTIALS} bytes"))
}

/// The longest `tracestate` that is passed on: the shortest that has to be (W3C Trace Context).
const MAX_TRACE_STATE: usize = 512;

/// Adds the trace that the call is in.
fn trace(headers: &mut HeaderMap, context: Context<'_>) {
    telemetry::propagate_trace(headers);
    if !headers.contains_key(TRACE_PARENT) {
        // This process records no traces; the caller and the service may.
        for name in [TRACE_PARENT, "tracestate"] {
            if let Some(value) = context.headers.get(name).filter(|value| value.len() <= MAX_TRACE_STATE) {
                headers.insert(name, value.clone());
            }
        }
    }
}

/// Makes of an error what a client may see. One with an `ErrorInfo` is the service's and was made to be seen;
/// others come from the connection, or from gRPC itself.
fn explain(status: Status, upstream: &Upstream, deadline: &Deadline) -> Status {
    // The service knows a deadline, but not whose it was.
    if status.code() == Code::DeadlineExceeded || caused_by::<TimeoutExpired>(&status) {
        return deadline.exceeded();
    }
    if status.get_details_error_info().is_some() {
        return status;
    }
    if status.source().is_some() {
        // That its replica is away is said where that is found out, and not again with every call.
        tracing::debug!(upstream = upstream.name(), cause = ?status, "a service did not answer");
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
