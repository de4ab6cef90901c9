//! How calls fail: what an RPC's comment names, and what every call can come upon on the way.

use std::collections::{BTreeMap, BTreeSet};

use mesher_common::{rpc::REQUEST_ID, status};
use serde_json::{Map, Value, json};
use tonic::Code;

use super::{
    comments::Comments,
    options::Caller,
    schema::{Schemas, Way, reference},
};
use crate::error::http_status;

/// What decides how a call can fail.
pub(super) struct Circumstances<'a> {
    /// What the comment says behind `Errors:`.
    pub(super) said: &'a str,
    /// Who may call.
    pub(super) caller: Option<Caller>,
    /// Whether the path has parameters.
    pub(super) has_path_parameters: bool,
    /// Whether there is a body.
    pub(super) has_body: bool,
}

/// The reason of an error whose comment names none.
const USUAL: [(&str, &str); 6] = [
    ("ALREADY_EXISTS", "ALREADY_EXISTS"),
    ("INVALID_ARGUMENT", "INVALID_FIELD"),
    ("NOT_FOUND", "NOT_FOUND"),
    ("PERMISSION_DENIED", "ROLE_INSUFFICIENT"),
    ("RESOURCE_EXHAUSTED", "OVERLOADED"),
    ("UNAVAILABLE", "SERVICE_UNAVAILABLE"),
];

/// What every call can come upon.
const ALWAYS: [(u16, &[&str]); 5] = [
    (400, &["INVALID_FIELD", "MALFORMED_REQUEST"]),
    (429, &["OVERLOADED"]),
    (500, &["INTERNAL"]),
    (503, &["OVERLOADED", "SHUTTING_DOWN", "DATABASE_UNAVAILABLE", "SERVICE_UNAVAILABLE"]),
    (504, &["DEADLINE_EXCEEDED"]),
];

/// What a call with a body can come upon besides.
const WITH_BODY: [(u16, &[&str]); 3] =
    [(408, &["DEADLINE_EXCEEDED"]), (413, &["TOO_LARGE"]), (415, &["ROUTE_NOT_FOUND"])];

/// Reasons, and what is said of them, by HTTP status.
type Reasons = BTreeMap<u16, BTreeSet<String>>;

/// The responses of an operation that can fail so.
pub(super) fn responses(circumstances: &Circumstances<'_>) -> BTreeMap<String, Value> {
    let mut reasons = said(circumstances.said);
    let mut add = |list: &[(u16, &[&str])]| {
        for (status, names) in list {
            reasons.entry(*status).or_default().extend(names.iter().map(|name| (*name).to_owned()));
        }
    };
    add(&ALWAYS);
    if circumstances.has_body {
        add(&WITH_BODY);
    }
    if circumstances.has_path_parameters {
        add(&[(404, &["ROUTE_NOT_FOUND"])]);
    }
    match circumstances.caller {
        Some(Caller::Session) => add(&[(401, &["CREDENTIALS_MISSING", "SESSION_INVALID"])]),
        Some(Caller::ApiKey) => {
            add(&[(401, &["CREDENTIALS_MISSING", "API_KEY_INVALID"]), (429, &["RATE_LIMITED"])]);
        }
        Some(Caller::Anyone) => add(&[(429, &["RATE_LIMITED"])]),
        None => {}
    }
    reasons.into_iter().map(|(status, reasons)| (status.to_string(), response(status, &reasons))).collect()
}

/// The components that errors are described by.
pub(super) fn schemas() -> Map<String, Value> {
    let mut schemas = Schemas::default();
    let pool = mesher_proto::descriptor_pool();
    let comments = Comments::new(pool);
    let mut details = Vec::new();
    for name in ["ErrorInfo", "BadRequest", "RetryInfo"] {
        let full = format!("google.rpc.{name}");
        if let Some(message) = pool.get_message_by_name(&full) {
            schemas.message(&message, Way::Out, &[], &comments);
            details.push((name, full));
        }
    }
    let mut schemas = schemas.finish();
    for (name, full) in &details {
        let Some(schema) = schemas.get_mut(*name) else { continue };
        schema["properties"]["@type"] = json!({ "const": format!("type.googleapis.com/{full}") });
        if let Some(required) = schema["required"].as_array_mut() {
            required.insert(0, "@type".into());
        } else {
            schema["required"] = json!(["@type"]);
        }
    }
    if let Some(info) = schemas.get_mut("ErrorInfo") {
        info["properties"]["reason"] = reason(&comments);
        info["properties"]["domain"]["examples"] = json!([mesher_common::status::DOMAIN]);
    }
    let mut any: Vec<Value> = details.iter().map(|(name, _)| reference(name)).collect();
    let others: Vec<_> = details.iter().map(|(_, full)| format!("type.googleapis.com/{full}")).collect();
    any.push(json!({
        "type": "object",
        "required": ["@type"],
        "properties": { "@type": { "type": "string", "not": { "enum": others } } },
    }));
    schemas.insert("Error".to_owned(), error(&any));
    schemas
}

