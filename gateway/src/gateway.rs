//! The way of a request: health or a route, room for it, trace and metrics around it, and an answer whatever
//! happens.

mod events;

use std::{net::SocketAddr, panic::AssertUnwindSafe, sync::Arc};

use axum::body::Body;
use futures_util::{FutureExt as _, StreamExt as _};
use http::{HeaderValue, Method, Request, Response, request::Parts};
use hyper::body::Incoming;
use mesher_common::{admin::Readiness, panicked::Panicked, status, telemetry};
use prometheus_client::registry::Registry;
use prost_reflect::DescriptorPool;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, Span, field};

use self::events::Entrance;
use crate::{
    body::Bodies,
    call::Origin,
    client::ProxyArgs,
    config::LimitArgs,
    deadline::Deadline,
    encoding::Encoded,
    error::ApiError,
    guard::Guard,
    headers,
    ingest::{EventMetrics, Ingest, cors},
    metrics::Metrics,
    pages::Pages,
    routes::{Lookup, Routes},
    sentry::{Endpoint, Sentry},
    stream::{self, Hold},
    transcode,
};

/// The most health checks at once. They have room of their own: whoever asks for the health of a server that is
/// overloaded should not be told that it is dead.
const MAX_PROBES: usize = 64;

/// What serves every request.
pub(crate) struct Gateway {
    routes: Routes,
    pages: Pages,
    pool: DescriptorPool,
    limits: LimitArgs,
    proxies: ProxyArgs,
    room: Arc<Semaphore>,
    probe_room: Semaphore,
    bodies: Bodies,
    guard: Arc<Guard>,
    metrics: Metrics,
    events: EventMetrics,
    /// Unless the API has no RPC that takes events.
    sentry: Option<Sentry>,
    readiness: Readiness,
    stop: CancellationToken,
}

/// What a request is for.
enum Target<'g, 'p> {
    Sentry(&'g Sentry, Endpoint<'p>),
    Api(Lookup<'g, 'p>),
}

impl Gateway {
    /// A gateway for `routes` and `pages`, whose error details `pool` describes. Streams end when `stop` is cancelled.
    pub(crate) fn new(
        (routes, pages): (Routes, Pages),
        pool: DescriptorPool,
        (limits, proxies): (LimitArgs, ProxyArgs),
        registry: &mut Registry,
        readiness: Readiness,
        stop: CancellationToken,
    ) -> Arc<Self> {
        let writer = routes.iter().find(|route| route.ingest == Some(Ingest::StoreBatch)).cloned();
        let sentry = writer.map(|writer| Sentry::new(writer, limits.max_envelope as usize, registry));
        let (guard, bodies) = (Arc::new(Guard::new(&limits, registry)), Bodies::new(limits.body_timeout));
        let room = Semaphore::new(usize::try_from(limits.max_requests).unwrap_or(Semaphore::MAX_PERMITS));
        Arc::new(Self {
            routes,
            pages,
            pool,
            limits,
            proxies,
            room: Arc::new(room),
            probe_room: Semaphore::new(MAX_PROBES),
            bodies,
            guard,
            metrics: Metrics::new(registry),
            events: EventMetrics::new(registry),
            sentry,
            readiness,
            stop,
        })
    }

    /// Answers a request that came from `peer`, with TLS or without.
    pub(crate) async fn handle(
        &self,
        request: Request<Incoming>,
        peer: SocketAddr,
        is_tls: bool,
    ) -> Response<Body> {
        let (mut parts, body) = request.into_parts();
        // What answers SDKs makes no links.
        if Endpoint::at(parts.uri.path()).is_none() {
            headers::note_public_url(&mut parts, is_tls);
        }
        let request_id = headers::request_id(&parts.headers);
        let path = parts.uri.path();
        let mut response = match (path, self.pages.at(path)) {
            ("/healthz" | "/readyz", _) => {
                self.probe(&parts.method, path).await.unwrap_or_else(|error| error.into_response(&self.pool))
            }
            (_, Some(page)) => {
                page.answer(&parts.method).unwrap_or_else(|error| error.into_response(&self.pool))
            }
            _ => self.observe(&parts, body, &request_id, peer).await,
        };
        headers::finish(response.headers_mut(), request_id);
        response
    }

    /// The answer to a request of a connection that there is no room for.
    pub(crate) fn no_room(&self) -> Response<Body> {
        let error = ApiError::from(status::shed("the gateway has too many connections: try again"));
        error.into_response(&self.pool)
    }

    async fn probe(&self, method: &Method, path: &str) -> Result<Response<Body>, ApiError> {
        if !matches!(*method, Method::GET | Method::HEAD) {
            return Err(ApiError::method_not_allowed("GET, HEAD"));
        }
        let _room =
            self.probe_room.try_acquire().map_err(|_| status::shed("too many health checks at once"))?;
        if path == "/healthz" {
            Ok(Response::new(Body::from("alive\n")))
        } else {
            Ok(self.readiness.response().await)
        }
    }

