//! What a row of an event has to be, so that PostgreSQL takes it.

use std::collections::BTreeMap;

use mesher_writer::{
    event::Event,
    row::{Column, Row},
};
use serde_json::Value;

use super::assert_text;

/// The most characters in the columns of texts, and of names and versions.
const MAX_TEXT: usize = 2000;
pub(super) const MAX_SHORT: usize = 200;
/// The most tags, and the most bytes of `user`.
const MAX_TAGS: usize = 200;
const MAX_USER_BYTES: usize = 8 * 1024;
const LEVELS: [&str; 5] = ["debug", "info", "warning", "error", "fatal"];

/// Holds the row of an event to what PostgreSQL needs, and to what is promised of each column.
pub(super) fn holds(event: &Event) {
    let row = &event.row;
    let columns = columns(row.as_bytes());
    assert_eq!(columns, Column::ALL.map(|column| row.get(column)), "the columns of {row:?}");
    assert_eq!(row.get(Column::ProjectId), Some(event.project_id.0.as_bytes().as_slice()));
    assert_eq!(row.get(Column::EventId), Some(event.id.0.as_bytes().as_slice()));
    assert_eq!(row.get(Column::Fingerprint), Some(event.fingerprint.as_bytes().as_slice()));
    assert_eq!(row.time(Column::ReceivedAt), Some(event.received_at));
    assert_eq!(row.get(Column::Payload), Some(event.payload()));

    let Some(occurred_at) = row.time(Column::OccurredAt) else { panic!("{row:?} says not when it happened") };
    let year = chrono::Datelike::year(&occurred_at);
    assert!((1970..=9999).contains(&year), "the year {year}");
    let level = text(row, Column::Level);
    assert!(level.is_some_and(|level| LEVELS.contains(&level)), "the level {level:?}");
    for (column, limit) in [
        (Column::Message, MAX_TEXT),
        (Column::ExceptionValue, MAX_TEXT),
        (Column::ExceptionType, MAX_SHORT),
        (Column::Release, MAX_SHORT),
        (Column::Environment, MAX_SHORT),
        (Column::SdkName, MAX_SHORT),
        (Column::SdkVersion, MAX_SHORT),
    ] {
        assert_text(text(row, column), limit);
    }
    tags_hold(json(row, Column::Tags).unwrap_or("null"));
    if let Some(user) = json(row, Column::User) {
        user_holds(user);
    }
}

fn tags_hold(text: &str) {
    let tags = serde_json::from_str::<BTreeMap<String, String>>(text);
    let Ok(tags) = tags else { panic!("{text} are no tags: {tags:?}") };
    assert!(tags.len() <= MAX_TAGS);
    for (name, value) in &tags {
        assert_text(Some(name), MAX_SHORT);
        assert_text(Some(value), MAX_SHORT);
    }
}

fn user_holds(user: &str) {
    assert!(user.len() <= MAX_USER_BYTES, "the user has {} bytes", user.len());
    let value = serde_json::from_str::<Value>(user);
    assert!(value.as_ref().is_ok_and(Value::is_object), "{user} is no user: {value:?}");
    // In JSON text a NUL can only be an escape.
    assert!(value.is_ok_and(|value| !has_nul(&value)), "a NUL in {user:?}");
}

/// The columns of a row: each a length, of which -1 is null, and so many bytes.
fn columns(row: &[u8]) -> Vec<Option<&[u8]>> {
    let mut rest = row;
    let mut columns = Vec::new();
    while !rest.is_empty() {
        let Some((length, after)) = rest.split_first_chunk::<4>() else { panic!("a length is cut off") };
        if *length == [0xff; 4] {
            columns.push(None);
            rest = after;
        } else {
            let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
            let Some((column, after)) = after.split_at_checked(length) else { panic!("a column is cut off") };
            columns.push(Some(column));
            rest = after;
        }
    }
    columns
}

fn text(row: &Row, column: Column) -> Option<&str> {
    let bytes = row.get(column)?;
    let Ok(text) = std::str::from_utf8(bytes) else { panic!("{column:?} is no text: {bytes:?}") };
    assert_eq!(row.text(column), Some(text));
    Some(text)
}

/// The text of a column of type jsonb.
fn json(row: &Row, column: Column) -> Option<&str> {
    let bytes = row.get(column)?;
    let Some(text) = bytes.strip_prefix(&[1]) else {
        panic!("{column:?} has no version of jsonb: {bytes:?}")
    };
    let Ok(text) = std::str::from_utf8(text) else { panic!("{column:?} is no text: {bytes:?}") };
    assert_eq!(row.text(column), Some(text));
    Some(text)
}

fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(has_nul),
        Value::Object(members) => members.iter().any(|(name, value)| name.contains('\0') || has_nul(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}
