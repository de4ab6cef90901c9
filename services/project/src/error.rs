//! Everything that can go wrong in a call once the caller is let through and the request is well-formed.

use mesher_common::{
    db::DatabaseError,
    id::{ApiKeyId, OrgId, ProjectId},
    secret::NoRandomness,
    status,
    text::Slug,
};
use tonic::Status;

/// Why a call fails.
#[derive(Debug, thiserror::Error)]
pub enum ProjectError {
    /// Another project of the organization has the slug.
    #[error("the slug {0} is taken")]
    SlugTaken(Slug),
    /// The organization was deleted since the caller was let through.
    #[error("there is no organization {0}")]
    OrgNotFound(OrgId),
    /// The project was deleted since the caller was let through.
    #[error("there is no project {0}")]
    ProjectNotFound(ProjectId),
    /// The API key was deleted since the caller was let through.
    #[error("there is no API key {0}")]
    ApiKeyNotFound(ApiKeyId),
    /// The project has more events than could be deleted in the time of a call.
    #[error("the deletion of project {0} is not finished")]
    DeletionUnfinished(ProjectId),
    /// No key can be made.
    #[error(transparent)]
    NoRandomness(#[from] NoRandomness),
    /// The database did not do its part.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl From<ProjectError> for Status {
    fn from(error: ProjectError) -> Self {
        match error {
            ProjectError::SlugTaken(slug) => status::already_exists(
                "slug",
                format!("another project of the organization has the slug {slug}"),
            ),
            ProjectError::OrgNotFound(id) => status::not_found("organization", &id.to_string()),
            ProjectError::ProjectNotFound(id) => status::not_found("project", &id.to_string()),
            ProjectError::ApiKeyNotFound(id) => status::not_found("api key", &id.to_string()),
            ProjectError::DeletionUnfinished(id) => status::overloaded(format!(
                "the project {id} has so many events that some are left to delete: call it again to go on"
            )),
            ProjectError::NoRandomness(error) => status::internal(&error),
            ProjectError::Database(error) => error.into(),
        }
    }
}