    /// Answers a request under a span and in the metrics.
    async fn observe(
        &self,
        parts: &Parts,
        body: Incoming,
        request_id: &HeaderValue,
        peer: SocketAddr,
    ) -> Response<Body> {
        let target = self.target(parts);
        let (route, streams) = match &target {
            Target::Sentry(_, endpoint) => (endpoint.template().to_owned(), false),
            Target::Api(Lookup::Found(route, _)) => {
                (route.template.to_string(), route.rpc.is_server_streaming())
            }
            Target::Api(Lookup::OtherMethods(_) | Lookup::Nothing) => ("other".to_owned(), false),
        };
        let client = self.proxies.client(peer.ip(), &parts.headers);
        // Of the highest level, which only `off` leaves out: with whatever is logged of the request stands its id.
        let span = tracing::error_span!(
            "http.request",
            otel.name = field::Empty,
            otel.kind = field::Empty,
            otel.status_code = field::Empty,
            http.request.method = %parts.method,
            http.route = &*route,
            http.response.status_code = field::Empty,
            client.address = %client,
            request_id = request_id.to_str().unwrap_or_default(),
        );
        let records_traces = telemetry::records_traces();
        if records_traces {
            span.record("otel.name", format!("{} {route}", parts.method)).record("otel.kind", "server");
            telemetry::continue_trace(&span, &parts.headers);
        }
        let in_hand = self.metrics.begin(&parts.method, route);
        async {
            let origin = Origin { headers: &parts.headers, request_id, client };
            let response = match target {
                Target::Sentry(sentry, endpoint) => self.sentry(sentry, endpoint, parts, body, origin).await,
                Target::Api(lookup) => self.api(lookup, parts, body, origin).await,
            };
            let code = response.status();
            if records_traces {
                Span::current().record("http.response.status_code", code.as_u16());
                if code.is_server_error() {
                    Span::current().record("otel.status_code", "ERROR");
                }
            }
            tracing::debug!(status = code.as_u16(), "request ended");
            let in_hand = in_hand.answered(code);
            if streams && code.is_success() {
                // It is in hand for as long as it streams.
                return response.map(|body| {
                    Body::from_stream(body.into_data_stream().map(move |part| {
                        let _ = &in_hand;
                        part
                    }))
                });
            }
            response
        }
        .instrument(span)
        .await
    }

    fn target<'p>(&self, parts: &'p Parts) -> Target<'_, 'p> {
        let path = parts.uri.path();
        match (&self.sentry, Endpoint::at(path)) {
            (Some(sentry), Some(endpoint)) => Target::Sentry(sentry, endpoint),
            _ => Target::Api(self.routes.find(&parts.method, path)),
        }
    }

    /// Answers a request for the API.
    async fn api(
        &self,
        lookup: Lookup<'_, '_>,
        parts: &Parts,
        body: Incoming,
        origin: Origin<'_>,
    ) -> Response<Body> {
        let takes_events = self.takes_events(&lookup, parts);
        let answer = if takes_events && parts.method == Method::OPTIONS {
            Ok(cors::preflight())
        } else {
            caught(self.answer(lookup, parts, body, origin)).await
        };
        let mut response = answer.unwrap_or_else(|error| error.into_response(&self.pool));
        if takes_events {
            cors::allow(response.headers_mut());
        }
        response
    }

    async fn answer(
        &self,
        lookup: Lookup<'_, '_>,
        parts: &Parts,
        body: Incoming,
        origin: Origin<'_>,
    ) -> Result<Response<Body>, ApiError> {
        let (route, segments) = match lookup {
            Lookup::Found(route, segments) => (route, segments),
            Lookup::Nothing => return Err(ApiError::not_found()),
            Lookup::OtherMethods(methods) => {
                let methods: Vec<_> = methods.into_iter().collect();
                return Err(ApiError::method_not_allowed(&methods.join(", ")));
            }
        };
        if let Some(ingest) = route.ingest {
            return self.take_in(Entrance::Api(ingest, route), parts, body, origin).await;
        }
        let room = self.room()?;
        if route.is_open {
            self.guard.call(origin.client)?;
        }
        let deadline = Deadline::new(&parts.headers, self.limits.request_timeout)?;
        if Encoded::of(&parts.headers) != Encoded::Plain {
            return Err(ApiError::unsupported_media_type("the body must come without a content-encoding"));
        }
        let body = self.bodies.read(&parts.headers, body, self.limits.max_body as usize, &deadline).await?;
        let context = origin.context(deadline);
        let message = transcode::request(route, &segments, parts, &body.bytes)?;
        if !route.rpc.is_server_streaming() {
            return Ok(transcode::serve(route, message, context).await?);
        }
        drop(body);
        let hold = Hold { room, stop: self.stop.clone(), pool: self.pool.clone() };
        Ok(stream::serve(route, message, context, hold).await?)
    }

    /// Room for one more request.
    fn room(&self) -> Result<OwnedSemaphorePermit, ApiError> {
        Arc::clone(&self.room)
            .try_acquire_owned()
            .map_err(|_| status::shed("the gateway has too many requests in hand: try again").into())
    }
}

/// What `work` gives, or the error that its panic is for the client.
async fn caught<T>(work: impl Future<Output = Result<T, ApiError>>) -> Result<T, ApiError> {
    let result = AssertUnwindSafe(work).catch_unwind().await;
    result
        .unwrap_or_else(|panic| Err(status::internal(&Panicked::new("the request's handler", panic)).into()))
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::{ApiError, DescriptorPool, caught};

    #[tokio::test]
    async fn a_panic_is_an_error_that_says_nothing_of_itself() {
        let panicking = async { if std::hint::black_box(true) { panic!("a secret") } else { Ok(()) } };
        let response = caught(panicking)
            .await
            .map_err(|error: ApiError| error.into_response(&DescriptorPool::default()));
        let response = response.unwrap_err();
        assert_eq!(response.status(), StatusCode::INTERNAL_SERVER_ERROR);
        let body = axum::body::to_bytes(response.into_body(), 1000).await.unwrap();
        let body = String::from_utf8(body.to_vec()).unwrap();
        assert!(body.contains("INTERNAL") && !body.contains("secret"), "{body}");
    }
}
