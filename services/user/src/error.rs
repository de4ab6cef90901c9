//! Everything that can go wrong in a call once the caller is let through and the request is well-formed.

use std::time::Duration;

use mesher_common::{
    access::AccessError,
    db::DatabaseError,
    id::{OrgId, SessionId, UserId},
    secret::NoRandomness,
    status::{self, Violation},
};
use mesher_proto::access::Role;
use tonic::Status;

use crate::password::PasswordError;

/// Why a call fails.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// This installation takes no new users in.
    #[error("registration is closed")]
    RegistrationClosed,
    /// Another user has the e-mail address.
    #[error("the e-mail address is taken")]
    EmailTaken,
    /// There is no such user, or the password is another.
    #[error("the login failed")]
    LoginFailed,
    /// Too many logins failed: the next may be tried after this time.
    #[error("too many logins failed")]
    TooManyFailures(Duration),
    /// The password that is to be changed is another.
    #[error("the current password is wrong")]
    CurrentPasswordWrong,
    /// The caller has no such session.
    #[error("there is no session {0}")]
    SessionNotFound(SessionId),
    /// The session was ended since the caller was let through.
    #[error("the session is gone")]
    SessionGone,
    /// There is no such user, or none that the caller may see.
    #[error("there is no user {0}")]
    UserNotFound(String),
    /// The user is no member of the organization.
    #[error("{0} is no member")]
    MemberNotFound(UserId),
    /// The user is a member of the organization already.
    #[error("{0} is a member already")]
    AlreadyMember(UserId),
    /// The organization would be without an owner.
    #[error("the last owner cannot go")]
    LastOwner,
    /// The caller's role does not allow it: only an owner may make, change or remove an owner.
    #[error("only the role {0} may do that")]
    RoleInsufficient(Role),
    /// The caller's membership ended since the caller was let through.
    #[error("there is no organization {0}")]
    OrgNotFound(OrgId),
    /// The password was neither hashed nor checked.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// No token can be made.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
    /// The database did not do its part.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl From<UserError> for Status {
    fn from(error: UserError) -> Self {
        match error {
            UserError::RegistrationClosed => status::registration_closed(),
            UserError::EmailTaken => status::already_exists("email", "another user has this e-mail address"),
            UserError::LoginFailed => status::login_failed(),
            UserError::TooManyFailures(delay) => status::too_many_failures(delay),
            UserError::CurrentPasswordWrong => {
                Violation::new("current_password", "is not the current password").into()
            }
            UserError::SessionNotFound(id) => status::not_found("session", &id.to_string()),
            UserError::SessionGone => AccessError::SessionInvalid.into(),
            UserError::UserNotFound(id) => status::not_found("user", &id),
            UserError::MemberNotFound(id) => status::not_found("member", &id.to_string()),
            UserError::AlreadyMember(id) => status::already_exists(
                "user_id",
                format!("the user {id} is a member of the organization already"),
            ),
            UserError::LastOwner => status::last_owner(),
            UserError::RoleInsufficient(needed) => status::role_insufficient(needed),
            UserError::OrgNotFound(id) => status::not_found("organization", &id.to_string()),
            UserError::Password(PasswordError::Overloaded) => {
                status::overloaded("too many passwords are waiting to be checked: try again")
            }
            UserError::Password(error @ (PasswordError::Hash(_) | PasswordError::Task(_))) => {
                status::internal(&error)
            }
            UserError::NoRandomness(error) => status::internal(&error),
            UserError::Database(error) => error.into(),
        }
    }
}
