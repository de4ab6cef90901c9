//! Errors as gRPC carries them: every error of the API is made here, so that each has its `ErrorInfo`, and no
//! internal cause gets out.

use std::{collections::HashMap, error::Error, fmt, time::Duration};

use mesher_proto::mesher::error::v1::ErrorReason;
use tonic::{Code, Status};
use tonic_types::{ErrorDetails, FieldViolation, StatusExt as _};

use crate::{causes::chain, rate_limit::RateLimit};

/// The domain of every reason.
pub const DOMAIN: &str = "mesher";

/// The prefix that the reasons have in the `.proto` file and not on the wire.
const REASON_PREFIX: &str = "ERROR_REASON_";

/// How long a caller is asked to wait before it tries again what was refused for load or for a missing database.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// A request field whose value is not allowed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} {description}")]
pub struct Violation {
    /// The field's path in the request.
    pub field: String,
    /// Why its value is not allowed, as the rest of a sentence that begins with the field.
    pub description: String,
}

impl Violation {
    /// The violation of `field`, described as the rest of a sentence that begins with it.
    pub fn new(field: impl Into<String>, description: impl Into<String>) -> Self {
        Self { field: field.into(), description: description.into() }
    }
}

/// The name of a reason as errors carry it.
pub fn reason_name(reason: ErrorReason) -> &'static str {
    wire_name(reason.as_str_name())
}

/// The name on the wire of a reason that the `.proto` file calls `name`.
pub fn wire_name(name: &str) -> &str {
    name.strip_prefix(REASON_PREFIX).unwrap_or(name)
}

/// The reason that goes by a name on the wire; unspecified where none does.
pub fn reason_of(wire_name: &str) -> ErrorReason {
    ErrorReason::from_str_name(&format!("{REASON_PREFIX}{wire_name}")).unwrap_or_default()
}

/// An error with its reason, what the error is about, and what else a program can read.
fn build(
    code: Code,
    reason: ErrorReason,
    message: String,
    about: &[(&str, &str)],
    more: ErrorDetails,
) -> Status {
    let about: HashMap<_, _> =
        about.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let mut details = more;
    details.set_error_info(reason_name(reason), DOMAIN, about);
    Status::with_error_details(code, message, details)
}

fn plain(code: Code, reason: ErrorReason, message: impl Into<String>) -> Status {
    build(code, reason, message.into(), &[], ErrorDetails::new())
}

fn retriable(code: Code, reason: ErrorReason, message: impl Into<String>) -> Status {
    build(code, reason, message.into(), &[], ErrorDetails::with_retry_info(Some(RETRY_DELAY)))
}

impl From<Violation> for Status {
    fn from(violation: Violation) -> Self {
        with_violation(ErrorReason::InvalidField, &violation)
    }
}

/// A field's value is larger than allowed.
pub fn too_large(violation: &Violation) -> Status {
    with_violation(ErrorReason::TooLarge, violation)
}

fn with_violation(reason: ErrorReason, violation: &Violation) -> Status {
    let details =
        ErrorDetails::with_bad_request(vec![FieldViolation::new(&violation.field, &violation.description)]);
    build(Code::InvalidArgument, reason, violation.to_string(), &[], details)
}

/// The request is not a readable message.
pub fn malformed(message: impl Into<String>) -> Status {
    plain(Code::InvalidArgument, ErrorReason::MalformedRequest, message)
}

/// Another one has that value already.
pub fn already_exists(field: &str, message: impl Into<String>) -> Status {
    build(
        Code::AlreadyExists,
        ErrorReason::AlreadyExists,
        message.into(),
        &[("field", field)],
        ErrorDetails::new(),
    )
}

/// Nothing has that id, or nothing that the caller may see: the two are not told apart.
pub fn not_found(resource: &str, id: &str) -> Status {
    build(
        Code::NotFound,
        ErrorReason::NotFound,
        format!("there is no {resource} {id}, or you have no access to it"),
        &[("resource", resource), ("id", id)],
        ErrorDetails::new(),
    )
}

