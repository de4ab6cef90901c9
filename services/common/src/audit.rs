//! The audit log: who did what to what, when and from where. An entry is written in the transaction of what it tells of:
//! there is neither one without the other.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{
    db::DatabaseError,
    id::{AuditEventId, OrgId, UserId},
    origin::Origin,
};

/// The kinds of things that are changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An organization.
    Org,
    /// A project.
    Project,
    /// An API key.
    ApiKey,
    /// A user, also as a member.
    User,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Org => "organization",
            Self::Project => "project",
            Self::ApiKey => "api key",
            Self::User => "user",
        }
    }
}

/// What is to be written to the audit log.
#[derive(Clone, Debug)]
pub struct Entry {
    origin: Origin,
    user: Option<UserId>,
    org: Option<OrgId>,
    details: Map<String, Value>,
}

impl Entry {
    /// Something that the call of `origin` does.
    pub fn new(origin: Origin) -> Self {
        Self { origin, user: None, org: None, details: Map::new() }
    }

    /// It is done by `user`.
    #[must_use]
    pub fn by(mut self, user: UserId) -> Self {
        self.user = Some(user);
        self
    }

    /// It is done in `org`, whose admins may read of it.
    #[must_use]
    pub fn in_org(mut self, org: OrgId) -> Self {
        self.org = Some(org);
        self
    }

    /// It changes the field `name` to `value`, which is no secret.
    #[must_use]
    pub fn detail(mut self, name: &str, value: impl Into<String>) -> Self {
        self.details.insert(name.to_owned(), Value::String(value.into()));
        self
    }

    /// Writes it down: it was done to the `kind` with `id`, at `now`.
    pub async fn record(
        self,
        connection: &mut PgConnection,
        kind: Kind,
        id: Uuid,
        now: DateTime<Utc>,
    ) -> Result<(), DatabaseError> {
        sqlx::query(
            "INSERT INTO audit_events (id, created_at, org_id, user_id, method, resource_kind, resource_id, details,
                 client_address, user_agent, request_id)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
        )
        .bind(AuditEventId::new())
        .bind(now)
        .bind(self.org)
        .bind(self.user)
        .bind(full_name(self.origin.rpc))
        .bind(kind.name())
        .bind(id)
        .bind(Value::Object(self.details))
        .bind(self.origin.client.map(|client| client.to_string()))
        .bind(self.origin.user_agent)
        .bind(self.origin.request_id)
        .execute(connection)
        .await?;
        Ok(())
    }
}

/// The full name of the RPC with a path: `package.Service.Method`.
fn full_name(path: &str) -> String {
    path.trim_start_matches('/').replace('/', ".")
}

#[cfg(test)]
mod tests {
    use mesher_proto::{access::Guarded as _, mesher::user::v1::LoginRequest};

    #[test]
    fn an_rpc_has_the_name_that_the_descriptors_have() {
        assert_eq!(super::full_name(LoginRequest::RPC), "mesher.user.v1.UserService.Login");
    }
}
