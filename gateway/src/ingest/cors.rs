//! Letting pages of any origin send events: a key that may send them is public, and no cookie is looked at.

use axum::body::Body;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};

/// What a page may read of an answer.
const EXPOSED: &str = "x-sentry-error, x-sentry-rate-limits, retry-after, x-request-id";

/// What a page may send.
const ALLOWED: &str = "authorization, content-encoding, content-type, traceparent, tracestate, x-mesher-key, \
                       x-request-id, x-request-timeout, x-sentry-auth";

/// For how many seconds a browser need not ask again.
const MAX_AGE: &str = "3600";

/// Adds to the answer of a request what lets the page see it.
pub(crate) fn allow(headers: &mut HeaderMap) {
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static(EXPOSED));
}

/// The answer to a browser that asks whether a page may send an event.
pub(crate) fn preflight() -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NO_CONTENT;
    let headers = response.headers_mut();
    headers.insert(header::ALLOW, HeaderValue::from_static("OPTIONS, POST"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("POST"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static(ALLOWED));
    headers.insert(header::ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static(MAX_AGE));
    response
}
