//! Everything that can go wrong in a call once the caller is let through and the request is well-formed.

use mesher_common::{db::DatabaseError, id::OrgId, status, text::Slug};
use tonic::Status;

/// Why a call fails.
#[derive(Debug, thiserror::Error)]
pub enum OrgError {
    /// Another organization has the slug.
    #[error("the slug {0} is taken")]
    SlugTaken(Slug),
    /// The organization was deleted since the caller was let through.
    #[error("there is no organization {0}")]
    NotFound(OrgId),
    /// The database did not do its part.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl From<OrgError> for Status {
    fn from(error: OrgError) -> Self {
        match error {
            OrgError::SlugTaken(slug) => {
                status::already_exists("slug", format!("another organization has the slug {slug}"))
            }
            OrgError::NotFound(id) => status::not_found("organization", &id.to_string()),
            OrgError::Database(error) => error.into(),
        }
    }
}
