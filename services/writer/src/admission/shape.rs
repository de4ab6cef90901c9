//! Small shapes that JSON values come in.

use serde_json::{Map, Value};

/// What a value is, for an error message.
pub(super) fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

/// A text that PostgreSQL can store and an index or a list can bear: NULs replaced, at most `limit` characters.
pub(super) fn text(text: &str, limit: usize) -> String {
    let cleaned = text.chars().take(limit).map(|c| if c == '\0' { char::REPLACEMENT_CHARACTER } else { c });
    cleaned.collect()
}

/// A string, number or boolean as text; `None` for anything else.
pub(super) fn scalar(value: &Value, limit: usize) -> Option<String> {
    match value {
        Value::String(string) => Some(text(string, limit)),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(bool) => Some(bool.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

/// An object as JSON without NULs in its texts and names, which jsonb cannot hold.
pub(super) fn json_without_nul(object: &Map<String, Value>) -> String {
    // Writing what was parsed to memory cannot fail.
    let json = serde_json::to_string(object).unwrap_or_default();
    // As serde_json writes it. Where it means something else, nothing is lost by looking closer.
    if json.contains("\\u0000") { without_nul(&Value::Object(object.clone())).to_string() } else { json }
}

fn without_nul(value: &Value) -> Value {
    match value {
        Value::String(string) => Value::String(text(string, usize::MAX)),
        Value::Array(items) => items.iter().map(without_nul).collect(),
        Value::Object(fields) => Value::Object(
            fields.iter().map(|(name, value)| (text(name, usize::MAX), without_nul(value))).collect(),
        ),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.clone(),
    }
}
