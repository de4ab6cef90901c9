//! Admission: nothing that is sent makes it panic, and nothing that it admits can spoil a batch or be lost in the log.

use std::collections::BTreeMap;

use mesher_common::payload::{self, MAX_EVENT_BYTES};
use mesher_writer::{
    admission::{Sent, restore},
    event::{Event, Fields},
    log::Record,
};
use prost::Message as _;
use prost_types::{ListValue, Struct, value::Kind};
use serde_json::{Map, Value};

use crate::samples::admitted;

/// The most characters in the columns of texts, and of names and versions.
const MAX_TEXT: usize = 2000;
const MAX_SHORT: usize = 200;
/// The most tags, and the most bytes of `user`.
const MAX_TAGS: usize = 200;
const MAX_USER_BYTES: usize = 8 * 1024;
/// The integers that both JSON and protobuf's numbers hold exactly.
const EXACT: u64 = 1 << 53;

/// Takes `data` for an event's JSON, and for the encoding of a protobuf `Struct`.
pub fn admission(data: &[u8]) {
    let from_json = admitted(&Sent::Json(data)).ok();
    if let Some(event) = &from_json {
        let json = holds(event);
        assert_eq!(json.len(), data.len(), "the payload is what was sent");
        if !data.windows(2).any(|pair| pair == b"\\u") {
            assert_eq!(json, data, "the payload is what was sent");
        }
        let again = admitted(&Sent::Json(&json)).ok();
        assert_eq!(again.as_ref().map(kept), Some(kept(event)), "the payload is admitted as what was sent");
    }
    if let Ok(object) = serde_json::from_slice::<Map<String, Value>>(data)
        && object.values().all(is_exact)
        && data.len() < MAX_EVENT_BYTES / 8
    {
        let from_struct = admitted(&Sent::Struct(&to_struct(&object))).ok();
        assert_eq!(
            from_struct.as_ref().map(kept),
            from_json.as_ref().map(kept),
            "a Struct is as good as JSON"
        );
    }
    if let Ok(sent) = Struct::decode(data)
        && let Ok(event) = admitted(&Sent::Struct(&sent))
    {
        holds(&event);
    }
}

/// What two admissions of the same event have in common: an id that was made up differs.
fn kept(event: &Event) -> (&Fields, [u8; 17]) {
    (&event.fields, *event.fingerprint.as_bytes())
}

/// Holds an admitted event to what is promised of it, and gives its payload.
fn holds(event: &Event) -> Vec<u8> {
    let record = event.record();
    let mut bytes = Vec::new();
    record.encode(&mut bytes);
    assert_eq!(bytes.len(), record.length());
    let restored = Record::decode(&bytes).map(restore);
    assert!(
        matches!(&restored, Ok(Ok(restored)) if restored == event),
        "{event:?} comes back from the log as {restored:?}"
    );

    fields_hold(&event.fields);
    let title = event.title();
    assert_text(Some(&title), MAX_SHORT);
    assert!(!title.is_empty() && !title.contains('\n'), "the title {title:?}");
    assert!(event.size() >= event.payload.len());

    let json = payload::decompress(&event.payload);
    let Ok(json) = json else { panic!("the payload is no payload: {json:?}") };
    assert!(json.len() <= MAX_EVENT_BYTES);
    let value = serde_json::from_slice::<Value>(&json);
    assert!(value.as_ref().is_ok_and(Value::is_object), "the payload is no JSON object: {value:?}");
    json
}

fn fields_hold(fields: &Fields) {
    let year = chrono::Datelike::year(&fields.occurred_at);
    assert!((1970..=9999).contains(&year), "the year {year}");
    assert_eq!(fields.occurred_at.timestamp_subsec_nanos() % 1000, 0, "PostgreSQL keeps microseconds");
    assert_text(fields.message.as_deref(), MAX_TEXT);
    assert_text(fields.exception_value.as_deref(), MAX_TEXT);
    for short in
        [&fields.exception_type, &fields.release, &fields.environment, &fields.sdk_name, &fields.sdk_version]
    {
        assert_text(short.as_deref(), MAX_SHORT);
    }
    let tags = serde_json::from_str::<BTreeMap<String, String>>(&fields.tags);
    let Ok(tags) = tags else { panic!("{} are no tags: {tags:?}", fields.tags) };
    assert!(tags.len() <= MAX_TAGS);
    for (name, value) in &tags {
        assert_text(Some(name), MAX_SHORT);
        assert_text(Some(value), MAX_SHORT);
    }
    if let Some(user) = &fields.user {
        assert!(user.len() <= MAX_USER_BYTES, "the user has {} bytes", user.len());
        let value = serde_json::from_str::<Value>(user);
        assert!(value.as_ref().is_ok_and(Value::is_object), "{user} is no user: {value:?}");
        // In JSON text a NUL can only be an escape.
        assert!(value.is_ok_and(|value| !has_nul(&value)), "a NUL in {user:?}");
    }
}

fn assert_text(text: Option<&str>, limit: usize) {
    let text = text.unwrap_or_default();
    assert!(!text.contains('\0'), "a NUL in {text:?}");
    assert!(text.chars().count() <= limit, "more than {limit} characters: {text:?}");
}

fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(has_nul),
        Value::Object(members) => members.iter().any(|(name, value)| name.contains('\0') || has_nul(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Whether all numbers in it are the same in protobuf's `Struct`, which has no others than f64.
fn is_exact(value: &Value) -> bool {
    match value {
        Value::Number(number) => number.as_i64().is_some_and(|number| number.unsigned_abs() < EXACT),
        Value::Array(items) => items.iter().all(is_exact),
        Value::Object(members) => members.values().all(is_exact),
        Value::Null | Value::Bool(_) | Value::String(_) => true,
    }
}

fn to_struct(object: &Map<String, Value>) -> Struct {
    Struct { fields: object.iter().map(|(name, value)| (name.clone(), to_value(value))).collect() }
}

fn to_value(value: &Value) -> prost_types::Value {
    let kind = match value {
        Value::Null => Kind::NullValue(0),
        Value::Bool(bool) => Kind::BoolValue(*bool),
        Value::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or(f64::NAN)),
        Value::String(text) => Kind::StringValue(text.clone()),
        Value::Array(items) => Kind::ListValue(ListValue { values: items.iter().map(to_value).collect() }),
        Value::Object(object) => Kind::StructValue(to_struct(object)),
    };
    prost_types::Value { kind: Some(kind) }
}
