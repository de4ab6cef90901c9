//! `OrgService`: proto to domain and back.

use mesher_common::{
    access::Access,
    clock::{Clock, timestamp},
    id::OrgId,
    paging::Page,
    text::{Name, Slug},
};
use mesher_proto::mesher::org::v1::{self as proto, org_service_server::OrgService};
use tonic::{Request, Response, Status};

use crate::{org::Org, store::Store};

/// The service.
#[derive(Clone, Debug)]
pub struct Service {
    access: Access,
    store: Store,
    clock: Clock,
}

impl Service {
    /// The service on `store`, by the time of `clock`, for callers whom `access` lets through.
    pub fn new(access: Access, store: Store, clock: Clock) -> Self {
        Self { access, store, clock }
    }
}

#[tonic::async_trait]
impl OrgService for Service {
    async fn create_org(
        &self,
        request: Request<proto::CreateOrgRequest>,
    ) -> Result<Response<proto::CreateOrgResponse>, Status> {
        let (caller, request) = self.access.session(request).await?;
        let name = Name::parse("name", &request.name)?;
        let slug = Slug::parse_or_derive("slug", &request.slug, &name)?;
        let org = Org { id: OrgId::new(), name, slug, created_at: self.clock.now() };
        self.store.create(&org, caller.user_id, caller.does()).await?;
        Ok(Response::new(proto::CreateOrgResponse { org: Some(org.into()) }))
    }

    async fn get_org(
        &self,
        request: Request<proto::GetOrgRequest>,
    ) -> Result<Response<proto::GetOrgResponse>, Status> {
        let (caller, _) = self.access.role(request).await?;
        let org = self.store.get(caller.org_id).await?;
        Ok(Response::new(proto::GetOrgResponse { org: Some(org.into()) }))
    }

    async fn list_orgs(
        &self,
        request: Request<proto::ListOrgsRequest>,
    ) -> Result<Response<proto::ListOrgsResponse>, Status> {
        let (caller, request) = self.access.session(request).await?;
        let scope = format!("orgs of {}", caller.user_id);
        let page = Page::parse(scope, request.page_size, &request.page_token)?;
        let mut orgs = self.store.list(caller.user_id, &page).await?;
        let next_page_token = page.finish(&mut orgs, Org::cursor);
        let orgs = orgs.into_iter().map(Into::into).collect();
        Ok(Response::new(proto::ListOrgsResponse { orgs, next_page_token }))
    }
}

impl From<Org> for proto::Org {
    fn from(org: Org) -> Self {
        Self {
            org_id: org.id.to_string(),
            name: org.name.as_str().to_owned(),
            slug: org.slug.as_str().to_owned(),
            create_time: Some(timestamp(org.created_at)),
        }
    }
}
