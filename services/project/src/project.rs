//! What a project and an API key are.

use chrono::{DateTime, Utc};
use mesher_common::{
    id::{ApiKeyId, OrgId, ProjectId},
    paging::Cursor,
    text::{Name, Slug},
};

/// A project that is to be created; the database gives it its number.
#[derive(Clone, Debug)]
pub struct NewProject {
    /// Its id.
    pub id: ProjectId,
    /// The organization that it belongs to.
    pub org_id: OrgId,
    /// What people call it.
    pub name: Name,
    /// Its name in addresses.
    pub slug: Slug,
    /// When it was created.
    pub created_at: DateTime<Utc>,
}

/// A project.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Project {
    /// Its id.
    pub id: ProjectId,
    /// The organization that it belongs to.
    pub org_id: OrgId,
    /// Its id in Sentry DSNs; positive.
    pub number: i64,
    /// What people call it.
    pub name: Name,
    /// Its name in addresses.
    pub slug: Slug,
    /// When it was created.
    pub created_at: DateTime<Utc>,
}

impl Project {
    /// Its place in lists.
    pub fn cursor(&self) -> Cursor {
        Cursor { time: self.created_at, id: self.id.0 }
    }
}

/// What is to change of a project; `None` stays as it is.
#[derive(Clone, Debug, Default)]
pub struct ProjectChange {
    /// The new name.
    pub name: Option<Name>,
    /// The new slug.
    pub slug: Option<Slug>,
}

/// An API key, without the key.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct ApiKey {
    /// Its id.
    pub id: ApiKeyId,
    /// The project that it belongs to.
    pub project_id: ProjectId,
    /// What people call it.
    pub name: Name,
    /// The first characters of the key.
    pub prefix: String,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// Since when it is refused; `None` while it is valid.
    pub revoked_at: Option<DateTime<Utc>>,
}

impl ApiKey {
    /// Its place in lists.
    pub fn cursor(&self) -> Cursor {
        Cursor { time: self.created_at, id: self.id.0 }
    }
}
