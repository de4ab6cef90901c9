//! What a user, a session and a member are.

use chrono::{DateTime, Utc};
use mesher_common::{
    access::DbRole,
    id::{OrgId, UserId},
    paging::Cursor,
    text::Name,
};

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
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Session {
    /// Whose it is.
    pub user_id: UserId,
    /// When it began.
    pub created_at: DateTime<Utc>,
    /// When it ends by itself.
    pub expires_at: DateTime<Utc>,
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
