//! The SQL of organization members, with the rules about owners, which hold only inside a transaction.

use chrono::{DateTime, Utc};
use mesher_common::{
    access::{self, DbRole},
    audit::{Entry, Kind},
    db::DatabaseError,
    id::{OrgId, UserId},
    paging::Page,
};
use mesher_proto::access::Role;
use sqlx::{PgConnection, PgTransaction};
use tracing::instrument;

use crate::{
    email::Address,
    error::UserError,
    store::{Store, of_address, visible},
    user::Member,
};

/// Whom to add.
#[derive(Clone, Debug)]
pub enum Candidate {
    /// The user with an id, if the caller may see that user.
    Id(UserId),
    /// The user with an e-mail address.
    Email(Address),
}

impl Store {
    /// Adds a user to the organization of `by`, who does it.
    #[instrument(name = "db.member.add", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
    pub async fn add_member(
        &self,
        by: &access::Member,
        candidate: &Candidate,
        role: Role,
        now: DateTime<Utc>,
    ) -> Result<Member, UserError> {
        let org = by.org_id;
        let mut transaction = self.pool().begin().await.map_err(DatabaseError::from)?;
        let owners = Owners::lock(&mut transaction, by, Role::Admin).await?;
        owners.allow(role == Role::Owner)?;
        let user = candidate_id(&mut transaction, candidate, by.user_id).await?;
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
        record(&mut transaction, by.does().detail("role", role.to_string()), user, now).await?;
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

    /// Changes the role of a member of the organization of `by`, who does it.
    #[instrument(name = "db.member.update", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
    pub async fn update_member(
        &self,
        by: &access::Member,
        user: UserId,
        role: Role,
        now: DateTime<Utc>,
    ) -> Result<Member, UserError> {
        let mut transaction = self.pool().begin().await.map_err(DatabaseError::from)?;
        let owners = Owners::lock(&mut transaction, by, Role::Admin).await?;
        owners.allow(owners.have(user) || role == Role::Owner)?;
        if role != Role::Owner {
            owners.spare(user)?;
        }
        sqlx::query("UPDATE org_members SET role = $3 WHERE org_id = $1 AND user_id = $2")
            .bind(by.org_id)
            .bind(user)
            .bind(DbRole::from(role))
            .execute(&mut *transaction)
            .await
            .map_err(DatabaseError::from)?;
        let member = member(&mut transaction, by.org_id, user).await?;
        record(&mut transaction, by.does().detail("role", role.to_string()), user, now).await?;
        transaction.commit().await.map_err(DatabaseError::from)?;
        Ok(member)
    }

    /// Ends a membership in the organization of `by`, who does it: an admin, or the member.
    #[instrument(name = "db.member.remove", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
    pub async fn remove_member(
        &self,
        by: &access::Member,
        user: UserId,
        now: DateTime<Utc>,
    ) -> Result<(), UserError> {
        let least = if user == by.user_id { Role::Member } else { Role::Admin };
        let mut transaction = self.pool().begin().await.map_err(DatabaseError::from)?;
        let owners = Owners::lock(&mut transaction, by, least).await?;
        owners.allow(owners.have(user))?;
        owners.spare(user)?;
        let done = sqlx::query("DELETE FROM org_members WHERE org_id = $1 AND user_id = $2")
            .bind(by.org_id)
            .bind(user)
            .execute(&mut *transaction)
            .await
            .map_err(DatabaseError::from)?;
        if done.rows_affected() == 0 {
            return Err(UserError::MemberNotFound(user));
        }
        record(&mut transaction, by.does(), user, now).await?;
        transaction.commit().await.map_err(DatabaseError::from)?;
        Ok(())
    }
}

/// The owners of an organization, whose rows are locked until the end of the transaction, and the role that the caller
/// has meanwhile.
///
/// So the changes of an organization's members come one after the other: of two that would each remove another of the
/// last two owners, the second waits, and then sees the owners that the first left; and whoever was removed or demoted
/// by the first has no say in the second.
struct Owners {
    owners: Vec<UserId>,
    caller: Role,
}

impl Owners {
    async fn lock(
        transaction: &mut PgTransaction<'_>,
        by: &access::Member,
        least: Role,
    ) -> Result<Self, UserError> {
        // By itself, and before the owners are read: a statement that waited would not see who became one meanwhile.
        sqlx::query("SELECT pg_advisory_xact_lock(hashtextextended('mesher.members.' || $1::text, 0))")
            .bind(by.org_id)
            .execute(&mut **transaction)
            .await
            .map_err(DatabaseError::from)?;
        let owners: Vec<UserId> = sqlx::query_scalar(
            "SELECT user_id FROM org_members WHERE org_id = $1 AND role = 'owner' ORDER BY user_id FOR UPDATE",
        )
        .bind(by.org_id)
        .fetch_all(&mut **transaction)
        .await
        .map_err(DatabaseError::from)?;
        let caller: Option<DbRole> =
            sqlx::query_scalar("SELECT role FROM org_members WHERE org_id = $1 AND user_id = $2")
                .bind(by.org_id)
                .bind(by.user_id)
                .fetch_optional(&mut **transaction)
                .await
                .map_err(DatabaseError::from)?;
        let caller = caller.map(Role::from).ok_or(UserError::OrgNotFound(by.org_id))?;
        if caller < least {
            return Err(UserError::RoleInsufficient(least));
        }
        Ok(Self { owners, caller })
    }

    fn have(&self, user: UserId) -> bool {
        self.owners.contains(&user)
    }

    /// Only an owner makes, changes or removes an owner.
    fn allow(&self, touches_owner: bool) -> Result<(), UserError> {
        if touches_owner && self.caller < Role::Owner {
            return Err(UserError::RoleInsufficient(Role::Owner));
        }
        Ok(())
    }

    /// The last owner stays.
    fn spare(&self, user: UserId) -> Result<(), UserError> {
        if self.owners.iter().any(|owner| *owner != user) { Ok(()) } else { Err(UserError::LastOwner) }
    }
}

async fn record(
    connection: &mut PgConnection,
    done: Entry,
    user: UserId,
    now: DateTime<Utc>,
) -> Result<(), DatabaseError> {
    done.record(connection, Kind::User, user.0, now).await
}

async fn candidate_id(
    connection: &mut PgConnection,
    candidate: &Candidate,
    viewer: UserId,
) -> Result<UserId, UserError> {
    let (found, wanted): (Option<UserId>, String) = match candidate {
        // Whoever knows an id would learn from it the name and the address of a user whom GetUser keeps to itself.
        Candidate::Id(id) => (visible(connection, *id, viewer).await?.map(|user| user.id), id.to_string()),
        Candidate::Email(address) => (
            sqlx::query_scalar(concat!("SELECT id", of_address!()))
                .bind(address.email())
                .bind(address.written())
                .fetch_optional(connection)
                .await
                .map_err(DatabaseError::from)?,
            address.written().to_owned(),
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
