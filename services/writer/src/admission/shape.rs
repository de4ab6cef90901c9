//! Small shapes that JSON values come in.

use std::borrow::Cow;

use super::json::{Json, Object};

/// A text that PostgreSQL can store and an index or a list can bear: NULs replaced, at most `limit` characters.
pub(super) fn text(text: &str, limit: usize) -> Cow<'_, str> {
    // No text has more characters than bytes.
    let text = if text.len() > limit {
        text.char_indices().nth(limit).map_or(text, |(end, _)| &text[..end])
    } else {
        text
    };
    match memchr::memchr(0, text.as_bytes()) {
        None => Cow::Borrowed(text),
        Some(_) => Cow::Owned(text.replace('\0', "\u{fffd}")),
    }
}

/// A string, number or boolean as text; `None` for anything else.
pub(super) fn scalar<'a>(value: &'a Json<'_>, limit: usize) -> Option<Cow<'a, str>> {
    match value {
        Json::Text(string) => Some(text(string, limit)),
        Json::Number(number) => Some(number.to_string().into()),
        Json::Bool(bool) => Some(if *bool { "true" } else { "false" }.into()),
        Json::Null | Json::Array(_) | Json::Object(_) => None,
    }
}

/// What was parsed as JSON without NULs in its texts and names, which jsonb cannot hold.
pub(super) fn json_without_nul(object: &Object<'_>) -> String {
    let json = json(object);
    // As serde_json writes it. Where it means something else, nothing is lost by looking closer.
    if json.contains("\\u0000") { self::json(&object_without_nul(object)) } else { json }
}

/// What was parsed, as JSON.
pub(super) fn json(value: &impl serde::Serialize) -> String {
    // Writing to memory cannot fail, nor is there a map whose keys are no strings.
    serde_json::to_string(value).unwrap_or_default()
}

fn object_without_nul<'a>(object: &'a Object<'_>) -> Object<'a> {
    object.iter().map(|(name, value)| (text(name, usize::MAX), without_nul(value))).collect()
}

fn without_nul<'a>(value: &'a Json<'_>) -> Json<'a> {
    match value {
        Json::Text(string) => Json::Text(text(string, usize::MAX)),
        Json::Array(items) => Json::Array(items.iter().map(without_nul).collect()),
        Json::Object(object) => Json::Object(object_without_nul(object)),
        Json::Null => Json::Null,
        Json::Bool(bool) => Json::Bool(*bool),
        Json::Number(number) => Json::Number(number.clone()),
    }
}
