//! The SQL of organization members, with the rules about owners, which hold only inside a transaction.

use chrono::{DateTime, Utc};
use mesher_common::{
    access::DbRole,
    db::DatabaseError,
    id::{OrgId, UserId},
    paging::Page,
};
use mesher_proto::access::Role;
use sqlx::{PgConnection, PgTransaction};
use tracing::instrument;

use crate::{email::Email, error::UserError, store::Store, user::Member};

/// Whom to add.
#[derive(Clone, Debug)]
pub enum Candidate {
    /// The user with an id.
    Id(UserId),
    /// The user with an e-mail address.
    Email(Email),
}

impl Store {
    /// Adds a user to an organization. `by` is the role of the member who does it.
    #[instrument(name = "db.member.add", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
    pub async fn add_member(
        &self,
        org: OrgId,
        candidate: &Candidate,
        role: Role,
        by: Role,
        now: DateTime<Utc>,
    ) -> Result<Member, UserError> {
        if role == Role::Owner && by < Role::Owner {
            return Err(UserError::OwnerNeeded);
        }
        let mut transaction = self.pool().begin().await.map_err(DatabaseError::from)?;
        let user = candidate_id(&mut transaction, candidate).await?;
        sqlx::query("INSERT INTO org_members (org_id, user_id, role, created_at) VALUES ($1, $2, $3, $4)")
            .bind(org)
            .bind(user)
            .bind(DbRole::from(role))
            .bind(now)
            .execute(&mut *transaction)
            .await
            .map_err(|error| {
                let error = DatabaseError::from(error);
                match error.constraint() {
                    Some("org_members_pkey") => UserError::AlreadyMember(user),
                    _ => error.into(),
                }
            })?;
        let member = member(&mut transaction, org, user).await?;
        transaction.commit().await.map_err(DatabaseError::from)?;
        Ok(member)
    }

    /// A page of an organization's members, those who joined last first.
    #[instrument(name = "db.member.list", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
    pub async fn list_members(&self, org: OrgId, page: &Page) -> Result<Vec<Member>, UserError> {
        let members = sqlx::query_as(
            "SELECT m.org_id, m.user_id, m.role, u.email, u.name, m.created_at
             FROM org_members m JOIN users u ON u.id = m.user_id
             WHERE m.org_id = $1 AND ($2::timestamptz IS NULL OR (m.created_at, m.user_id) < ($2, $3))
             ORDER BY m.created_at DESC, m.user_id DESC
             LIMIT $4",
        )
        .bind(org)
        .bind(page.after_time())
        .bind(page.after_id())
        .bind(page.limit())
        .fetch_all(self.pool())
        .await
        .map_err(DatabaseError::from)?;
        Ok(members)
    }

    /// Changes a member's role. `by` is the role of the member who does it.
    #[instrument(name = "db.member.update", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
    pub async fn update_member(
        &self,
        org: OrgId,
        user: UserId,
        role: Role,
        by: Role,
    ) -> Result<Member, UserError> {
        let mut transaction = self.pool().begin().await.map_err(DatabaseError::from)?;
        guard_owners(&mut transaction, org, user, Some(role), by).await?;
        sqlx::query("UPDATE org_members SET role = $3 WHERE org_id = $1 AND user_id = $2")
            .bind(org)
            .bind(user)
            .bind(DbRole::from(role))
            .execute(&mut *transaction)
            .await
            .map_err(DatabaseError::from)?;
        let member = member(&mut transaction, org, user).await?;
        transaction.commit().await.map_err(DatabaseError::from)?;
        Ok(member)
    }

    /// Ends a membership. `by` is the role of the member who does it.
    #[instrument(name = "db.member.remove", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
    pub async fn remove_member(&self, org: OrgId, user: UserId, by: Role) -> Result<(), UserError> {
        let mut transaction = self.pool().begin().await.map_err(DatabaseError::from)?;
        guard_owners(&mut transaction, org, user, None, by).await?;
        let done = sqlx::query("DELETE FROM org_members WHERE org_id = $1 AND user_id = $2")
            .bind(org)
            .bind(user)
            .execute(&mut *transaction)
            .await
            .map_err(DatabaseError::from)?;
        if done.rows_affected() == 0 {
            return Err(UserError::MemberNotFound(user));
        }
        transaction.commit().await.map_err(DatabaseError::from)?;
        Ok(())
    }
}

/// Holds a change to the rules: only an owner makes, changes or removes an owner, and the last one stays.
///
/// Locks the owners' rows until the end of the transaction. Of two that would each remove another of the last two
/// owners, the second waits, and then sees the owners that the first left.
async fn guard_owners(
    transaction: &mut PgTransaction<'_>,
    org: OrgId,
    user: UserId,
    new_role: Option<Role>,
    by: Role,
) -> Result<(), UserError> {
    let owners: Vec<UserId> = sqlx::query_scalar(
        "SELECT user_id FROM org_members WHERE org_id = $1 AND role = 'owner' ORDER BY user_id FOR UPDATE",
    )
    .bind(org)
    .fetch_all(&mut **transaction)
    .await
    .map_err(DatabaseError::from)?;
    let is_owner = owners.contains(&user);
    let stays_owner = new_role == Some(Role::Owner);
    if (is_owner || stays_owner) && by < Role::Owner {
        return Err(UserError::OwnerNeeded);
    }
    if is_owner && !stays_owner && owners.len() == 1 {
        return Err(UserError::LastOwner);
    }
    Ok(())
}

async fn candidate_id(connection: &mut PgConnection, candidate: &Candidate) -> Result<UserId, UserError> {
    let (found, wanted): (Option<UserId>, String) = match candidate {
        Candidate::Id(id) => (
            sqlx::query_scalar("SELECT id FROM users WHERE id = $1")
                .bind(id)
                .fetch_optional(connection)
                .await
                .map_err(DatabaseError::from)?,
            id.to_string(),
        ),
        Candidate::Email(email) => (
            sqlx::query_scalar("SELECT id FROM users WHERE lower(email) = lower($1)")
                .bind(email)
                .fetch_optional(connection)
                .await
                .map_err(DatabaseError::from)?,
            email.as_str().to_owned(),
        ),
    };
    found.ok_or(UserError::UserNotFound(wanted))
}

async fn member(connection: &mut PgConnection, org: OrgId, user: UserId) -> Result<Member, UserError> {
    sqlx::query_as(
        "SELECT m.org_id, m.user_id, m.role, u.email, u.name, m.created_at
         FROM org_members m JOIN users u ON u.id = m.user_id
         WHERE m.org_id = $1 AND m.user_id = $2",
    )
    .bind(org)
    .bind(user)
    .fetch_optional(connection)
    .await
    .map_err(DatabaseError::from)?
    .ok_or(UserError::MemberNotFound(user))
}
