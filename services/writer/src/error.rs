//! Everything that can go wrong in a call once the caller is let through.

use mesher_common::status;
use tonic::Status;

use crate::{admission::AdmissionError, engine::EngineError};

/// Why a call fails, or an event of it.
#[derive(Debug, thiserror::Error)]
pub enum WriterError {
    /// The event is refused.
    #[error(transparent)]
    Admission(#[from] AdmissionError),
    /// The engine did not do what it was asked to.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl From<WriterError> for Status {
    fn from(error: WriterError) -> Self {
        match error {
            WriterError::Admission(AdmissionError::Invalid(violation)) => violation.into(),
            WriterError::Admission(AdmissionError::TooLarge(violation)) => status::too_large(&violation),
            WriterError::Admission(AdmissionError::Compression(cause)) => status::internal(&cause),
            WriterError::Engine(EngineError::Overloaded) => {
                status::overloaded("the writer has too much to do: try again")
            }
            WriterError::Engine(EngineError::Closing) => status::shutting_down(),
            WriterError::Engine(EngineError::QuotaFull) => status::quota_exceeded(
                "as much waits on disk as may, of the project or of all: try again when some of it is stored",
            ),
            WriterError::Engine(EngineError::LogFailed) => {
                status::disk_unavailable("the writer's log on disk cannot be written: try again")
            }
            WriterError::Engine(error @ EngineError::FlushFailed) => status::database_unavailable(&error),
        }
    }
}
