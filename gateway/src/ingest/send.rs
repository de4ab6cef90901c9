//! Passing events on to the writer.

use bytes::Bytes;
use mesher_common::{
    id::EventId,
    status::{self, Violation},
};
use mesher_proto::mesher::writer::v1::{Durability, EventPayload, event_payload, store_result::Outcome};
use tonic::Status;

use super::MAX_EVENT;
use crate::{
    call::{self, Context, Sender},
    error::ApiError,
    route::Route,
};

/// The most bytes of events in one call: well below what the writer takes.
const MAX_CALL: usize = 10 << 20;

/// An event to be stored.
#[derive(Debug)]
pub(crate) struct Sent {
    /// What was sent.
    pub(crate) json: Bytes,
    /// The id that came beside it.
    pub(crate) id: Option<EventId>,
}

/// What the writer answered.
#[derive(Debug)]
pub(crate) struct Stored {
    /// An id, or why there is none, for each event.
    pub(crate) outcomes: Vec<Result<String, ApiError>>,
    /// What is promised of those that have an id.
    pub(crate) durability: Durability,
}

/// A request that was refused as a whole.
#[derive(Debug)]
pub(crate) struct Refused {
    /// Why.
    pub(crate) error: ApiError,
    /// How many events were in it: one, where nobody looked.
    pub(crate) events: usize,
}

impl From<ApiError> for Refused {
    fn from(error: ApiError) -> Self {
        Self { error, events: 1 }
    }
}

impl From<Status> for Refused {
    fn from(status: Status) -> Self {
        ApiError::from(status).into()
    }
}

/// Passes events on to the writer, in as many parcels as it takes. Without events, the writer still says whether the key is
/// good. An event without an id is given one here: should its parcel have to be sent again, it is the same event.
pub(crate) async fn send(
    route: &Route,
    events: Vec<Sent>,
    sender: &Sender,
    context: Context<'_>,
) -> Result<Stored, Refused> {
    let count = events.len();
    let mut stored = Stored { outcomes: Vec::with_capacity(count), durability: Durability::Unspecified };
    let mut events = events.into_iter().peekable();
    loop {
        // For each event of this call, why it is not in it.
        let mut left_out = Vec::new();
        let (mut bytes, mut payloads) = (0, Vec::new());
        let fits = |event: &Sent, bytes| event.json.len() > MAX_EVENT || bytes + event.json.len() <= MAX_CALL;
        while let Some(event) = events.next_if(|event| fits(event, bytes)) {
            let size = event.json.len();
            if size > MAX_EVENT {
                let violation = Violation::new("event", format!("has {size} bytes; {MAX_EVENT} are allowed"));
                left_out.push(Some(ApiError::from(status::too_large(&violation))));
                continue;
            }
            left_out.push(None);
            bytes += size;
            let (event_id, fallback_event_id) = match event.id {
                Some(id) => (id.to_hex(), String::new()),
                None => (String::new(), EventId::new().to_hex()),
            };
            let payload = Some(event_payload::Payload::Json(event.json));
            payloads.push(EventPayload { payload, event_id, fallback_event_id });
        }
        match call::store(route, payloads, sender, context).await {
            Ok((answer, durability)) => {
                stored.durability = durability;
                let mut results = answer.results.into_iter();
                let outcomes = left_out.into_iter().map(|error| match error {
                    Some(error) => Err(error),
                    None => outcome(results.next().and_then(|result| result.outcome)),
                });
                stored.outcomes.extend(outcomes);
            }
            // What was stored by the calls before cannot be taken back.
            Err(status) if stored.outcomes.iter().any(Result::is_ok) => {
                let error = ApiError::from(status);
                stored
                    .outcomes
                    .extend(left_out.into_iter().map(|own| Err(own.unwrap_or_else(|| error.clone()))));
            }
            Err(status) => return Err(Refused { error: status.into(), events: count }),
        }
        if events.peek().is_none() {
            return Ok(stored);
        }
    }
}

fn outcome(outcome: Option<Outcome>) -> Result<String, ApiError> {
    match outcome {
        Some(Outcome::EventId(id)) => Ok(id),
        Some(Outcome::Error(status)) => Err(status.into()),
        None => Err(status::internal(&MissingResult).into()),
    }
}

/// A bug of the writer.
#[derive(Debug, thiserror::Error)]
#[error("the writer's answer has no result for an event")]
pub(super) struct MissingResult;
