//! The SQL of reading the audit log, and of deleting what is old in it; entries are written by [`mesher_common::audit`].

use mesher_common::{db::DatabaseError, id::OrgId, paging::Page};
use tracing::instrument;

use crate::{error::UserError, store::Store, user::AuditEvent};

impl Store {
    /// A page of what was done in an organization, the latest first.
    #[instrument(name = "db.audit.list", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
    pub async fn list_audit_events(&self, org: OrgId, page: &Page) -> Result<Vec<AuditEvent>, UserError> {
        let events = sqlx::query_as(
            "SELECT a.id, a.created_at, a.method, a.user_id, u.email, a.resource_kind, a.resource_id, a.details,
                 a.client_address, a.user_agent, a.request_id
             FROM audit_events a LEFT JOIN users u ON u.id = a.user_id
             WHERE a.org_id = $1 AND ($2::timestamptz IS NULL OR (a.created_at, a.id) < ($2, $3))
             ORDER BY a.created_at DESC, a.id DESC
             LIMIT $4",
        )
        .bind(org)
        .bind(page.after_time())
        .bind(page.after_id())
        .bind(page.limit())
        .fetch_all(self.pool())
        .await
        .map_err(DatabaseError::from)?;
        Ok(events)
    }

    /// Deletes events that are older than so many days, the oldest first, at most `limit`; how many it deleted.
    #[instrument(
        name = "db.audit.delete_old", skip_all,
        fields(otel.kind = "client", db.system.name = "postgresql")
    )]
    pub async fn delete_old_audit_events(&self, days: u16, limit: u32) -> Result<u64, UserError> {
        let deleted: i64 = sqlx::query_scalar("SELECT delete_old_audit_events($1, $2)")
            .bind(i32::from(days))
            .bind(i32::try_from(limit).unwrap_or(i32::MAX))
            .fetch_one(self.pool())
            .await
            .map_err(DatabaseError::from)?;
        Ok(u64::try_from(deleted).unwrap_or(0))
    }
}
