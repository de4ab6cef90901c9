//! Admission: nothing that is sent makes it panic, and nothing that it admits can spoil a batch or be lost in the log.

mod payload;
mod row;

use mesher_common::payload::{MAX_EVENT_BYTES, decompress};
use mesher_writer::{
    admission::{Sent, restore},
    event::Event,
    log::Record,
    row::Column,
};
use prost::Message as _;
use prost_types::{ListValue, Struct, value::Kind};
use serde_json::{Map, Value, value::RawValue};

use crate::samples::admitted;

/// The integers that both JSON and protobuf's numbers hold exactly.
const EXACT: u64 = 1 << 53;

/// Takes `data` for an event's JSON, and for the encoding of a protobuf `Struct`.
pub fn admission(data: &[u8]) {
    let from_json = admitted(&Sent::Json(data)).ok();
    if let Some(event) = &from_json {
        let json = holds(event);
        assert!(
            payload::is_what_was_sent(data, &json),
            "the payload is what was sent: {}",
            json.escape_ascii()
        );
        // What is skipped may hold numbers and surrogates that nothing else could.
        let sent = serde_json::from_slice::<&RawValue>(data);
        assert!(sent.is_ok(), "what was sent is no JSON: {sent:?}");
        let again = admitted(&Sent::Json(&json)).ok();
        assert_eq!(again.as_ref().map(kept), Some(kept(event)), "the payload is admitted as what was sent");
        assert_eq!(again.as_ref().map(Event::payload), Some(event.payload()), "the payload is changed again");
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

/// What two admissions of the same event have in common: an id that was made up differs, and so does how JSON is written.
fn kept(event: &Event) -> Vec<(Column, Option<&[u8]>)> {
    let columns =
        Column::ALL.into_iter().filter(|column| !matches!(column, Column::EventId | Column::Payload));
    columns.map(|column| (column, event.row.get(column))).collect()
}

/// Holds an admitted event to what is promised of it, and gives its payload.
fn holds(event: &Event) -> Vec<u8> {
    let record = event.record();
    let mut bytes = Vec::new();
    record.encode(&mut bytes);
    assert_eq!(bytes.len(), record.length());
    let decoded = Record::decode(&bytes);
    let Ok(record) = decoded else { panic!("{event:?} is no record: {decoded:?}") };
    // Of a row of another version only the payload is known, which comes last.
    let other_row = [&[0, 0, 0, 1, b'x', 0xff, 0xff, 0xff, 0xff], last_column(event)].concat();
    comes_back(event, Record { layout: 0, ..record.clone() });
    comes_back(event, Record { layout: 0, row: other_row, ..record.clone() });
    comes_back(event, record);

    row::holds(event);
    let title = event.title();
    assert_text(Some(&title), row::MAX_SHORT);
    assert!(!title.is_empty() && !title.contains('\n'), "the title {title:?}");
    assert!(event.size() >= event.payload().len());

    let json = decompress(event.payload());
    let Ok(json) = json else { panic!("the payload is no payload: {json:?}") };
    assert!(json.len() <= MAX_EVENT_BYTES);
    let value = serde_json::from_slice::<Value>(&json);
    assert!(value.as_ref().is_ok_and(Value::is_object), "the payload is no JSON object: {value:?}");
    json
}

/// The payload as it is in the row, with its length.
fn last_column(event: &Event) -> &[u8] {
    let row = event.row.as_bytes();
    &row[row.len() - event.payload().len() - 4..]
}

fn comes_back(event: &Event, record: Record) {
    let layout = record.layout;
    let restored = restore(record);
    assert!(
        matches!(&restored, Ok(restored) if restored == event),
        "{event:?} comes back from layout {layout} as {restored:?}"
    );
}

fn assert_text(text: Option<&str>, limit: usize) {
    let text = text.unwrap_or_default();
    assert!(!text.contains('\0'), "a NUL in {text:?}");
    assert!(text.chars().count() <= limit, "more than {limit} characters: {text:?}");
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
