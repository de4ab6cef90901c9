//! The part of a request's way that is different for events: their bodies may be encoded, they are counted, and they may
//! come from pages of any origin.

use axum::body::Body;
use bytes::Bytes;
use http::{Method, Response, request::Parts};
use hyper::body::Incoming;
use tonic::Status;

use super::{Gateway, caught};
use crate::{
    body::Held,
    call::{Origin, Sender},
    deadline::Deadline,
    encoding::{Encoded, Encoding},
    error::ApiError,
    ingest::{self, Ingest, Refused, Served, Tally, cors},
    route::Route,
    routes::Lookup,
    sentry::{self, Brought, Endpoint, Sentry},
};

/// Where events are sent to, which says in what form they come.
#[derive(Clone, Copy)]
pub(super) enum Entrance<'a> {
    /// An RPC.
    Api(Ingest, &'a Route),
    /// What SDKs made for Sentry send to.
    Sentry(&'a Sentry, Endpoint<'a>),
}

impl Entrance<'_> {
    /// What it is called in metrics.
    fn name(&self) -> String {
        match self {
            Self::Api(_, route) => route.template.to_string(),
            Self::Sentry(_, endpoint) => endpoint.template().to_owned(),
        }
    }

    /// The key that stands in a request's headers or its query, if one does.
    fn key(&self, parts: &Parts) -> Result<Option<String>, Status> {
        match self {
            Self::Api(..) => ingest::key(parts),
            Self::Sentry(..) => sentry::auth::key(&parts.headers, parts.uri.query()),
        }
    }

    /// The largest body, decoded.
    fn max_body(&self) -> usize {
        match self {
            Self::Api(ingest, _) => ingest.max_body(),
            Self::Sentry(sentry, endpoint) => sentry.max_body(endpoint),
        }
    }

    /// The deflated event in a body that names no encoding, where it is one all the same.
    fn deflated(&self, body: &Bytes) -> Option<Bytes> {
        match self {
            Self::Api(..) => None,
            Self::Sentry(_, endpoint) => sentry::raven::deflated(endpoint, body),
        }
    }

    /// How a body is encoded. SDKs are taken to have sent it plain if they name what nobody knows.
    fn encoded(&self, parts: &Parts) -> Result<Encoded, ApiError> {
        match (Encoded::of(&parts.headers), self) {
            (Encoded::Unknown, Self::Api(..)) => {
                let message = "the content-encoding of the body must be one of gzip, deflate, br and zstd";
                Err(ApiError::unsupported_media_type(message))
            }
            (encoded, _) => Ok(encoded),
        }
    }
}

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
                Method::POST => self.take_in(Entrance::Sentry(sentry, endpoint), parts, body, origin).await,
                _ => Err(ApiError::method_not_allowed("OPTIONS, POST")),
            }
        };
        let mut response = caught(answer).await.unwrap_or_else(|error| sentry::answer::refusal(&error));
        cors::allow(response.headers_mut());
        response
    }

    /// Answers a request that brings events, and counts what becomes of them.
    pub(super) async fn take_in(
        &self,
        entrance: Entrance<'_>,
        parts: &Parts,
        body: Incoming,
        origin: Origin<'_>,
    ) -> Result<Response<Body>, ApiError> {
        match self.served(entrance, parts, body, origin).await {
            Ok(Served { response, tally }) => {
                self.events.count(&entrance.name(), &tally);
                Ok(response)
            }
            Err(Refused { error, events }) => {
                self.events.count(&entrance.name(), &Tally::refused(events, error.reason()));
                Err(error)
            }
        }
    }

    async fn served(
        &self,
        entrance: Entrance<'_>,
        parts: &Parts,
        body: Incoming,
        origin: Origin<'_>,
    ) -> Result<Served, Refused> {
        let attempt = |key: &str| self.guard.key(origin.client, key, parts.uri.path());
        let key = entrance.key(parts);
        // One that stands in the body is only known when that was read.
        let early = key.as_ref().ok().and_then(Option::as_deref).map(attempt).transpose()?;
        let _room = self.room()?;
        let deadline = Deadline::new(&parts.headers, self.limits.request_timeout)?;
        let encoded = entrance.encoded(parts)?;
        let body = self.decoded(parts, body, encoded, &entrance, &deadline).await?;
        let (bytes, context) = (body.bytes.clone(), origin.context(deadline));
        match entrance {
            Entrance::Api(ingest, route) => {
                let key = key?.unwrap_or_default();
                let sender = Sender { key, project_number: ingest::project_number(parts), attempt: early };
                ingest.serve(route, parts, bytes, &sender, (context, &self.pool)).await
            }
            Entrance::Sentry(sentry, endpoint) => {
                let project_number = endpoint.project_number()?.to_string();
                let mut brought = Brought::open(&endpoint, &bytes, key?)?;
                let key = std::mem::take(&mut brought.key);
                let attempt = early.map_or_else(|| attempt(&key), Ok)?;
                let sender = Sender { key, project_number, attempt: Some(attempt) };
                sentry.serve(brought, &sender, context).await
            }
        }
    }

    /// Reads a body and undoes its encoding, if it has one that is known.
    async fn decoded(
        &self,
        parts: &Parts,
        body: Incoming,
        encoded: Encoded,
        entrance: &Entrance<'_>,
        deadline: &Deadline,
    ) -> Result<Held, ApiError> {
        let limit = entrance.max_body();
        let body = self.bodies.read(&parts.headers, body, limit, deadline).await?;
        match encoded {
            Encoded::As(encoding) => self.bodies.decode(body, encoding, limit, deadline).await,
            Encoded::Plain => match entrance.deflated(&body.bytes) {
                Some(bytes) => self.bodies.decode(body.with(bytes), Encoding::Deflate, limit, deadline).await,
                None => Ok(body),
            },
            Encoded::Unknown => Ok(body),
        }
    }
}
