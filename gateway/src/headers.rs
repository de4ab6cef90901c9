//! What the gateway reads in request headers and adds to answers.

use http::{HeaderMap, HeaderValue, header};
use uuid::Uuid;

/// The longest request id that is taken over.
const MAX_REQUEST_ID: usize = 128;

/// The media type of the body, without its parameters; empty where the request says none.
pub(crate) fn media_type(headers: &HeaderMap) -> &str {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split_once(';').map_or(value, |(media_type, _)| media_type).trim()
}

/// Whether the body is encoded in a way that would have to be undone.
pub(crate) fn is_encoded(headers: &HeaderMap) -> bool {
    let plain = |value: &HeaderValue| value.is_empty() || value.as_bytes().eq_ignore_ascii_case(b"identity");
    headers.get_all(header::CONTENT_ENCODING).iter().any(|value| !plain(value))
}

/// The request's id: the client's, if it is one that can stand in a log, or a new one.
pub(crate) fn request_id(headers: &HeaderMap) -> HeaderValue {
    let printable = |value: &&HeaderValue| {
        (1..=MAX_REQUEST_ID).contains(&value.len()) && value.as_bytes().iter().all(u8::is_ascii_graphic)
    };
    headers.get(crate::call::REQUEST_ID).filter(printable).cloned().unwrap_or_else(|| {
        // A UUID has no character that a header could not hold.
        HeaderValue::from_str(&Uuid::now_v7().to_string()).unwrap_or(HeaderValue::from_static("none"))
    })
}

/// Adds what every answer has: nobody may guess another content type, and nobody may keep the answer.
pub(crate) fn finish(headers: &mut HeaderMap, request_id: HeaderValue) {
    headers.insert(crate::call::REQUEST_ID, request_id);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
}
