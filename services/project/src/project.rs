//! What a project and an API key are.

use chrono::{DateTime, Utc};
use mesher_common::{
    id::{ApiKeyId, OrgId, ProjectId},
    paging::Cursor,
    rate_limit::RateLimit,
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
    /// How many events of it are taken in, where it says so.
    #[sqlx(flatten)]
    pub rate_limit: RateLimitColumns,
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
    /// The new rate limit, or that there is to be none.
    pub rate_limit: Option<Option<RateLimit>>,
}

/// A rate limit in the columns of a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, sqlx::FromRow)]
pub struct RateLimitColumns {
    rate_limit_events: Option<i32>,
    rate_limit_seconds: Option<i32>,
}

impl RateLimitColumns {
    /// How many events in a period.
    pub fn events(&self) -> Option<i32> {
        self.rate_limit_events
    }

    /// The seconds of a period.
    pub fn seconds(&self) -> Option<i32> {
        self.rate_limit_seconds
    }

    /// The limit, if there is one.
    pub fn limit(&self) -> Option<RateLimit> {
        RateLimit::from_columns(self.rate_limit_events, self.rate_limit_seconds)
    }
}

impl From<Option<RateLimit>> for RateLimitColumns {
    fn from(limit: Option<RateLimit>) -> Self {
        // Both are far below the largest of their type.
        let column = |value: u32| i32::try_from(value).unwrap_or(i32::MAX);
        Self {
            rate_limit_events: limit.map(|limit| column(limit.count())),
            rate_limit_seconds: limit.map(|limit| column(limit.period_seconds())),
        }
    }
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
    /// When it expires; `None` if it does not.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was last used, to some ten minutes; `None` if it never was.
    pub last_used_at: Option<DateTime<Utc>>,
    /// Since when it is refused; `None` while it is valid.
    pub revoked_at: Option<DateTime<Utc>>,
    /// How many events are taken in with it, where it says so.
    #[sqlx(flatten)]
    pub rate_limit: RateLimitColumns,
}

/// What is to change of an API key; `None` stays as it is.
#[derive(Clone, Debug, Default)]
pub struct ApiKeyChange {
    /// The new name.
    pub name: Option<Name>,
    /// The new rate limit, or that there is to be none.
    pub rate_limit: Option<Option<RateLimit>>,
}

impl ApiKey {
    /// Its place in lists.
    pub fn cursor(&self) -> Cursor {
        Cursor { time: self.created_at, id: self.id.0 }
    }
}
