//! The routes that are served by hand: there the body is events as they are, and not the RPC's request message.

use prost_reflect::MethodDescriptor;
use serde_json::{Value, json};

use super::{
    errors,
    schema::{given, reference},
};
use crate::{ingest::Ingest, route::Route};

/// The body of a route that is served by hand.
pub(super) fn body(route: &Route) -> Option<Value> {
    let example = json!({
        "message": "the shop is on fire",
        "level": "error",
        "release": "shop@1.2.3",
        "tags": { "region": "eu" },
    });
    let content = match route.ingest? {
        Ingest::Store => json!({ "application/json": { "schema": reference("Event"), "example": example } }),
        Ingest::StoreBatch => json!({
            "application/json": {
                "schema": { "type": "array", "minItems": 1, "maxItems": 1000, "items": reference("Event") },
                "example": [example],
            },
            "application/x-ndjson": { "schema": {
                "type": "string",
                "minLength": 2,
                "description": "1 to 1000 events, one a line.",
            } },
        }),
    };
    Some(json!({ "required": true, "content": content }))
}

/// Whether what the RPC answers is not what is answered over HTTP.
pub(super) fn has_own_answer(rpc: &MethodDescriptor) -> bool {
    Ingest::of(rpc) == Some(Ingest::StoreBatch)
}

/// The answer of a route that is served by hand; `message` is the schema of the RPC's own.
pub(super) fn answer(route: &Route, message: &Value) -> Option<(String, Value)> {
    let id = "0198f6b27c1a7b2e9d550a1b2c3d4e5f";
    let (schema, example) = match route.ingest? {
        Ingest::Store => (message.clone(), json!({ "eventId": id, "durability": "DURABILITY_DISK" })),
        Ingest::StoreBatch => {
            (batch_answer(), json!({ "results": [{ "eventId": id }], "durability": "DURABILITY_DISK" }))
        }
    };
    let response = json!({
        "description": "Accepted, with what is promised.",
        "content": { "application/json": { "schema": schema, "example": example } },
    });
    Some(("202".to_owned(), errors::with_headers(response, &[])))
}

/// The component that events are described by, as Sentry's SDKs send them.
pub(super) fn event() -> Value {
    let says = ["message", "logentry", "exception", "stacktrace", "threads"];
    let says = says.map(given);
    json!({
        "type": "object",
        "description": "An event as Sentry's SDKs send it, of at most 1 MiB. It has at least one of `message`, \
                        `logentry`, `exception`, `stacktrace` and `threads`. Fields that are not known are kept.",
        "anyOf": says,
        "properties": {
            "event_id": { "type": ["string", "null"], "description": "32 hex digits, dashes allowed; made when it is missing." },
            "message": { "description": "What happened, in words." },
            "level": { "enum": ["fatal", "error", "warning", "info", "debug", null] },
            "timestamp": { "description": "When it happened: RFC 3339, or seconds since 1970." },
            "release": { "description": "The application's version." },
            "environment": { "description": "Where the application runs, such as `production`." },
            "tags": { "description": "Names and values to find it by." },
            "user": { "description": "Whom it happened to." },
            "fingerprint": { "description": "What makes it one issue with others." },
        },
    })
}

fn batch_answer() -> Value {
    json!({
        "type": "object",
        "required": ["results", "durability"],
        "properties": {
            "results": {
                "type": "array",
                "description": "One result for each event, in their order: its id, or why it was refused.",
                "items": { "oneOf": [
                    {
                        "type": "object",
                        "required": ["eventId"],
                        "properties": { "eventId": { "type": "string" } },
                        "additionalProperties": false,
                    },
                    reference("Error"),
                ] },
            },
            "durability": reference("Durability"),
        },
    })
}
