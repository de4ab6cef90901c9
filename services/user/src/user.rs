//! What a user, a session, a member and an entry of the audit log are.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use mesher_common::{
    access::DbRole,
    id::{AuditEventId, OrgId, SessionId, UserId},
    paging::Cursor,
    text::Name,
};
use sqlx::types::Json;
use uuid::Uuid;

use crate::email::Email;

/// A user.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct User {
    /// The user's id.
    pub id: UserId,
    /// The address that the user signs in with.
    pub email: Email,
    /// What people call the user.
    pub name: Name,
    /// When the user registered.
    pub created_at: DateTime<Utc>,
}

/// A session, without its token.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Session {
    /// Its id, which is no credential.
    pub id: SessionId,
    /// Whose it is.
    pub user_id: UserId,
    /// When it began.
    pub created_at: DateTime<Utc>,
    /// When it ends by itself, however much it is used.
    pub expires_at: DateTime<Utc>,
    /// When it was last used, to the minute.
    pub last_used_at: DateTime<Utc>,
    /// When it ends by itself unless it is used.
    pub idle_expires_at: DateTime<Utc>,
    /// The address that it was begun from.
    pub client_address: Option<String>,
    /// What the client that it was begun by calls itself.
    pub user_agent: String,
}

impl Session {
    /// Its place in lists.
    pub fn cursor(&self) -> Cursor {
        Cursor { time: self.created_at, id: self.id.0 }
    }
}

/// A user's membership in an organization.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Member {
    /// The organization.
    pub org_id: OrgId,
    /// The user.
    pub user_id: UserId,
    /// What the member may do.
    pub role: DbRole,
    /// The user's e-mail address.
    pub email: Email,
    /// The user's name.
    pub name: Name,
    /// When the user became a member.
    pub created_at: DateTime<Utc>,
}

impl Member {
    /// Its place in lists.
    pub fn cursor(&self) -> Cursor {
        Cursor { time: self.created_at, id: self.user_id.0 }
    }
}

/// What somebody did, as the audit log has it.
#[derive(Clone, Debug, sqlx::FromRow)]
pub struct AuditEvent {
    /// Its id.
    pub id: AuditEventId,
    /// When it was done.
    pub created_at: DateTime<Utc>,
    /// The full name of the RPC that did it.
    pub method: String,
    /// Who did it.
    pub user_id: Option<UserId>,
    /// The user's e-mail address as it is now; none when the user is gone.
    pub email: Option<Email>,
    /// What kind of thing was changed.
    pub resource_kind: String,
    /// The id of what was changed.
    pub resource_id: Uuid,
    /// What it was changed to, by the names of fields.
    pub details: Json<HashMap<String, String>>,
    /// The address that the call came from.
    pub client_address: Option<String>,
    /// What the client calls itself.
    pub user_agent: String,
    /// The id of the request.
    pub request_id: String,
}

impl AuditEvent {
    /// Its place in lists.
    pub fn cursor(&self) -> Cursor {
        Cursor { time: self.created_at, id: self.id.0 }
    }
}
