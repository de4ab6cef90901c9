//! The domain's types as proto has them.

use mesher_common::{clock::timestamp, status::Violation};
use mesher_proto::{access::Role, mesher::user::v1 as proto};

use crate::user::{AuditEvent, Member, Session, User};

/// Reads the request field `role`.
pub(crate) fn role(number: i32) -> Result<Role, Violation> {
    match proto::Role::try_from(number) {
        Ok(proto::Role::Owner) => Ok(Role::Owner),
        Ok(proto::Role::Admin) => Ok(Role::Admin),
        Ok(proto::Role::Member) => Ok(Role::Member),
        Ok(proto::Role::Unspecified) => {
            Err(Violation::new("role", "is missing: give ROLE_OWNER, ROLE_ADMIN or ROLE_MEMBER"))
        }
        Err(_) => Err(Violation::new(
            "role",
            format!("{number} is no role: give ROLE_OWNER, ROLE_ADMIN or ROLE_MEMBER"),
        )),
    }
}

impl From<User> for proto::User {
    fn from(user: User) -> Self {
        Self {
            user_id: user.id.to_string(),
            email: user.email.as_str().to_owned(),
            name: user.name.as_str().to_owned(),
            create_time: Some(timestamp(user.created_at)),
        }
    }
}

/// A session as it is shown; whether it is that of the call is for the caller to say.
pub(crate) fn session(session: Session, current: bool) -> proto::Session {
    proto::Session {
        user_id: session.user_id.to_string(),
        create_time: Some(timestamp(session.created_at)),
        expire_time: Some(timestamp(session.expires_at)),
        session_id: session.id.to_string(),
        last_use_time: Some(timestamp(session.last_used_at)),
        idle_expire_time: Some(timestamp(session.idle_expires_at)),
        client_address: session.client_address.unwrap_or_default(),
        user_agent: session.user_agent,
        current,
    }
}

impl From<Member> for proto::Member {
    fn from(member: Member) -> Self {
        let role = match Role::from(member.role) {
            Role::Owner => proto::Role::Owner,
            Role::Admin => proto::Role::Admin,
            Role::Member => proto::Role::Member,
        };
        Self {
            org_id: member.org_id.to_string(),
            user_id: member.user_id.to_string(),
            role: role.into(),
            email: member.email.as_str().to_owned(),
            name: member.name.as_str().to_owned(),
            create_time: Some(timestamp(member.created_at)),
        }
    }
}

impl From<AuditEvent> for proto::AuditEvent {
    fn from(event: AuditEvent) -> Self {
        Self {
            audit_event_id: event.id.to_string(),
            create_time: Some(timestamp(event.created_at)),
            method: event.method,
            user_id: event.user_id.map(|id| id.to_string()).unwrap_or_default(),
            email: event.email.map(|email| email.as_str().to_owned()).unwrap_or_default(),
            resource_kind: event.resource_kind,
            resource_id: event.resource_id.to_string(),
            details: event.details.0,
            client_address: event.client_address.unwrap_or_default(),
            user_agent: event.user_agent,
            request_id: event.request_id,
        }
    }
}
