//! Errors as HTTP carries them (AIP-193): the gRPC status as JSON, under the HTTP status that `google.rpc.Code`
//! gives it.
//!
//! ```json
//! {"error": {"code": 404, "message": "…", "status": "NOT_FOUND", "details": [
//!   {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "NOT_FOUND", "domain": "mesher", "metadata": {}}
//! ]}}
//! ```

use axum::body::Body;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use mesher_common::{
    rpc,
    status::{self, reason_name},
};
use mesher_proto::mesher::error::v1::ErrorReason;
use prost::Message as _;
use prost_reflect::{DescriptorPool, DynamicMessage};
use serde_json::{Value, json};
use tonic::{Code, Status};
use tonic_types::{RpcStatusExt as _, Status as RpcStatus};

use crate::{headers, json};

/// The status that nginx made common for a request whose client went away.
const CLIENT_CLOSED_REQUEST: u16 = 499;

/// An error that answers a request.
#[derive(Clone, Debug)]
pub(crate) struct ApiError {
    status: RpcStatus,
    http: StatusCode,
    /// What stands in the headers beside what the status gives.
    headers: Box<HeaderMap>,
}

impl ApiError {
    /// An error with an HTTP status that no gRPC code stands for.
    pub(crate) fn new(http: StatusCode, status: &Status) -> Self {
        Self { http, ..Self::from(status) }
    }

    /// Nothing is served at the path.
    pub(crate) fn not_found() -> Self {
        (&status::route_not_found(Code::NotFound, "nothing is served at this path")).into()
    }

    /// What is served at the path takes only the methods in `allowed`.
    pub(crate) fn method_not_allowed(allowed: &str) -> Self {
        let message = format!("this path takes only {allowed}");
        let mut error =
            Self::new(StatusCode::METHOD_NOT_ALLOWED, &status::route_not_found(Code::Unimplemented, message));
        if let Ok(allowed) = HeaderValue::from_str(allowed) {
            error.headers.insert(header::ALLOW, allowed);
        }
        error
    }

    /// The body is of a kind that the path does not take.
    pub(crate) fn unsupported_media_type(message: &str) -> Self {
        Self::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            &status::route_not_found(Code::InvalidArgument, message),
        )
    }

    /// The answer; details are rendered by the descriptors in `pool`.
    pub(crate) fn into_response(self, pool: &DescriptorPool) -> Response<Body> {
        let body = json!({ "error": self.object(pool) });
        let retry_after = self.retry_after();
        let mut response = Response::new(Body::from(body.to_string()));
        *response.status_mut() = self.http;
        let headers = response.headers_mut();
        headers.extend(*self.headers);
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if self.http == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(r#"Bearer realm="mesher""#));
        }
        if let Some(seconds) = retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        response
    }

    /// Its HTTP status.
    pub(crate) fn http(&self) -> StatusCode {
        self.http
    }

    /// Its text.
    pub(crate) fn message(&self) -> &str {
        &self.status.message
    }

    /// Its reason.
    pub(crate) fn reason(&self) -> ErrorReason {
        let info = self.status.get_details_error_info();
        info.map(|info| status::reason_of(&info.reason)).unwrap_or_default()
    }

    /// What else its reason says.
    pub(crate) fn about(&self, key: &str) -> Option<String> {
        self.status.get_details_error_info().and_then(|mut info| info.metadata.remove(key))
    }

    /// The methods that would have been allowed.
    pub(crate) fn allow(&self) -> Option<&HeaderValue> {
        self.headers.get(header::ALLOW)
    }

    /// After how many whole seconds to try again, and not earlier than asked.
    pub(crate) fn retry_after(&self) -> Option<u64> {
        let delay = self.status.get_details_retry_info().and_then(|info| info.retry_delay)?;
        Some((delay.as_secs() + u64::from(delay.subsec_nanos() > 0)).max(1))
    }

    /// The error as an object: what stands under `error`.
    pub(crate) fn object(&self, pool: &DescriptorPool) -> Value {
        let details: Vec<Value> = self
            .status
            .details
            .iter()
            .filter_map(|detail| render(&detail.type_url, &detail.value, pool))
            .collect();
        json!({
            "code": self.http.as_u16(),
            "message": self.status.message,
            "status": rpc::name(Code::from_i32(self.status.code)),
            "details": details,
        })
    }
}

impl From<RpcStatus> for ApiError {
    fn from(status: RpcStatus) -> Self {
        let reason = status.get_details_error_info().map(|info| info.reason);
        let http = if reason.as_deref() == Some(reason_name(ErrorReason::TooLarge)) {
            StatusCode::PAYLOAD_TOO_LARGE
        } else {
            http_status(Code::from_i32(status.code))
        };
        Self { status, http, headers: Box::default() }
    }
}

impl From<&Status> for ApiError {
    fn from(status: &Status) -> Self {
        // Details that are no google.rpc.Status say nothing that could be shown.
        let details = RpcStatus::decode(status.details()).map(|status| status.details).unwrap_or_default();
        let status_of_rpc =
            RpcStatus { code: status.code().into(), message: status.message().to_owned(), details };
        let headers = Box::new(headers::of_metadata(status.metadata().clone()));
        Self { headers, ..Self::from(status_of_rpc) }
    }
}

impl From<Status> for ApiError {
    fn from(status: Status) -> Self {
        (&status).into()
    }
}

/// The HTTP status of a code, as google.rpc.Code documents it.
pub(crate) fn http_status(code: Code) -> StatusCode {
    match code {
        Code::Ok => StatusCode::OK,
        Code::Cancelled => {
            StatusCode::from_u16(CLIENT_CLOSED_REQUEST).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
        }
        Code::InvalidArgument | Code::FailedPrecondition | Code::OutOfRange => StatusCode::BAD_REQUEST,
        Code::Unauthenticated => StatusCode::UNAUTHORIZED,
        Code::PermissionDenied => StatusCode::FORBIDDEN,
        Code::NotFound => StatusCode::NOT_FOUND,
        Code::AlreadyExists | Code::Aborted => StatusCode::CONFLICT,
        Code::ResourceExhausted => StatusCode::TOO_MANY_REQUESTS,
        Code::Unknown | Code::Internal | Code::DataLoss => StatusCode::INTERNAL_SERVER_ERROR,
        Code::Unimplemented => StatusCode::NOT_IMPLEMENTED,
        Code::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Code::DeadlineExceeded => StatusCode::GATEWAY_TIMEOUT,
    }
}

/// A detail as JSON; `None` if its type is unknown or its bytes are not one.
fn render(type_url: &str, value: &[u8], pool: &DescriptorPool) -> Option<Value> {
    let (_, name) = type_url.rsplit_once('/')?;
    let known = |pool: &DescriptorPool| pool.get_message_by_name(name);
    let message = known(pool).or_else(|| known(mesher_proto::descriptor_pool()))?;
    let detail = json::to_value(&DynamicMessage::decode(message, value).ok()?).ok()?;
    let mut rendered = json!({ "@type": type_url });
    match (rendered.as_object_mut()?, detail) {
        (rendered, Value::Object(mut detail)) if !name.starts_with("google.protobuf.") => {
            rendered.append(&mut detail);
        }
        (rendered, detail) => {
            rendered.insert("value".to_owned(), detail);
        }
    }
    Some(rendered)
}
