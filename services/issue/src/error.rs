//! Everything that can go wrong in a call once the caller is let through and the request is well-formed.

use mesher_common::{db::DatabaseError, id::EventId, status};
use tonic::Status;

/// Why a call fails.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// The project has no such event.
    #[error("there is no event {0:?}")]
    EventNotFound(EventId),
    /// A stored payload does not decompress.
    #[error("the payload of event {event:?} is damaged")]
    PayloadDamaged {
        /// The event.
        event: EventId,
        /// What is wrong with it.
        #[source]
        cause: std::io::Error,
    },
    /// The database did not do its part.
    #[error(transparent)]
    Database(#[from] DatabaseError),
}

impl From<IssueError> for Status {
    fn from(error: IssueError) -> Self {
        match error {
            IssueError::EventNotFound(id) => status::not_found("event", &id.to_hex()),
            IssueError::PayloadDamaged { .. } => status::internal(&error),
            IssueError::Database(error) => error.into(),
        }
    }
}
