//! `ProjectService`: proto to domain and back.

use std::time::Duration;

use mesher_common::{
    access::Access,
    clock::{Clock, timestamp},
    id::{ApiKeyId, ProjectId},
    paging::Page,
    public_url::{PUBLIC_URL_HEADER, PublicUrl},
    rate_limit::{MAX_COUNT, MAX_PERIOD, RateLimit},
    rpc::CALL_TIMEOUT,
    secret::{API_KEY_SHOWN, Secret},
    status::Violation,
    text::{Name, Slug},
};
use mesher_proto::mesher::project::v1::{self as proto, project_service_server::ProjectService};
use tonic::{Request, Response, Status, metadata::MetadataMap};

use crate::{
    error::ProjectError,
    project::{ApiKey, ApiKeyChange, NewProject, Project, ProjectChange, RateLimitColumns},
    store::Store,
};

/// What an API key is called when nobody says.
const DEFAULT_KEY_NAME: &str = "default";

/// The longest that an API key is good for, if it expires.
const MAX_KEY_LIFETIME: Duration = Duration::from_hours(24 * 365 * 10);

/// How long a call goes on deleting events; the rest of the time that a call may take is for what it is in the middle of.
const DELETION_TIME: Duration = Duration::from_secs(CALL_TIMEOUT.as_secs() / 2);

/// The service.
#[derive(Clone, Debug)]
pub struct Service {
    access: Access,
    store: Store,
    public_url: Option<PublicUrl>,
    gateway_url: Option<PublicUrl>,
    clock: Clock,
}

impl Service {
    /// The service on `store`, by the time of `clock`, for callers whom `access` lets through. DSNs begin with
    /// `public_url`, with the one that a call came to, or with `gateway_url`.
    pub fn new(
        access: Access,
        store: Store,
        (public_url, gateway_url): (Option<PublicUrl>, Option<PublicUrl>),
        clock: Clock,
    ) -> Self {
        Self { access, store, public_url, gateway_url, clock }
    }

    /// What the gateway is called by, as far as it is known: a wrong one would cost whoever uses it their events.
    fn public_url(&self, metadata: &MetadataMap) -> Option<PublicUrl> {
        let told = || metadata.get(PUBLIC_URL_HEADER)?.to_str().ok()?.parse().ok();
        self.public_url.clone().or_else(told).or_else(|| self.gateway_url.clone())
    }
}

#[tonic::async_trait]
impl ProjectService for Service {
    async fn create_project(
        &self,
        request: Request<proto::CreateProjectRequest>,
    ) -> Result<Response<proto::CreateProjectResponse>, Status> {
        let (caller, request) = self.access.role(request).await?;
        let name = Name::parse("name", &request.name)?;
        let slug = Slug::parse_or_derive("slug", &request.slug, &name)?;
        let created_at = self.clock.now();
        let new = NewProject { id: ProjectId::new(), org_id: caller.org_id, name, slug, created_at };
        let project = self.store.create(new, caller.does()).await?;
        Ok(Response::new(proto::CreateProjectResponse { project: Some(project.into()) }))
    }

    async fn get_project(
        &self,
        request: Request<proto::GetProjectRequest>,
    ) -> Result<Response<proto::GetProjectResponse>, Status> {
        let (_, request) = self.access.role(request).await?;
        let project = self.store.get(ProjectId::parse("project_id", &request.project_id)?).await?;
        Ok(Response::new(proto::GetProjectResponse { project: Some(project.into()) }))
    }

    async fn list_projects(
        &self,
        request: Request<proto::ListProjectsRequest>,
    ) -> Result<Response<proto::ListProjectsResponse>, Status> {
        let (caller, request) = self.access.role(request).await?;
        let scope = format!("projects of {}", caller.org_id);
        let page = Page::parse(scope, request.page_size, &request.page_token)?;
        let mut projects = self.store.list(caller.org_id, &page).await?;
        let next_page_token = page.finish(&mut projects, Project::cursor);
        let projects = projects.into_iter().map(Into::into).collect();
        Ok(Response::new(proto::ListProjectsResponse { projects, next_page_token }))
    }

