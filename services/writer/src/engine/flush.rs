//! One flush: a batch of events until each of them is settled.

use std::time::Duration;

use super::{
    account::{DropReason, Settled},
    sink::{Outcome, Sink, SinkError},
};
use crate::event::Event;

/// How long to wait before the second and the third try.
const RETRY_DELAYS: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(500)];

/// Stores a batch, and says of each event what became of it.
///
/// What the database does not take in is tried three times in all, and then dropped. A batch that is refused for
/// its data is halved until the bad event stands alone, which goes to the dead letters; the others are stored.
pub(super) async fn flush<S: Sink>(sink: &S, batch: &[Event]) -> Vec<Settled> {
    let mut settled = Vec::with_capacity(batch.len());
    // The parts that are still to be stored, the first on top.
    let mut parts = vec![batch];
    while let Some(part) = parts.pop() {
        match store(sink, part).await {
            Ok(outcomes) => settled.extend(outcomes.into_iter().map(Settled::from)),
            Err(SinkError::Unavailable(error)) => {
                tracing::error!(events = part.len(), %error, "events dropped: the database does not take them in");
                settled.extend(part.iter().map(|_| Settled::Dropped(DropReason::DatabaseFailed)));
            }
            Err(SinkError::Rejected { sqlstate, reason }) => {
                if let [event] = part {
                    settled.push(dead_letter(sink, event, &sqlstate, &reason).await);
                } else {
                    let (first, second) = part.split_at(part.len() / 2);
                    parts.extend([second, first]);
                }
            }
        }
    }
    settled
}

async fn store<S: Sink>(sink: &S, part: &[Event]) -> Result<Vec<Outcome>, SinkError> {
    for delay in RETRY_DELAYS {
        match sink.store(part).await {
            Err(SinkError::Unavailable(error)) => {
                tracing::warn!(events = part.len(), %error, ?delay, "a flush failed and is tried again");
                tokio::time::sleep(delay).await;
            }
            done => return done,
        }
    }
    sink.store(part).await
}

async fn dead_letter<S: Sink>(sink: &S, event: &Event, sqlstate: &str, reason: &str) -> Settled {
    tracing::error!(event = event.id.to_hex(), project = %event.project_id, sqlstate, reason, "event refused");
    for delay in RETRY_DELAYS.map(Some).into_iter().chain([None]) {
        match (sink.dead_letter(event, sqlstate, reason).await, delay) {
            (Ok(()), _) => return Settled::DeadLettered,
            (Err(SinkError::Unavailable(_)), Some(delay)) => tokio::time::sleep(delay).await,
            (Err(error), _) => {
                tracing::error!(%error, "event dropped: it cannot be kept as a dead letter");
                break;
            }
        }
    }
    Settled::Dropped(DropReason::DatabaseFailed)
}

impl From<Outcome> for Settled {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Stored => Self::Stored,
            Outcome::Duplicate => Self::Dropped(DropReason::Duplicate),
            Outcome::ProjectDeleted => Self::Dropped(DropReason::ProjectDeleted),
        }
    }
}