/// The reasons as a schema, each with its description.
fn reason(comments: &Comments) -> Value {
    let reasons = mesher_proto::descriptor_pool().get_enum_by_name("mesher.error.v1.ErrorReason");
    let Some(reasons) = reasons else { return json!({ "type": "string" }) };
    let mut text = "Why the call failed:\n".to_owned();
    for value in reasons.values().filter(|value| value.number() != 0) {
        let comment = comments.of(&reasons.parent_file(), value.path());
        text.extend(["\n- `", status::wire_name(value.name()), "`: ", comment]);
    }
    json!({ "type": "string", "description": text, "examples": ["INVALID_FIELD"] })
}

fn error(details: &[Value]) -> Value {
    let codes: Vec<_> = (1..=16).map(|code| mesher_common::rpc::name(Code::from_i32(code))).collect();
    let example = json!({ "error": {
        "code": 400,
        "status": "INVALID_ARGUMENT",
        "message": "name is empty",
        "details": [
            { "@type": "type.googleapis.com/google.rpc.BadRequest",
              "fieldViolations": [
                { "field": "name", "description": "is empty" },
              ] },
            { "@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "INVALID_FIELD", "domain": "mesher",
              "metadata": {} },
        ],
    } });
    json!({
        "type": "object",
        "description": "An error, as [AIP-193](https://google.aip.dev/193) has it.",
        "required": ["error"],
        "properties": { "error": {
            "type": "object",
            "required": ["code", "message", "status", "details"],
            "properties": {
                "code": { "type": "integer", "description": "The HTTP status." },
                "message": { "type": "string", "description": "What went wrong, in English, for developers." },
                "status": { "enum": codes, "description": "The gRPC code." },
                "details": {
                    "type": "array",
                    "items": { "anyOf": details },
                    "description": "What a program can read of it.",
                },
            },
        } },
        "examples": [example],
    })
}

/// The headers of answers.
pub(super) fn headers() -> Value {
    json!({
        "RequestId": {
            "description": "The call's name in the logs: the client's own `x-request-id`, or a new one.",
            "schema": { "type": "string" },
        },
        "RetryAfter": {
            "description": "After how many seconds to try again.",
            "schema": { "type": "integer", "minimum": 1 },
        },
        "WwwAuthenticate": {
            "description": "How to authenticate.",
            "schema": { "type": "string" },
        },
    })
}

/// Adds to a response the headers that every one has, and these.
pub(super) fn with_headers(mut response: Value, more: &[(&str, &str)]) -> Value {
    for (header, name) in [(REQUEST_ID, "RequestId")].iter().chain(more) {
        response["headers"][*header] = json!({ "$ref": format!("#/components/headers/{name}") });
    }
    response
}

fn response(status: u16, reasons: &BTreeSet<String>) -> Value {
    let name = http::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
    let reasons: Vec<_> = reasons.iter().map(String::as_str).collect();
    let text = format!("{}: {}", name.unwrap_or("Error"), reasons.join(", "));
    let response = json!({
        "description": text,
        "content": { "application/json": { "schema": reference("Error") } },
    });
    let headers: &[_] = match status {
        401 => &[("www-authenticate", "WwwAuthenticate")],
        429 | 503 => &[("retry-after", "RetryAfter")],
        _ => &[],
    };
    with_headers(response, headers)
}

/// The errors that a comment names, such as `NOT_FOUND, INVALID_ARGUMENT (INVALID_FIELD, TOO_LARGE).`
fn said(text: &str) -> Reasons {
    let mut reasons = Reasons::new();
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_ascii_uppercase()) {
        let word = &rest[start..];
        let end = word.find(|c: char| !c.is_ascii_uppercase() && c != '_').unwrap_or(word.len());
        let (name, after) = word.split_at(end);
        rest = after;
        let Some(code) = code(name) else { continue };
        let parenthesis = after.trim_start().strip_prefix('(').and_then(|inner| inner.split_once(')'));
        let listed = parenthesis.map_or("", |(listed, _)| listed);
        if let Some((_, after)) = parenthesis {
            rest = after;
        }
        let names: Vec<_> = listed.split(',').map(str::trim).filter(|name| is_name(name)).collect();
        let usual = USUAL.iter().filter(|(code, _)| *code == name).map(|(_, reason)| *reason);
        let names = if names.is_empty() { usual.collect() } else { names };
        for name in names {
            let status = if name == "TOO_LARGE" { 413 } else { http_status(code).as_u16() };
            reasons.entry(status).or_default().insert(name.to_owned());
        }
    }
    reasons
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_')
}

fn code(name: &str) -> Option<Code> {
    (1..=16).map(Code::from_i32).find(|code| mesher_common::rpc::name(*code) == name)
}

#[cfg(test)]
mod tests {
    use super::said;

    #[test]
    fn comments_name_errors() {
        let text =
            "INVALID_ARGUMENT (INVALID_FIELD, TOO_LARGE), ALREADY_EXISTS (the slug), NOT_FOUND, as Other.";
        let said: Vec<_> = said(text)
            .into_iter()
            .map(|(status, reasons)| (status, reasons.into_iter().collect::<Vec<_>>().join(" ")))
            .collect();
        let expected =
            [(400, "INVALID_FIELD"), (404, "NOT_FOUND"), (409, "ALREADY_EXISTS"), (413, "TOO_LARGE")];
        assert_eq!(said, expected.map(|(status, reasons)| (status, reasons.to_owned())));
    }
}
