//! The part of a request's way that is different for events: their bodies may be encoded, they are counted, and they may
//! come from pages of any origin.

use axum::body::Body;
use http::{Method, Response, request::Parts};
use hyper::body::Incoming;

use super::{Gateway, caught};
use crate::{
    body::Held,
    call::Origin,
    deadline::Deadline,
    encoding::Encoded,
    error::ApiError,
    ingest::{Ingest, Refused, Served, Tally, cors},
    route::Route,
    routes::Lookup,
    sentry::{self, Endpoint, Sentry},
};

impl Gateway {
    /// Whether events are sent to the path.
    pub(super) fn takes_events(&self, lookup: &Lookup<'_, '_>, parts: &Parts) -> bool {
        match lookup {
            Lookup::Found(route, _) => route.ingest.is_some(),
            Lookup::Nothing => false,
            Lookup::OtherMethods(_) => {
                let posted = self.routes.find(&Method::POST, parts.uri.path());
                matches!(posted, Lookup::Found(route, _) if route.ingest.is_some())
            }
        }
    }

    /// Answers a request for an RPC that takes events.
    pub(super) async fn ingest(
        &self,
        ingest: Ingest,
        route: &Route,
        parts: &Parts,
        body: Incoming,
        origin: Origin<'_>,
    ) -> Result<Served, Refused> {
        let attempt = self.guard.key(origin.client, parts)?;
        let served = self.passed_on(ingest, route, parts, body, origin).await;
        attempt.answered(served.as_ref());
        served
    }

    async fn passed_on(
        &self,
        ingest: Ingest,
        route: &Route,
        parts: &Parts,
        body: Incoming,
        origin: Origin<'_>,
    ) -> Result<Served, Refused> {
        let _room = self.room()?;
        let deadline = Deadline::new(&parts.headers, self.limits.request_timeout)?;
        if Encoded::of(&parts.headers) == Encoded::Unknown {
            let message = "the content-encoding of the body must be one of gzip, deflate, br and zstd";
            return Err(ApiError::unsupported_media_type(message).into());
        }
        let body = self.decoded(parts, body, ingest.max_body(), &deadline).await?;
        let context = origin.context(deadline);
        ingest.serve(route, parts, body.bytes.clone(), context, &self.pool).await
    }

    /// Answers a request of a Sentry SDK, which would make nothing of the API's errors.
    pub(super) async fn sentry(
        &self,
        sentry: &Sentry,
        endpoint: Endpoint<'_>,
        parts: &Parts,
        body: Incoming,
        origin: Origin<'_>,
    ) -> Response<Body> {
        let answer = async {
            match parts.method {
                Method::OPTIONS => Ok(cors::preflight()),
                Method::POST => {
                    let served = self.sentry_post(sentry, &endpoint, parts, body, origin).await;
                    self.counted(endpoint.template(), served).map_err(|refused| refused.error)
                }
                _ => Err(ApiError::method_not_allowed("OPTIONS, POST")),
            }
        };
        let mut response = caught(answer).await.unwrap_or_else(|error| sentry::answer::refusal(&error));
        cors::allow(response.headers_mut());
        response
    }

    async fn sentry_post(
        &self,
        sentry: &Sentry,
        endpoint: &Endpoint<'_>,
        parts: &Parts,
        body: Incoming,
        origin: Origin<'_>,
    ) -> Result<Served, Refused> {
        let attempt = self.guard.key(origin.client, parts)?;
        let served = self.sentry_passed_on(sentry, endpoint, parts, body, origin).await;
        attempt.answered(served.as_ref());
        served
    }

    async fn sentry_passed_on(
        &self,
        sentry: &Sentry,
        endpoint: &Endpoint<'_>,
        parts: &Parts,
        body: Incoming,
        origin: Origin<'_>,
    ) -> Result<Served, Refused> {
        let _room = self.room()?;
        let deadline = Deadline::new(&parts.headers, self.limits.request_timeout)?;
        let body = self.decoded(parts, body, sentry.max_body(endpoint), &deadline).await?;
        let context = origin.context(deadline);
        sentry.serve(endpoint, parts, body.bytes.clone(), context).await
    }

    /// Reads a body and undoes its encoding, if it has one that is known.
    async fn decoded(
        &self,
        parts: &Parts,
        body: Incoming,
        limit: usize,
        deadline: &Deadline,
    ) -> Result<Held, ApiError> {
        let body = self.bodies.read(&parts.headers, body, limit, deadline).await?;
        match Encoded::of(&parts.headers) {
            Encoded::As(encoding) => self.bodies.decode(body, encoding, limit, deadline).await,
            Encoded::Plain | Encoded::Unknown => Ok(body),
        }
    }

    /// Counts what became of the events of a request.
    pub(super) fn counted(
        &self,
        route: &str,
        served: Result<Served, Refused>,
    ) -> Result<Response<Body>, Refused> {
        match served {
            Ok(Served { response, tally, .. }) => {
                self.events.count(route, &tally);
                Ok(response)
            }
            Err(refused) => {
                self.events.count(route, &Tally::refused(refused.events, refused.error.reason()));
                Err(refused)
            }
        }
    }
}
