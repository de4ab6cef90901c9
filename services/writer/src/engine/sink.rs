//! Where batches go: PostgreSQL, in [`crate::store`].

use std::future::Future;

use mesher_common::db::DatabaseError;

use crate::event::Event;

/// What became of an event of a batch that was committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is in the table, by this try or by an earlier one whose answer was lost.
    Stored,
    /// Another event of its project has its id.
    Duplicate,
    /// Its project is gone.
    ProjectDeleted,
}

/// Why a batch was not committed.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The same batch may be committed later.
    #[error(transparent)]
    Unavailable(DatabaseError),
    /// The database refuses some of the batch for its data.
    #[error("refused with SQLSTATE {sqlstate}: {reason}")]
    Rejected {
        /// PostgreSQL's error code.
        sqlstate: String,
        /// PostgreSQL's error message.
        reason: String,
    },
}

/// Stores batches of events.
pub trait Sink: Send + Sync + 'static {
    /// Stores a batch in one transaction: an outcome for each event, or nothing was stored. After an error, the
    /// batch may be committed all the same, and is then found so by the next try.
    fn store(&self, batch: &[Event]) -> impl Future<Output = Result<Vec<Outcome>, SinkError>> + Send;

    /// Keeps an event that [`Sink::store`] rejected alone, with the reason.
    fn dead_letter(
        &self,
        event: &Event,
        sqlstate: &str,
        reason: &str,
    ) -> impl Future<Output = Result<(), SinkError>> + Send;
}
