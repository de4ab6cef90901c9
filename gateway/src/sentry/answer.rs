//! Answers as SDKs read them.

use axum::body::Body;
use http::{HeaderName, HeaderValue, Response, StatusCode, header};
use mesher_common::status::{KEY_FAULT, KeyFault, LIMIT_SCOPE, LimitScope, reason_name};
use mesher_proto::mesher::error::v1::ErrorReason;
use serde::Serialize;
use serde_json::json;

use crate::error::ApiError;

/// Why something was refused, in one line.
const SENTRY_ERROR: HeaderName = HeaderName::from_static("x-sentry-error");
/// For how long an SDK is to send nothing of a category: `SECONDS:CATEGORIES:SCOPE:REASON`.
const RATE_LIMITS: HeaderName = HeaderName::from_static("x-sentry-rate-limits");

/// The longest reason in a header.
const MAX_REASON: usize = 200;

/// All was taken in that could be, under this id if there is an event; `refused` says what could not.
pub(super) fn accepted(id: Option<&str>, refused: Option<&ApiError>) -> Response<Body> {
    #[derive(Serialize)]
    struct Accepted<'i> {
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<&'i str>,
    }
    let mut response = with_json(StatusCode::OK, &Accepted { id });
    if let Some(error) = refused {
        let headers = response.headers_mut();
        headers.insert(SENTRY_ERROR, one_line(error.message()));
        if error.http() == StatusCode::TOO_MANY_REQUESTS {
            headers.insert(RATE_LIMITS, rate_limits(error));
        }
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
        headers.insert(header::RETRY_AFTER, wait(error).into());
        if status == StatusCode::TOO_MANY_REQUESTS {
            headers.insert(RATE_LIMITS, rate_limits(error));
        }
    }
    if let Some(allow) = error.allow() {
        headers.insert(header::ALLOW, allow.clone());
    }
    response
}

/// For how many seconds an SDK is to wait, which would wait for a minute if it were not told.
fn wait(error: &ApiError) -> u64 {
    error.retry_after().unwrap_or(1)
}

/// What an SDK is to send no more of for now: errors alone are limited, for nothing else takes room.
fn rate_limits(error: &ApiError) -> HeaderValue {
    let of_project = error.about(LIMIT_SCOPE).as_deref() == Some(LimitScope::Project.name());
    let scope = if of_project { "project" } else { "key" };
    let reason = reason_name(error.reason()).to_ascii_lowercase();
    one_line(&format!("{}:error:{scope}:{reason}", wait(error)))
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

fn with_json(status: StatusCode, body: &impl Serialize) -> Response<Body> {
    // It fails only for maps whose keys are no text.
    let mut response = Response::new(Body::from(serde_json::to_vec(body).unwrap_or_default()));
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