    async fn update_project(
        &self,
        request: Request<proto::UpdateProjectRequest>,
    ) -> Result<Response<proto::UpdateProjectResponse>, Status> {
        let (caller, request) = self.access.role(request).await?;
        let id = ProjectId::parse("project_id", &request.project_id)?;
        let change = ProjectChange {
            name: request.name.as_deref().map(|name| Name::parse("name", name)).transpose()?,
            slug: request.slug.as_deref().map(|slug| Slug::parse("slug", slug)).transpose()?,
            rate_limit: request.rate_limit.map(rate_limit).transpose()?,
        };
        if change.name.is_none() && change.slug.is_none() && change.rate_limit.is_none() {
            let description = "is not set, and neither are slug and rate_limit: nothing would change";
            return Err(Violation::new("name", description).into());
        }
        let project = self.store.update(id, change, (self.clock.now(), caller.does())).await?;
        Ok(Response::new(proto::UpdateProjectResponse { project: Some(project.into()) }))
    }

    async fn delete_project(
        &self,
        request: Request<proto::DeleteProjectRequest>,
    ) -> Result<Response<proto::DeleteProjectResponse>, Status> {
        let (caller, request) = self.access.role(request).await?;
        let id = ProjectId::parse("project_id", &request.project_id)?;
        self.store.delete(id, (self.clock.now(), caller.does()), DELETION_TIME).await?;
        tracing::info!(project_id = %id, org_id = %caller.org_id, by = %caller.user_id, "project deleted");
        Ok(Response::new(proto::DeleteProjectResponse {}))
    }

    async fn create_api_key(
        &self,
        request: Request<proto::CreateApiKeyRequest>,
    ) -> Result<Response<proto::CreateApiKeyResponse>, Status> {
        let public_url = self.public_url(request.metadata());
        let (caller, request) = self.access.role(request).await?;
        let project_id = ProjectId::parse("project_id", &request.project_id)?;
        let name = if request.name.is_empty() { DEFAULT_KEY_NAME } else { &request.name };
        let name = Name::parse("name", name)?;
        let secret = Secret::new_api_key().map_err(ProjectError::from)?;
        let lifetime = lifetime(request.lifetime_seconds)?;
        let now = self.clock.now();
        let key = ApiKey {
            id: ApiKeyId::new(),
            project_id,
            name,
            prefix: secret.expose().chars().take(API_KEY_SHOWN).collect(),
            created_at: now,
            expires_at: lifetime.map(|lifetime| now + lifetime),
            last_used_at: None,
            revoked_at: None,
            rate_limit: request.rate_limit.map(rate_limit).transpose()?.flatten().into(),
        };
        let project_number = self.store.create_key(&key, secret.sha256(), caller.does()).await?;
        Ok(Response::new(proto::CreateApiKeyResponse {
            api_key: Some(key.into()),
            secret: secret.expose().to_owned(),
            dsn: public_url.map(|url| url.dsn(&secret, project_number)).unwrap_or_default(),
        }))
    }

    async fn list_api_keys(
        &self,
        request: Request<proto::ListApiKeysRequest>,
    ) -> Result<Response<proto::ListApiKeysResponse>, Status> {
        let (_, request) = self.access.role(request).await?;
        let project_id = ProjectId::parse("project_id", &request.project_id)?;
        let scope = format!("api keys of {project_id}");
        let page = Page::parse(scope, request.page_size, &request.page_token)?;
        let mut keys = self.store.list_keys(project_id, &page).await?;
        let next_page_token = page.finish(&mut keys, ApiKey::cursor);
        let api_keys = keys.into_iter().map(Into::into).collect();
        Ok(Response::new(proto::ListApiKeysResponse { api_keys, next_page_token }))
    }

    async fn revoke_api_key(
        &self,
        request: Request<proto::RevokeApiKeyRequest>,
    ) -> Result<Response<proto::RevokeApiKeyResponse>, Status> {
        let (caller, request) = self.access.role(request).await?;
        let id = ApiKeyId::parse("key_id", &request.key_id)?;
        let key = self.store.revoke_key(id, (self.clock.now(), caller.does())).await?;
        Ok(Response::new(proto::RevokeApiKeyResponse { api_key: Some(key.into()) }))
    }

