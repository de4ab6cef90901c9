//! What surrounds every gRPC call at the server: one span that continues the caller's trace, metrics, a deadline, a bound
//! on the calls in hand, and an answer whatever happens.

use std::{
    collections::HashSet,
    panic::AssertUnwindSafe,
    pin::Pin,
    sync::{Arc, LazyLock},
    task::{Context, Poll},
    time::{Duration, Instant},
};

use futures_util::FutureExt as _;
use http::{HeaderMap, HeaderValue, Request, Response};
use http_body::Frame;
use prometheus_client::{
    encoding::EncodeLabelSet,
    metrics::{counter::Counter, family::Family, gauge::Gauge, histogram::Histogram},
    registry::Registry,
};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};
use tonic::{Code, Status, body::Body};
use tower::{Layer, Service};
use tracing::{Instrument as _, Span, field};
use uuid::Uuid;

use crate::{panicked::Panicked, status, telemetry, timeout};

/// The most calls of the API in hand at once, open streams included; more are refused with `RESOURCE_EXHAUSTED`.
pub const MAX_CALLS: usize = 1024;

/// The most other calls in hand at once: those that watch the health, or read the descriptors. They have room of their
/// own, for they need no credentials. Asking for the health once is always possible.
const MAX_OTHER_CALLS: usize = 64;
const HEALTH_CHECK: &str = "/grpc.health.v1.Health/Check";

/// How long a call may take until its answer begins; a caller may ask for less. Below the grace period of a shutdown.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(20);

/// By how much a call ends before its caller's deadline, so that it is this answer that the caller gets.
const DEADLINE_MARGIN: Duration = Duration::from_millis(5);

/// The header that names a call in the log, at the gateway and behind; made where it does not come with the call.
pub const REQUEST_ID: &str = "x-request-id";

/// The label of every RPC that is not of the API.
const OTHER: &str = "other";

/// Seconds; from a cached read to a call that waits for a flush.
const LATENCY_BUCKETS: [f64; 12] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0, 30.0];

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct CallLabels {
    rpc: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct EndLabels {
    rpc: &'static str,
    code: &'static str,
}

/// The layer for a server; cheap to clone.
#[derive(Clone, Debug)]
pub struct RpcLayer {
    calls: Family<EndLabels, Counter>,
    latency: Family<CallLabels, Histogram, fn() -> Histogram>,
    in_hand: Gauge,
    permits: Arc<Semaphore>,
    other_permits: Arc<Semaphore>,
    shutdown: CancellationToken,
}

impl RpcLayer {
    /// A layer whose metrics are in `registry`. Streams that are not of the API end when `shutdown` is cancelled.
    pub fn new(registry: &mut Registry, shutdown: CancellationToken) -> Self {
        let layer = Self {
            calls: Family::default(),
            latency: Family::new_with_constructor(|| Histogram::new(LATENCY_BUCKETS)),
            in_hand: Gauge::default(),
            permits: Arc::new(Semaphore::new(MAX_CALLS)),
            other_permits: Arc::new(Semaphore::new(MAX_OTHER_CALLS)),
            shutdown,
        };
        registry.register("mesher_rpc_calls", "Calls that ended, by status code", layer.calls.clone());
        registry.register("mesher_rpc_seconds", "Time from a call to its end", layer.latency.clone());
        registry.register(
            "mesher_rpc_in_hand",
            "Calls in hand, open streams included",
            layer.in_hand.clone(),
        );
        layer
    }
}

impl<S> Layer<S> for RpcLayer {
    type Service = RpcService<S>;

    fn layer(&self, inner: S) -> RpcService<S> {
        RpcService { inner, layer: self.clone() }
    }
}

/// The service that [`RpcLayer`] makes.
#[derive(Clone, Debug)]
pub struct RpcService<S> {
    inner: S,
    layer: RpcLayer,
}

impl<S> Service<Request<Body>> for RpcService<S>
where
    S: Service<Request<Body>, Response = Response<Body>> + Send,
    S::Future: Send + 'static,
    S::Error: Send,
{
    type Response = Response<Body>;
    type Error = S::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, mut request: Request<Body>) -> Self::Future {
        let rpc = known(request.uri().path());
        let permit = match self.layer.admit(rpc, request.uri().path()) {
            Ok(permit) => permit,
            Err(refusal) => return Box::pin(async { Ok(refusal.into_http()) }),
        };
        let request_id = request_id(&mut request);
        // Of the highest level, which only `off` leaves out: with whatever is logged of the call stands its id.
        let span = tracing::error_span!(
            "rpc",
            otel.name = rpc.trim_start_matches('/'),
            otel.kind = "server",
            otel.status_code = field::Empty,
            rpc.system = "grpc",
            rpc.method = rpc,
            rpc.grpc.status_code = field::Empty,
            request_id = request_id.to_str().unwrap_or_default(),
        );
        telemetry::continue_trace(&span, request.headers());
        let limit = limit(request.headers());
        let call = Call {
            rpc,
            layer: self.layer.clone(),
            started: Instant::now(),
            span: span.clone(),
            ended: false,
            _permit: permit,
        };
        call.layer.in_hand.inc();
        let answer = self.inner.call(request);
        Box::pin(
            async move {
                let answer = AssertUnwindSafe(tokio::time::timeout(limit, answer)).catch_unwind().await;
                let response = match answer {
                    Ok(Ok(answer)) => answer?,
                    Ok(Err(_)) => status::deadline_exceeded(limit).into_http(),
                    Err(panic) => {
                        status::internal(&Panicked::new("the handler of a call", panic)).into_http()
                    }
                };
                Ok(call.answer(response, request_id))
            }
            .instrument(span),
        )
    }
}

