//! Everything that can go wrong in a call once the caller is let through.

use mesher_common::status;
use tonic::Status;

use crate::{
    admission::AdmissionError,
    engine::{EngineError, account::RefuseReason},
    limits::LimitReached,
};

/// Why a call fails, or an event of it.
#[derive(Debug, thiserror::Error)]
pub enum WriterError {
    /// The event is refused.
    #[error(transparent)]
    Admission(#[from] AdmissionError),
    /// The event is beyond a rate limit.
    #[error(transparent)]
    RateLimited(#[from] LimitReached),
    /// The engine did not do what it was asked to.
    #[error(transparent)]
    Engine(#[from] EngineError),
}

impl WriterError {
    /// What an event is counted as that is refused with this before it comes to the engine.
    pub fn refuse_reason(&self) -> RefuseReason {
        match self {
            Self::Admission(AdmissionError::Invalid(_)) => RefuseReason::Invalid,
            Self::Admission(AdmissionError::TooLarge(_)) => RefuseReason::TooLarge,
            Self::RateLimited(_) => RefuseReason::RateLimited,
            Self::Admission(AdmissionError::Compression(_)) | Self::Engine(_) => RefuseReason::Internal,
        }
    }
}

impl From<WriterError> for Status {
    fn from(error: WriterError) -> Self {
        match error {
            WriterError::Admission(AdmissionError::Invalid(violation)) => violation.into(),
            WriterError::Admission(AdmissionError::TooLarge(violation)) => status::too_large(&violation),
            WriterError::Admission(AdmissionError::Compression(cause)) => status::internal(&cause),
            WriterError::RateLimited(LimitReached { scope, limit, wait }) => {
                status::rate_limited(scope, limit, wait)
            }
            WriterError::Engine(EngineError::Overloaded) => {
                status::overloaded("the writer has too much to do: try again")
            }
            WriterError::Engine(EngineError::Closing) => status::shutting_down(),
            WriterError::Engine(EngineError::QuotaFull) => status::quota_exceeded(
                "the quota on disk of the project, or of all projects, is full: try again when some of it is stored",
            ),
            WriterError::Engine(EngineError::LogFailed) => {
                status::disk_unavailable("the writer's log on disk cannot be written: try again")
            }
            WriterError::Engine(error @ EngineError::FlushFailed) => status::database_unavailable(&error),
        }
    }
}