    async fn update_api_key(
        &self,
        request: Request<proto::UpdateApiKeyRequest>,
    ) -> Result<Response<proto::UpdateApiKeyResponse>, Status> {
        let (caller, request) = self.access.role(request).await?;
        let id = ApiKeyId::parse("key_id", &request.key_id)?;
        let change = ApiKeyChange {
            name: request.name.as_deref().map(|name| Name::parse("name", name)).transpose()?,
            rate_limit: request.rate_limit.map(rate_limit).transpose()?,
        };
        if change.name.is_none() && change.rate_limit.is_none() {
            let description = "is not set, and neither is rate_limit: nothing would change";
            return Err(Violation::new("name", description).into());
        }
        let key = self.store.update_key(id, change, (self.clock.now(), caller.does())).await?;
        Ok(Response::new(proto::UpdateApiKeyResponse { api_key: Some(key.into()) }))
    }

    async fn get_project_by_api_key(
        &self,
        request: Request<proto::GetProjectByApiKeyRequest>,
    ) -> Result<Response<proto::GetProjectByApiKeyResponse>, Status> {
        let sender = self.access.api_key::<proto::GetProjectByApiKeyRequest>(request.metadata()).await?;
        let project = self.store.get(sender.project_id).await?;
        Ok(Response::new(proto::GetProjectByApiKeyResponse { project: Some(project.into()) }))
    }
}

/// Reads how long an API key is good for; nothing where it does not expire.
fn lifetime(seconds: i32) -> Result<Option<Duration>, Violation> {
    match u64::try_from(seconds).map(Duration::from_secs) {
        Ok(Duration::ZERO) => Ok(None),
        Ok(lifetime) if lifetime <= MAX_KEY_LIFETIME => Ok(Some(lifetime)),
        _ => {
            let description = format!("is not within 0 and {}", MAX_KEY_LIFETIME.as_secs());
            Err(Violation::new("lifetime_seconds", description))
        }
    }
}

/// Reads a rate limit; nothing where there is to be none.
fn rate_limit(limit: proto::RateLimit) -> Result<Option<RateLimit>, Violation> {
    let count = u32::try_from(limit.events);
    let count = count.map_err(|_| Violation::new("rate_limit.events", "is negative"))?;
    let longest = MAX_PERIOD.as_secs();
    let seconds = u32::try_from(limit.period_seconds).ok().filter(|seconds| u64::from(*seconds) <= longest);
    let wrong = || format!("is not within 0 and {longest}");
    let seconds = seconds.ok_or_else(|| Violation::new("rate_limit.period_seconds", wrong()))?;
    if count == 0 {
        return Ok(None);
    }
    let limit = RateLimit::new(count, seconds.max(1));
    let wrong = || format!("is more than {MAX_COUNT}");
    let limit = limit.ok_or_else(|| Violation::new("rate_limit.events", wrong()))?;
    Ok(Some(limit))
}

impl From<RateLimitColumns> for Option<proto::RateLimit> {
    fn from(columns: RateLimitColumns) -> Self {
        let (events, period_seconds) = columns.events().zip(columns.seconds())?;
        Some(proto::RateLimit { events, period_seconds })
    }
}

impl From<Project> for proto::Project {
    fn from(project: Project) -> Self {
        Self {
            project_id: project.id.to_string(),
            org_id: project.org_id.to_string(),
            number: project.number,
            name: project.name.as_str().to_owned(),
            slug: project.slug.as_str().to_owned(),
            create_time: Some(timestamp(project.created_at)),
            rate_limit: project.rate_limit.into(),
        }
    }
}

impl From<ApiKey> for proto::ApiKey {
    fn from(key: ApiKey) -> Self {
        Self {
            key_id: key.id.to_string(),
            project_id: key.project_id.to_string(),
            name: key.name.as_str().to_owned(),
            prefix: key.prefix,
            create_time: Some(timestamp(key.created_at)),
            revoke_time: key.revoked_at.map(timestamp),
            expire_time: key.expires_at.map(timestamp),
            last_use_time: key.last_used_at.map(timestamp),
            rate_limit: key.rate_limit.into(),
        }
    }
}
