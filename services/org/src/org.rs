//! What an organization is.

use chrono::{DateTime, Utc};
use mesher_common::{
    id::OrgId,
    paging::Cursor,
    text::{Name, Slug},
};

/// An organization.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Org {
    /// Its id.
    pub id: OrgId,
    /// What people call it.
    pub name: Name,
    /// Its name in addresses.
    pub slug: Slug,
    /// When it was created.
    pub created_at: DateTime<Utc>,
}

impl Org {
    /// Its place in lists.
    pub fn cursor(&self) -> Cursor {
        Cursor { time: self.created_at, id: self.id.0 }
    }
}
