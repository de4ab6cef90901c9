//! The SQL of reading the audit log; entries are written by [`mesher_common::audit`].

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
}
