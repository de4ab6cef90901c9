//! What the failure of a call says of its replica, and whether the call may be made again.

use std::error::Error;

use mesher_common::status::{self, reason_name};
use mesher_proto::mesher::error::v1::ErrorReason;
use tonic::{Code, ConnectError, Status, TimeoutExpired};
use tonic_types::StatusExt as _;

/// Whether a call that failed may be made again, at another replica or later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Again {
    /// It was answered, or nobody knows better elsewhere.
    Never,
    /// It may have been obeyed although its answer was lost: only if that does no harm.
    IfIdempotent,
    /// It was never sent.
    Always,
}

/// A call that failed.
#[derive(Debug)]
pub(crate) struct Failure {
    /// How.
    pub(crate) status: Status,
    /// Whether it may be made again.
    pub(crate) again: Again,
    /// Whether its replica is away.
    pub(crate) away: bool,
}

impl Failure {
    /// The connection was lost while the call was in hand.
    pub(crate) fn lost(service: &str) -> Self {
        Self { status: status::service_unavailable(service), again: Again::IfIdempotent, away: true }
    }

    /// It is known that the call was never sent.
    pub(super) fn never_sent(self) -> Self {
        Self { again: Again::Always, ..self }
    }

    /// A stream ended with `status` while a parcel was in hand on it.
    ///
    /// What a status says of the parcel, if it is not of the stream, it says with a reason. Without one, as when an answer is
    /// too large to be read, nothing is known of the parcel; nor if the stream has no leave to go on: each parcel has a key of
    /// its own, and its sender is not to be told that it is wrong.
    pub(super) fn of_stream(service: &str, status: Status) -> Self {
        let says_why = status.get_details_error_info().is_some() && status.code() != Code::Unauthenticated;
        let failure = Self::from(status);
        if failure.again != Again::Never || says_why {
            return failure;
        }
        Self { status: status::service_unavailable(service), again: Again::IfIdempotent, away: false }
    }
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        let (again, away) = if caused_by::<ConnectError>(&status) {
            (Again::Always, true)
        } else if let Some(info) = status.get_details_error_info() {
            let [stopping, no_disk] =
                [ErrorReason::ShuttingDown, ErrorReason::DiskUnavailable].map(reason_name);
            match info.reason.as_str() {
                reason if reason == stopping => (Again::IfIdempotent, true),
                // Another replica has another disk. This one says itself when it can be written again.
                reason if reason == no_disk => (Again::IfIdempotent, true),
                _ => (Again::Never, false),
            }
        } else if status.code() == Code::DeadlineExceeded || caused_by::<TimeoutExpired>(&status) {
            (Again::Never, false)
        } else if status.source().is_some() || status.code() == Code::Unavailable {
            (Again::IfIdempotent, true)
        } else {
            (Again::Never, false)
        };
        Self { status, again, away }
    }
}

/// Whether `E` is among the causes of a status.
pub(crate) fn caused_by<E: Error + 'static>(status: &Status) -> bool {
    let mut cause = status.source();
    while let Some(error) = cause {
        if error.is::<E>() {
            return true;
        }
        cause = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_replica_did_not_answer_is_tried_again() {
        for (status, again, away) in [
            (Status::unavailable("no connection"), Again::IfIdempotent, true),
            (status::shutting_down(), Again::IfIdempotent, true),
            (status::disk_unavailable("full"), Again::IfIdempotent, true),
            (status::database_unavailable(&std::fmt::Error), Again::Never, false),
            (status::overloaded("too much"), Again::Never, false),
            (status::not_found("project", "1"), Again::Never, false),
            (Status::deadline_exceeded("late"), Again::Never, false),
            (Status::from_error(Box::new(ConnectError("refused".into()))), Again::Always, true),
            (Status::from_error(Box::new(TimeoutExpired(()))), Again::Never, false),
        ] {
            let failure = Failure::from(status);
            assert_eq!((failure.again, failure.away), (again, away), "{failure:?}");
        }
    }

    #[test]
    fn the_end_of_a_stream_is_no_answer_to_a_parcel_unless_it_says_why() {
        for (status, again, code) in [
            (Status::out_of_range("an answer of 17 MiB"), Again::IfIdempotent, Code::Unavailable),
            (Status::internal("a reset"), Again::IfIdempotent, Code::Unavailable),
            (status::credentials_missing("no parcel had a key"), Again::IfIdempotent, Code::Unavailable),
            (status::shutting_down(), Again::IfIdempotent, Code::Unavailable),
            (status::overloaded("too much"), Again::Never, Code::ResourceExhausted),
        ] {
            let failure = Failure::of_stream("writer", status);
            assert_eq!((failure.again, failure.status.code()), (again, code), "{failure:?}");
        }
    }
}
