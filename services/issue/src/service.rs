//! `IssueService`: proto to domain and back.

use mesher_common::{
    access::Access,
    clock::timestamp,
    id::{EventId, ProjectId},
    level::Level,
    paging::Page,
};
use mesher_proto::mesher::issue::v1::{self as proto, issue_service_server::IssueService};
use serde_json::Value;
use tonic::{Request, Response, Status};

use crate::{
    error::IssueError,
    event::{self, EventSummary},
    json::to_struct,
    store::Store,
};

/// About the most bytes on a page, so that an answer stays below the 16 MiB that the gateway takes.
const PAGE_BYTES: usize = 8 * 1024 * 1024;

/// The service.
#[derive(Clone, Debug)]
pub struct Service {
    access: Access,
    store: Store,
}

impl Service {
    /// The service on `store`.
    pub fn new(store: Store) -> Self {
        Self { access: Access::new(store.pool().clone()), store }
    }
}

#[tonic::async_trait]
impl IssueService for Service {
    async fn list_events(
        &self,
        request: Request<proto::ListEventsRequest>,
    ) -> Result<Response<proto::ListEventsResponse>, Status> {
        let (_, request) = self.access.role(request).await?;
        let project = ProjectId::parse("project_id", &request.project_id)?;
        let scope = format!("events of {project}");
        let mut page = Page::parse(scope.as_str(), request.page_size, &request.page_token)?;
        let mut events = self.store.list(project, &page, PAGE_BYTES).await?;
        let fitting = event::fitting(&events, PAGE_BYTES);
        if fitting < events.len() {
            // The same page, as if only so many had been asked for: the next one goes on from there.
            page = Page::parse(scope, i32::try_from(fitting).unwrap_or(i32::MAX), &request.page_token)?;
        }
        let next_page_token = page.finish(&mut events, EventSummary::cursor);
        let events = events.into_iter().map(Into::into).collect();
        Ok(Response::new(proto::ListEventsResponse { events, next_page_token }))
    }

    async fn get_event(
        &self,
        request: Request<proto::GetEventRequest>,
    ) -> Result<Response<proto::GetEventResponse>, Status> {
        let (_, request) = self.access.role(request).await?;
        let project = ProjectId::parse("project_id", &request.project_id)?;
        let id = EventId::parse("event_id", &request.event_id)?;
        let event = self.store.get(project, id).await?;
        let json = event.json().map_err(|cause| IssueError::PayloadDamaged { event: id, cause })?;
        Ok(Response::new(proto::GetEventResponse {
            event: Some(event.summary.into()),
            payload: Some(to_struct(json)),
        }))
    }
}

impl From<EventSummary> for proto::EventSummary {
    fn from(event: EventSummary) -> Self {
        let level = match event.level {
            Level::Debug => proto::Level::Debug,
            Level::Info => proto::Level::Info,
            Level::Warning => proto::Level::Warning,
            Level::Error => proto::Level::Error,
            Level::Fatal => proto::Level::Fatal,
        };
        let tags = match event.tags {
            Value::Object(tags) => tags
                .into_iter()
                .filter_map(|(name, value)| match value {
                    Value::String(text) => Some((name, text)),
                    _ => None,
                })
                .collect(),
            _ => std::collections::HashMap::new(),
        };
        Self {
            event_id: event.id.to_hex(),
            project_id: event.project_id.to_string(),
            receive_time: Some(timestamp(event.received_at)),
            occur_time: Some(timestamp(event.occurred_at)),
            level: level.into(),
            message: event.message.unwrap_or_default(),
            exception_type: event.exception_type.unwrap_or_default(),
            exception_value: event.exception_value.unwrap_or_default(),
            release: event.release.unwrap_or_default(),
            environment: event.environment.unwrap_or_default(),
            tags,
            user: event.user.map(to_struct),
            sdk_name: event.sdk_name.unwrap_or_default(),
            sdk_version: event.sdk_version.unwrap_or_default(),
            issue_id: event.issue_id.to_string(),
        }
    }
}
