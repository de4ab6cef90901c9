//! The protocol of Sentry's SDKs, spoken by hand: their envelopes are no JSON, and their errors are not those of the API.
//!
//! | route | body | answer |
//! |---|---|---|
//! | `POST /api/{project_number}/envelope/` | an envelope (`envelope`) | 200 with the id of its event |
//! | `POST /api/{project_number}/store/` | one event, as it is or as `raven` says | 200 with its id |
//!
//! A request's key is found (`auth`), its items are told apart (`item`): events go to the writer, which checks that the
//! key belongs to the project in the path; reports of what an SDK itself dropped are counted (`client_report`); the rest
//! is accepted, counted and discarded; of a native crash whose `minidump` that is, it is said that there was one. `answer`
//! has the form of answers.

pub(crate) mod answer;
pub(crate) mod auth;
mod client_report;
mod endpoint;
mod envelope;
mod item;
mod metrics;
mod minidump;
pub(crate) mod raven;

use bytes::Bytes;
use http::StatusCode;
use mesher_common::id::EventId;
use prometheus_client::registry::Registry;
use tonic::Status;

pub(crate) use self::endpoint::Endpoint;
use self::{endpoint::Kind, envelope::Envelope, item::ItemType, metrics::Metrics};
use crate::{
    call::{Context, Sender},
    ingest::{MAX_EVENT, Refused, Sent, Served, Tally, send},
    route::Route,
};

/// What serves the requests of SDKs.
#[derive(Debug)]
pub(crate) struct Sentry {
    /// The route of the writer's `StoreBatch`.
    writer: Route,
    max_envelope: usize,
    metrics: Metrics,
}

/// What a request brought.
pub(crate) struct Brought {
    /// The key that it came with.
    pub(crate) key: String,
    events: Vec<Sent>,
    rest: Vec<(ItemType, Bytes)>,
    id: Option<EventId>,
}

impl Sentry {
    /// What serves SDKs by the writer of `route`, with envelopes of at most `max_envelope` bytes.
    pub(crate) fn new(route: Route, max_envelope: usize, registry: &mut Registry) -> Self {
        Self { writer: route, max_envelope, metrics: Metrics::new(registry) }
    }

    /// The largest body that an endpoint takes, decoded.
    pub(crate) fn max_body(&self, endpoint: &Endpoint<'_>) -> usize {
        match endpoint.kind() {
            Kind::Envelope => self.max_envelope,
            Kind::Store => MAX_EVENT,
        }
    }

    /// Answers a request that brought this, and is from `sender`.
    pub(crate) async fn serve(
        &self,
        brought: Brought,
        sender: &Sender,
        context: Context<'_>,
    ) -> Result<Served, Refused> {
        let Brought { events, rest, id, .. } = brought;
        let has_events = !events.is_empty();
        let outcomes = match send(&self.writer, events, sender, context).await {
            Ok(stored) => stored.outcomes,
            Err(refused) if refused.error.http() == StatusCode::UNAUTHORIZED => return Err(refused),
            Err(refused) if has_events => {
                // What an SDK says of itself counts whether there is room for events or not.
                self.metrics.count(&rest);
                return Err(refused);
            }
            // The writer was asked about the key alone, and what came needs no writer.
            Err(_) => Vec::new(),
        };
        self.metrics.count(&rest);
        let first = outcomes.iter().find_map(|outcome| outcome.as_ref().ok()).cloned();
        let id = id.map(EventId::to_hex).or(first);
        let refused = || outcomes.iter().filter_map(|outcome| outcome.as_ref().err());
        // Of several reasons, one that an SDK can heed.
        let heeded = refused().find(|error| error.http() == StatusCode::TOO_MANY_REQUESTS);
        let response = match heeded.or_else(|| refused().next()) {
            Some(error) if outcomes.iter().all(Result::is_err) => answer::refusal(error),
            // An SDK that is refused throws away all that it sent, and some of it was taken in.
            some => answer::accepted(id.as_deref(), some),
        };
        Ok(Served { response, tally: Tally::of(&outcomes) })
    }
}

impl Brought {
    /// What `body` brought to an endpoint, with the key that came with the request itself, if one did.
    pub(crate) fn open(endpoint: &Endpoint<'_>, body: &Bytes, key: Option<String>) -> Result<Self, Status> {
        let brought = match endpoint.kind() {
            Kind::Envelope => opened(body, key)?,
            Kind::Store => {
                let (key, event) = (key.ok_or_else(auth::missing)?, Sent { json: body.clone(), id: None });
                Self { key, events: vec![event], rest: Vec::new(), id: None }
            }
        };
        auth::check(&brought.key)?;
        Ok(brought)
    }
}

/// What is in an envelope. A key that came with the request itself wins over the envelope's own.
fn opened(body: &Bytes, key: Option<String>) -> Result<Brought, Status> {
    let envelope = Envelope::parse(body)?;
    let key = match (key, envelope.dsn) {
        (Some(key), _) => key,
        (None, Some(dsn)) => auth::key_in_dsn(&dsn)?,
        (None, None) => return Err(auth::missing()),
    };
    let id = envelope.event_id.as_deref().map(|id| EventId::parse("event_id", id)).transpose()?;
    let has_minidump = envelope.items.iter().any(|item| item.is_minidump);
    let (mut events, mut rest) = (Vec::new(), Vec::new());
    for item in envelope.items {
        match ItemType::named(&item.kind) {
            ItemType::Event => {
                // The envelope's id is that of its event; should there be several, they cannot all have it.
                let id = id.filter(|_| events.is_empty());
                let json = if has_minidump { minidump::explained(item.payload) } else { item.payload };
                events.push(Sent { json, id });
            }
            other => rest.push((other, item.payload)),
        }
    }
    Ok(Brought { key, events, rest, id })
}