/// The call came without credentials, or with some that cannot be read.
pub fn credentials_missing(message: impl Into<String>) -> Status {
    plain(Code::Unauthenticated, ErrorReason::CredentialsMissing, message)
}

/// The session token is not valid now.
pub fn session_invalid() -> Status {
    plain(
        Code::Unauthenticated,
        ErrorReason::SessionInvalid,
        "the session is unknown, has expired or was ended: sign in again",
    )
}

/// What is wrong with an API key. Whoever holds it may know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyFault {
    /// There is no such key.
    Unknown,
    /// It was revoked, or has expired.
    Revoked,
    /// It belongs to another project than the one that the call names.
    OtherProject,
}

/// Where the fault of an API key stands in the metadata of an `ErrorInfo`.
pub const KEY_FAULT: &str = "fault";

impl KeyFault {
    /// Its name in the metadata of an `ErrorInfo`, under [`KEY_FAULT`].
    pub fn name(self) -> &'static str {
        match self {
            Self::Unknown => "UNKNOWN",
            Self::Revoked => "REVOKED",
            Self::OtherProject => "OTHER_PROJECT",
        }
    }
}

impl fmt::Display for KeyFault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Unknown => "it is unknown",
            Self::Revoked => "it was revoked, or has expired",
            Self::OtherProject => "it belongs to another project",
        })
    }
}

/// The API key is not valid now, or not for that project.
pub fn api_key_invalid(fault: KeyFault) -> Status {
    build(
        Code::Unauthenticated,
        ErrorReason::ApiKeyInvalid,
        format!("the API key is not valid: {fault}"),
        &[(KEY_FAULT, fault.name())],
        ErrorDetails::new(),
    )
}

/// E-mail and password do not belong together.
pub fn login_failed() -> Status {
    plain(Code::Unauthenticated, ErrorReason::LoginFailed, "e-mail or password is wrong")
}

/// Too many sign-ins failed: none is tried before `delay` is over.
pub fn too_many_failures(delay: Duration) -> Status {
    // In whole seconds: a caller that rounds down would come too early.
    let delay = Duration::from_secs(delay.as_secs() + u64::from(delay.subsec_nanos() > 0)).max(RETRY_DELAY);
    build(
        Code::ResourceExhausted,
        ErrorReason::TooManyFailures,
        format!("too many sign-ins failed, of this account or from this address: try again in {delay:?}"),
        &[],
        ErrorDetails::with_retry_info(Some(delay)),
    )
}

/// The caller's role does not allow the call.
pub fn role_insufficient(required: mesher_proto::access::Role) -> Status {
    let required = required.to_string();
    build(
        Code::PermissionDenied,
        ErrorReason::RoleInsufficient,
        format!("this needs the role {required} in the organization"),
        &[("required", &required)],
        ErrorDetails::new(),
    )
}

/// This installation takes no new users in.
pub fn registration_closed() -> Status {
    plain(
        Code::PermissionDenied,
        ErrorReason::RegistrationClosed,
        "registration is closed on this installation",
    )
}

/// An organization keeps at least one owner.
pub fn last_owner() -> Status {
    plain(
        Code::FailedPrecondition,
        ErrorReason::LastOwner,
        "this is the organization's last owner: make another member an owner first",
    )
}

/// More is waiting than can be worked off.
pub fn overloaded(message: impl Into<String>) -> Status {
    retriable(Code::ResourceExhausted, ErrorReason::Overloaded, message)
}

/// The gateway has no room for another request; a client may try again whatever the request is.
pub fn shed(message: impl Into<String>) -> Status {
    retriable(Code::Unavailable, ErrorReason::Overloaded, message)
}

/// A project has as much as it may.
pub fn quota_exceeded(message: impl Into<String>) -> Status {
    retriable(Code::ResourceExhausted, ErrorReason::QuotaExceeded, message)
}

/// Whose rate limit is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LimitScope {
    /// A project's.
    Project,
    /// An API key's.
    Key,
    /// A client's, by its address.
    Client,
}

/// Where the scope of a rate limit stands in the metadata of an `ErrorInfo`.
pub const LIMIT_SCOPE: &str = "scope";