impl RpcLayer {
    /// Room for a call, or why there is none.
    fn admit(&self, rpc: &'static str, path: &str) -> Result<Option<OwnedSemaphorePermit>, Status> {
        if path == HEALTH_CHECK {
            return Ok(None);
        }
        let permits = if rpc == OTHER { &self.other_permits } else { &self.permits };
        Arc::clone(permits).try_acquire_owned().map(Some).map_err(|_| {
            self.calls.get_or_create(&EndLabels { rpc, code: name(Code::ResourceExhausted) }).inc();
            status::overloaded("the server has too many calls in hand")
        })
    }
}

/// The id that a call came with, or a new one, which it has from now on.
fn request_id(request: &mut Request<Body>) -> HeaderValue {
    if let Some(id) = request.headers().get(REQUEST_ID) {
        return id.clone();
    }
    let id = Uuid::now_v7().to_string();
    // A UUID has nothing that a header could not hold.
    let id = HeaderValue::from_str(&id).unwrap_or_else(|_| HeaderValue::from_static("unknown"));
    request.headers_mut().insert(REQUEST_ID, id.clone());
    id
}

/// How long a call may take.
fn limit(headers: &HeaderMap) -> Duration {
    let asked = headers.get(timeout::HEADER).and_then(|value| value.to_str().ok()).and_then(timeout::parse);
    asked.map_or(CALL_TIMEOUT, |asked| asked.saturating_sub(DEADLINE_MARGIN).min(CALL_TIMEOUT))
}

