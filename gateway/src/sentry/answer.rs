//! Answers as SDKs read them.

use axum::body::Body;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use mesher_common::status::{KEY_FAULT, KeyFault};
use mesher_proto::mesher::error::v1::ErrorReason;
use serde_json::json;

use crate::error::{ApiError, reason_name};

/// Why something was refused, in one line.
const SENTRY_ERROR: HeaderName = HeaderName::from_static("x-sentry-error");
/// For how long an SDK is to send nothing of a category: `SECONDS:CATEGORIES:SCOPE:REASON`.
const RATE_LIMITS: HeaderName = HeaderName::from_static("x-sentry-rate-limits");

/// The longest reason in a header.
const MAX_REASON: usize = 200;

/// All was taken in that could be, under this id if there is an event; `refused` says what could not.
pub(super) fn accepted(id: Option<&str>, refused: Option<&str>) -> Response<Body> {
    let body = id.map_or_else(|| json!({}), |id| json!({ "id": id }));
    let mut response = with_json(StatusCode::OK, &body);
    if let Some(reason) = refused {
        response.headers_mut().insert(SENTRY_ERROR, one_line(reason));
    }
    response
}

/// The whole request is refused.
pub(crate) fn refusal(error: &ApiError) -> Response<Body> {
    let status = status(error);
    let mut response = with_json(status, &json!({ "detail": error.message(), "causes": [] }));
    let headers = response.headers_mut();
    headers.insert(SENTRY_ERROR, one_line(error.message()));
    if status == StatusCode::TOO_MANY_REQUESTS || status == StatusCode::SERVICE_UNAVAILABLE {
        // Without it, SDKs wait for a minute.
        let seconds = error.retry_after().unwrap_or(1);
        headers.insert(header::RETRY_AFTER, seconds.into());
        if status == StatusCode::TOO_MANY_REQUESTS {
            // Errors alone are limited: nothing else takes room.
            let limit = format!("{seconds}:error:key:{}", reason_name(error.reason()).to_ascii_lowercase());
            headers.insert(RATE_LIMITS, one_line(&limit));
        }
    }
    if let Some(allow) = error.allow() {
        headers.insert(header::ALLOW, allow.clone());
    }
    response
}

/// The status that SDKs know for an error. To them a key that is wrong is a malformed request, and only one that was
/// good once is forbidden.
fn status(error: &ApiError) -> StatusCode {
    match error.http() {
        StatusCode::UNAUTHORIZED if error.reason() == ErrorReason::ApiKeyInvalid => {
            if error.about(KEY_FAULT).as_deref() == Some(KeyFault::Revoked.name()) {
                StatusCode::FORBIDDEN
            } else {
                StatusCode::BAD_REQUEST
            }
        }
        StatusCode::GATEWAY_TIMEOUT => StatusCode::SERVICE_UNAVAILABLE,
        other => other,
    }
}

fn with_json(status: StatusCode, body: &serde_json::Value) -> Response<Body> {
    let mut response = Response::new(Body::from(body.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// A text that a header can hold.
fn one_line(text: &str) -> HeaderValue {
    let text: String =
        text.chars().take(MAX_REASON).map(|c| if matches!(c, ' '..='~') { c } else { '?' }).collect();
    HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("refused"))
}