impl LimitScope {
    /// Its name in the metadata of an `ErrorInfo`, under [`LIMIT_SCOPE`].
    pub fn name(self) -> &'static str {
        match self {
            Self::Project => "PROJECT",
            Self::Key => "KEY",
            Self::Client => "CLIENT",
        }
    }
}

impl fmt::Display for LimitScope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Project => "the project",
            Self::Key => "the API key",
            Self::Client => "your address",
        })
    }
}

/// More came than is let through in that time; there will be room after `wait`.
pub fn rate_limited(scope: LimitScope, limit: RateLimit, wait: Duration) -> Status {
    build(
        Code::ResourceExhausted,
        ErrorReason::RateLimited,
        format!("the rate limit of {scope} is reached, which is {limit}: try again later"),
        &[(LIMIT_SCOPE, scope.name())],
        ErrorDetails::with_retry_info(Some(wait)),
    )
}

/// The disk takes nothing in.
pub fn disk_unavailable(message: impl Into<String>) -> Status {
    retriable(Code::Unavailable, ErrorReason::DiskUnavailable, message)
}

/// The server is stopping.
pub fn shutting_down() -> Status {
    retriable(Code::Unavailable, ErrorReason::ShuttingDown, "the server is stopping")
}

/// The database did not answer; the cause goes to the log.
pub fn database_unavailable(cause: &dyn Error) -> Status {
    tracing::warn!(cause = %chain(cause), "the database is not available");
    retriable(Code::Unavailable, ErrorReason::DatabaseUnavailable, "the database does not answer: try again")
}

/// Something went wrong that is not the caller's fault; the cause goes to the log, and nowhere else.
pub fn internal(cause: &dyn Error) -> Status {
    tracing::error!(cause = %chain(cause), trace_id = crate::telemetry::trace_id(), "internal error");
    plain(
        Code::Internal,
        ErrorReason::Internal,
        "internal error: the server's log has the cause, under the request's id",
    )
}

/// Nothing is served at that HTTP path, or not in that way.
pub fn route_not_found(code: Code, message: impl Into<String>) -> Status {
    plain(code, ErrorReason::RouteNotFound, message)
}

/// The whole request is larger than allowed.
pub fn request_too_large(limit: usize) -> Status {
    plain(
        Code::InvalidArgument,
        ErrorReason::TooLarge,
        format!("the request is larger than the {limit} bytes allowed"),
    )
}

/// The service behind the gateway did not answer.
pub fn service_unavailable(service: &str) -> Status {
    retriable(
        Code::Unavailable,
        ErrorReason::ServiceUnavailable,
        format!("the {service} service does not answer: try again"),
    )
}

/// The call did not end in time.
pub fn deadline_exceeded(limit: Duration) -> Status {
    plain(
        Code::DeadlineExceeded,
        ErrorReason::DeadlineExceeded,
        format!("the call did not end within {limit:?}"),
    )
}

/// The client does not send its request in time.
pub fn too_slow(message: impl Into<String>) -> Status {
    plain(Code::DeadlineExceeded, ErrorReason::DeadlineExceeded, message)
}

/// Gives a status that tonic made by itself the form of all others: the reason, and no text of the machinery.
pub fn typed(status: Status) -> Status {
    if status.code() == Code::Ok || !status.details().is_empty() {
        return status;
    }
    match status.code() {
        // tonic's answer to a message beyond the server's limit, which its text names.
        Code::OutOfRange => plain(Code::InvalidArgument, ErrorReason::TooLarge, status.message()),
        // The codec's answer to a message that does not decode.
        Code::InvalidArgument => malformed(status.message()),
        Code::Unimplemented => route_not_found(Code::Unimplemented, "there is no such RPC here"),
        Code::Cancelled | Code::DeadlineExceeded => {
            let message = "the call did not end within its deadline";
            plain(Code::DeadlineExceeded, ErrorReason::DeadlineExceeded, message)
        }
        Code::Ok
        | Code::Unknown
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::ResourceExhausted
        | Code::FailedPrecondition
        | Code::Aborted
        | Code::Internal
        | Code::Unavailable
        | Code::DataLoss
        | Code::Unauthenticated => internal(&status),
    }
}