/// A call in hand: it ends with its trailers, or when it is dropped because the caller went away.
struct Call {
    rpc: &'static str,
    layer: RpcLayer,
    started: Instant,
    span: Span,
    ended: bool,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Call {
    /// The answer to the call, which ends with its body, or at once if it is an error.
    fn answer(mut self, response: Response<Body>, request_id: HeaderValue) -> Response<Body> {
        let mut response = match Status::from_header_map(response.headers()) {
            // The health service answers in its own way, which its clients know.
            Some(status) if self.rpc != OTHER || status.code() == Code::Unimplemented => {
                let status = status::typed(status);
                self.end_with(status.code());
                status.into_http()
            }
            Some(status) => {
                self.end_with(status.code());
                response
            }
            None => response,
        };
        response.headers_mut().insert(REQUEST_ID, request_id);
        let shutdown = (self.rpc == OTHER).then(|| Box::pin(self.layer.shutdown.clone().cancelled_owned()));
        response.map(|body| Body::new(CallBody { body, call: self, shutdown }))
    }

    fn end(&mut self, trailers: &HeaderMap) {
        let code = Status::from_header_map(trailers).map_or(Code::Unknown, |status| status.code());
        self.end_with(code);
    }

    fn end_with(&mut self, code: Code) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        self.span.record("rpc.grpc.status_code", code as i32);
        if matches!(code, Code::Unknown | Code::Internal | Code::Unavailable | Code::DataLoss) {
            self.span.record("otel.status_code", "ERROR");
        }
        let elapsed = self.started.elapsed();
        tracing::debug!(parent: &self.span, rpc = self.rpc, code = name(code), ?elapsed, "call ended");
        self.layer.calls.get_or_create(&EndLabels { rpc: self.rpc, code: name(code) }).inc();
        self.layer.latency.get_or_create(&CallLabels { rpc: self.rpc }).observe(elapsed.as_secs_f64());
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.end_with(Code::Cancelled);
        self.layer.in_hand.dec();
    }
}

/// A response body that ends its call with its trailers.
struct CallBody {
    body: Body,
    call: Call,
    /// What ends it before its time: nobody who watches the health may keep a service from stopping.
    shutdown: Option<Pin<Box<WaitForCancellationFutureOwned>>>,
}

impl http_body::Body for CallBody {
    type Data = <Body as http_body::Body>::Data;
    type Error = <Body as http_body::Body>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        let this = &mut *self;
        let _entered = this.call.span.clone().entered();
        if let Some(shutdown) = &mut this.shutdown
            && shutdown.as_mut().poll(context).is_ready()
            && !this.call.ended
        {
            this.call.end_with(Code::Unavailable);
            let mut trailers = HeaderMap::new();
            // A constant status fits into headers.
            let _ = status::shutting_down().add_header(&mut trailers);
            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
        }
        if this.call.ended {
            return Poll::Ready(None);
        }
        let frame = Pin::new(&mut this.body).poll_frame(context);
        if let Poll::Ready(Some(Ok(frame))) = &frame
            && let Some(trailers) = frame.trailers_ref()
        {
            this.call.end(trailers);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}

/// The path as a label: one of the API's, or `other`, so that callers cannot invent labels.
fn known(path: &str) -> &'static str {
    static PATHS: LazyLock<HashSet<String>> = LazyLock::new(|| {
        let services = mesher_proto::descriptor_pool().services();
        services
            .flat_map(|service| {
                let name = service.full_name().to_owned();
                service.methods().map(move |method| format!("/{name}/{}", method.name())).collect::<Vec<_>>()
            })
            .collect()
    });
    PATHS.get(path).map_or(OTHER, String::as_str)
}

/// The code's name in gRPC's specification.
pub fn name(code: Code) -> &'static str {
    match code {
        Code::Ok => "OK",
        Code::Cancelled => "CANCELLED",
        Code::Unknown => "UNKNOWN",
        Code::InvalidArgument => "INVALID_ARGUMENT",
        Code::DeadlineExceeded => "DEADLINE_EXCEEDED",
        Code::NotFound => "NOT_FOUND",
        Code::AlreadyExists => "ALREADY_EXISTS",
        Code::PermissionDenied => "PERMISSION_DENIED",
        Code::ResourceExhausted => "RESOURCE_EXHAUSTED",
        Code::FailedPrecondition => "FAILED_PRECONDITION",
        Code::Aborted => "ABORTED",
        Code::OutOfRange => "OUT_OF_RANGE",
        Code::Unimplemented => "UNIMPLEMENTED",
        Code::Internal => "INTERNAL",
        Code::Unavailable => "UNAVAILABLE",
        Code::DataLoss => "DATA_LOSS",
        Code::Unauthenticated => "UNAUTHENTICATED",
    }
}
