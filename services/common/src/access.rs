//! Who may call: the one place where credentials are read and roles are compared. What each RPC needs comes from
//! its `mesher.access.v1.access` option; a handler gets at its request only through the check for it.

use mesher_proto::access::{ForAnyone, ForApiKey, ForRole, ForSession, Guarded, Role};
use sqlx::PgPool;
use tonic::{
    Request, Status,
    metadata::{MetadataMap, MetadataValue},
};
use tracing::instrument;
use uuid::Uuid;

use crate::{
    api_keys::{ApiKey, ApiKeys, Lookup as _, ResolveError},
    audit::Entry,
    db::DatabaseError,
    id::{OrgId, ProjectId, UserId},
    origin::{Origin, PeerArgs},
    rate_limit::RateLimit,
    secret::{Secret, SecretHash},
    status::{self, KeyFault, Violation},
};

/// The metadata key of an API key.
pub const API_KEY_HEADER: &str = "x-mesher-key";

/// The metadata key of the number of the project that the API key must belong to, where the caller names one: Sentry
/// SDKs have it in the path that they send to.
pub const PROJECT_NUMBER_HEADER: &str = "x-mesher-project";

/// Why a call is refused before its service sees it.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// There are no credentials, or none that can be read.
    #[error("{0}")]
    CredentialsMissing(&'static str),
    /// The session is unknown, has expired or was ended.
    #[error("the session is not valid")]
    SessionInvalid,
    /// The API key is not valid for the call.
    #[error("the API key is not valid: {0}")]
    ApiKeyInvalid(KeyFault),
    /// The id in the request is no id.
    #[error(transparent)]
    Invalid(#[from] Violation),
    /// The resource does not exist, or the caller is no member of its organization.
    #[error("there is no {kind} {id}, or none that the caller may see")]
    NotFound {
        /// What the id names.
        kind: &'static str,
        /// The id.
        id: Uuid,
    },
    /// The caller's role is too low.
    #[error("the role {0} is needed")]
    RoleInsufficient(Role),
    /// It could not be found out.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// It could not be found out whether the API key is valid.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
}

impl From<AccessError> for Status {
    fn from(error: AccessError) -> Self {
        match error {
            AccessError::CredentialsMissing(message) => status::credentials_missing(message),
            AccessError::SessionInvalid => status::session_invalid(),
            AccessError::ApiKeyInvalid(fault) => status::api_key_invalid(fault),
            AccessError::Invalid(violation) => violation.into(),
            AccessError::NotFound { kind, id } => status::not_found(kind, &id.to_string()),
            AccessError::RoleInsufficient(required) => status::role_insufficient(required),
            AccessError::Database(error) => (&error).into(),
            AccessError::Resolve(ResolveError::Database(error)) => error.as_ref().into(),
            AccessError::Resolve(error @ ResolveError::TimedOut) => status::database_unavailable(&error),
        }
    }
}

/// A caller with a valid session.
#[derive(Clone, Debug)]
pub struct SignedIn {
    /// The user.
    pub user_id: UserId,
    /// The session: its token's hash.
    pub session: SecretHash,
    /// Where the call comes from.
    pub origin: Origin,
}

impl SignedIn {
    /// What the caller does, for the audit log.
    pub fn does(&self) -> Entry {
        Entry::new(self.origin.clone()).by(self.user_id)
    }
}

/// A caller with a role in the organization that the request is about.
#[derive(Clone, Debug)]
pub struct Member {
    /// The user.
    pub user_id: UserId,
    /// The organization.
    pub org_id: OrgId,
    /// The user's role in it.
    pub role: Role,
    /// Where the call comes from.
    pub origin: Origin,
}

impl Member {
    /// What the caller does in the organization, for the audit log.
    pub fn does(&self) -> Entry {
        Entry::new(self.origin.clone()).by(self.user_id).in_org(self.org_id)
    }
}

/// A caller with a project's API key.
#[derive(Clone, Copy, Debug)]
pub struct Sender {
    /// The project.
    pub project_id: ProjectId,
    /// The key.
    pub key: SecretHash,
    /// How many events of the project are taken in, where it says so.
    pub project_limit: Option<RateLimit>,
    /// How many events are taken in with the key, where it says so.
    pub key_limit: Option<RateLimit>,
}

/// Checks callers against the database.
#[derive(Clone, Debug)]
pub struct Access {
    pool: PgPool,
    keys: Option<ApiKeys>,
    peers: PeerArgs,
}

impl Access {
    /// Asks the database about every call.
    pub fn new(pool: PgPool) -> Self {
        Self { pool, keys: None, peers: PeerArgs::default() }
    }

    /// Asks `keys` about API keys.
    #[must_use]
    pub fn with_api_keys(mut self, keys: ApiKeys) -> Self {
        self.keys = Some(keys);
        self
    }

    /// Believes `peers` to say whom a call is from; without this, nobody is.
    #[must_use]
    pub fn believing(mut self, peers: PeerArgs) -> Self {
        self.peers = peers;
        self
    }

    /// Lets anyone through, and says where the call comes from.
    pub fn anyone<R: ForAnyone>(&self, request: Request<R>) -> (Origin, R) {
        (self.origin(&request), request.into_inner())
    }

    fn origin<R: Guarded>(&self, request: &Request<R>) -> Origin {
        Origin::of(R::RPC, request.remote_addr(), request.metadata(), &self.peers)
    }

    /// Lets whoever holds a valid session through.
    pub async fn session<R: ForSession>(&self, request: Request<R>) -> Result<(SignedIn, R), AccessError> {
        let token = bearer_token(request.metadata())?;
        let (user_id, _) = self.session_access(token.sha256(), None).await?;
        let origin = self.origin(&request);
        Ok((SignedIn { user_id, session: token.sha256(), origin }, request.into_inner()))
    }

    /// Lets whoever has the RPC's role in the organization of the request's resource through.
    pub async fn role<R: ForRole>(&self, request: Request<R>) -> Result<(Member, R), AccessError> {
        let token = bearer_token(request.metadata())?;
        let resource = request.get_ref().resource();
        // A session comes before the id: a stranger learns nothing about what an id must look like.
        let id = match OrgId::parse(resource.field, resource.id) {
            Ok(id) => id.0,
            Err(violation) => {
                self.session_access(token.sha256(), None).await?;
                return Err(violation.into());
            }
        };
        let kind = resource.kind.name();
        let (user_id, membership) = self.session_access(token.sha256(), Some((kind, id))).await?;
        let (org_id, role) = membership.ok_or(AccessError::NotFound { kind, id })?;
        if role < R::LEAST {
            return Err(AccessError::RoleInsufficient(R::LEAST));
        }
        let origin = self.origin(&request);
        Ok((Member { user_id, org_id, role, origin }, request.into_inner()))
    }

    /// Lets whoever holds a project's API key through, and says which project's, and what may be sent with it. Where the call
    /// names a project by its number, the key must be that project's.
    pub async fn api_key<R: ForApiKey>(&self, metadata: &MetadataMap) -> Result<Sender, AccessError> {
        let text = metadata
            .get(API_KEY_HEADER)
            .ok_or(AccessError::CredentialsMissing("an API key is needed, as x-mesher-key"))?;
        let key = text.to_str().ok().and_then(Secret::parse_api_key);
        let hash = key.ok_or(AccessError::ApiKeyInvalid(KeyFault::Unknown))?.sha256();
        let found = match &self.keys {
            None => self.pool.look_up(&[hash]).await?.remove(&hash),
            Some(keys) => keys.get(hash).await?,
        };
        let found = found.ok_or(AccessError::ApiKeyInvalid(KeyFault::Unknown))?;
        let named = metadata.get(PROJECT_NUMBER_HEADER).map(MetadataValue::as_encoded_bytes);
        if named.is_some_and(|number| number != found.project_number.to_string().as_bytes()) {
            return Err(AccessError::ApiKeyInvalid(KeyFault::OtherProject));
        }
        if found.revoked {
            return Err(AccessError::ApiKeyInvalid(KeyFault::Revoked));
        }
        let ApiKey { project_id, project_limit, key_limit, .. } = found;
        Ok(Sender { project_id, key: hash, project_limit, key_limit })
    }

    /// The session's user and, of the resource's organization, the id and the user's role in it.
    #[instrument(name = "db.session_access", skip_all, fields(otel.kind = "client", db.system.name = "postgresql"))]
    async fn session_access(
        &self,
        token: SecretHash,
        resource: Option<(&'static str, Uuid)>,
    ) -> Result<(UserId, Option<(OrgId, Role)>), AccessError> {
        let row: Option<(UserId, Option<OrgId>, Option<DbRole>)> =
            sqlx::query_as("SELECT user_id, org_id, role FROM session_access($1, $2, $3)")
                .bind(token.as_bytes())
                .bind(resource.map(|(kind, _)| kind))
                .bind(resource.map(|(_, id)| id))
                .fetch_optional(&self.pool)
                .await
                .map_err(DatabaseError::from)?;
        let (user_id, org_id, role) = row.ok_or(AccessError::SessionInvalid)?;
        Ok((user_id, org_id.zip(role.map(Role::from))))
    }
}

/// The token in `authorization: Bearer TOKEN`; the scheme's case does not matter (RFC 9110).
fn bearer_token(metadata: &MetadataMap) -> Result<Secret, AccessError> {
    let mut values = metadata.get_all("authorization").iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return Err(AccessError::CredentialsMissing(
            "a session is needed: one `authorization: Bearer TOKEN` with the token of a login",
        ));
    };
    let unreadable = AccessError::CredentialsMissing("the authorization is not of the form `Bearer TOKEN`");
    let Some((scheme, token)) = value.to_str().ok().and_then(|value| value.split_once(' ')) else {
        return Err(unreadable);
    };
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(unreadable);
    }
    Secret::parse_session_token(token).ok_or(AccessError::SessionInvalid)
}

/// A role as the database has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "org_role", rename_all = "lowercase")]
pub enum DbRole {
    /// See [`Role::Member`].
    Member,
    /// See [`Role::Admin`].
    Admin,
    /// See [`Role::Owner`].
    Owner,
}

impl From<DbRole> for Role {
    fn from(role: DbRole) -> Self {
        match role {
            DbRole::Member => Self::Member,
            DbRole::Admin => Self::Admin,
            DbRole::Owner => Self::Owner,
        }
    }
}

impl From<Role> for DbRole {
    fn from(role: Role) -> Self {
        match role {
            Role::Member => Self::Member,
            Role::Admin => Self::Admin,
            Role::Owner => Self::Owner,
        }
    }
}
