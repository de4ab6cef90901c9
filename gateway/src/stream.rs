//! An RPC whose answer is a stream, over HTTP: each message as soon as it is there, as a line of JSON, or as a
//! server-sent event for clients that ask for `text/event-stream`.
//!
//! ```text
//! {"number": 1}                                        data: {"number": 1}
//! {"number": 2}
//! {"error": {"code": 503, "status": "UNAVAILABLE", …}} data: {"number": 2}
//!
//!                                                      event: error
//!                                                      data: {"error": {"code": 503, …}}
//! ```
//!
//! An error before the first message is an answer like any other. One after it is the last object, and an answer that
//! breaks off without it was cut. No more than a few messages are in memory: the service waits while the client does
//! not read, until the deadline.

use std::io;

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Response, header};
use mesher_common::status;
use prost_reflect::{DescriptorPool, DynamicMessage, FieldDescriptor, MessageDescriptor};
use serde_json::json;
use tokio::sync::{
    OwnedSemaphorePermit,
    mpsc::{self, OwnedPermit},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};
use tonic::Status;
use tracing::Instrument as _;

use crate::{
    call::{self, Context, Messages},
    deadline::Deadline,
    error::ApiError,
    headers, json,
    route::Route,
};

/// Asks nginx, and who follows it, not to hold answers back (`proxy_buffering`).
const NO_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// How messages are divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Framing {
    Lines,
    Events,
}

/// What a stream holds on to, and what it ends with.
#[derive(Debug)]
pub(crate) struct Hold {
    /// Its place among the requests in hand.
    pub(crate) room: OwnedSemaphorePermit,
    /// Cancelled when the gateway stops.
    pub(crate) stop: CancellationToken,
    /// Describes the details of errors.
    pub(crate) pool: DescriptorPool,
}

/// A part of the answer.
enum Part {
    /// There is more to come.
    Message(Bytes),
    /// This is the last one; empty when all went well.
    Last(Bytes),
}

/// Calls the route's RPC with `message`, and answers with what it streams.
pub(crate) async fn serve(
    route: &Route,
    message: Bytes,
    context: Context<'_>,
    hold: Hold,
) -> Result<Response<Body>, Status> {
    let framing = Framing::asked_for(context.headers);
    let answer = call::stream(route, message, context).await?;
    let (metadata, messages, _) = answer.into_parts();
    // One message waits here while another is being written, and the end has a place of its own.
    let (parts, written) = mpsc::channel(2);
    let end = parts.clone().try_reserve_owned().map_err(|error| status::internal(&error))?;
    let stream = Stream {
        messages,
        framing,
        output: route.rpc.output(),
        response_body: route.response_body.clone(),
        deadline: context.deadline,
        parts,
    };
    // In a task of its own, it ends at its deadline although the client does not read.
    let task = AbortOnDropHandle::new(tokio::spawn(stream.run(end, hold).in_current_span()));
    let body = futures_util::stream::unfold(Some((written, task)), |state| async {
        let (mut written, task) = state?;
        match written.recv().await {
            Some(Part::Message(part)) => Some((Ok(part), Some((written, task)))),
            Some(Part::Last(part)) => Some((Ok(part), None)),
            // It ended without an end: whoever reads must not take what there was for all.
            None => Some((Err(io::Error::from(io::ErrorKind::BrokenPipe)), None)),
        }
    });
    let mut response = Response::new(Body::from_stream(body));
    *response.headers_mut() = headers::of_metadata(metadata);
    response.headers_mut().insert(header::CONTENT_TYPE, framing.content_type());
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept"));
    response.headers_mut().insert(NO_BUFFERING, HeaderValue::from_static("no"));
    Ok(response)
}

/// Takes messages from the service and gives them to the answer.
struct Stream {
    messages: Messages,
    framing: Framing,
    output: MessageDescriptor,
    response_body: Option<FieldDescriptor>,
    deadline: Deadline,
    parts: mpsc::Sender<Part>,
}

impl Stream {
    async fn run(mut self, end: OwnedPermit<Part>, hold: Hold) {
        let Hold { room, stop, pool } = hold;
        let ended = tokio::select! {
            ended = self.pass_on() => ended,
            () = stop.cancelled() => Err(status::shutting_down()),
        };
        // The call and its place are given up before the client has taken the end: it may never do so.
        drop((self.messages, room));
        end.send(Part::Last(match ended {
            Ok(()) => Bytes::new(),
            Err(status) => self.framing.error(&ApiError::from(status), &pool),
        }));
    }

    async fn pass_on(&mut self) -> Result<(), Status> {
        while let Some(message) = self.messages.next().await? {
            let part = Part::Message(self.message(message)?);
            if self.deadline.bound(self.parts.send(part)).await?.is_err() {
                // The client went away.
                break;
            }
        }
        Ok(())
    }

    fn message(&self, message: Bytes) -> Result<Bytes, Status> {
        let message =
            DynamicMessage::decode(self.output.clone(), message).map_err(|error| status::internal(&error))?;
        let json =
            json::write(&message, self.response_body.as_ref()).map_err(|error| status::internal(&error))?;
        Ok(self.framing.message(&json))
    }
}

impl Framing {
    fn asked_for(headers: &HeaderMap) -> Self {
        if headers::accepts(headers, "text/event-stream") { Self::Events } else { Self::Lines }
    }

    fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Lines => "application/x-ndjson",
            Self::Events => "text/event-stream",
        })
    }

    /// JSON as it is written here has no line breaks.
    fn message(self, json: &[u8]) -> Bytes {
        match self {
            Self::Lines => [json, b"\n"].concat().into(),
            Self::Events => [b"data: ", json, b"\n\n"].concat().into(),
        }
    }

    fn error(self, error: &ApiError, pool: &DescriptorPool) -> Bytes {
        let message = self.message(json!({ "error": error.object(pool) }).to_string().as_bytes());
        match self {
            Self::Lines => message,
            Self::Events => [b"event: error\n", &message[..]].concat().into(),
        }
    }
}
