//! One flush: a batch of events until each of them is settled.

use std::time::Duration;

use mesher_common::db::DatabaseError;
use rand::RngExt as _;
use tokio_util::sync::CancellationToken;

use super::{
    account::{DropReason, Settled},
    sink::{Outcome, Sink, SinkError},
};
use crate::event::Event;

/// How long to wait before the second and the third try.
const RETRY_DELAYS: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(500)];
/// The longest wait between two tries, for events that the log keeps.
const MAX_RETRY_DELAY: Duration = Duration::from_secs(5);

/// What becomes of events that the database does not take in.
#[derive(Clone, Debug)]
pub(super) enum Perseverance {
    /// They are tried three times in all, and then dropped.
    ThreeTries,
    /// They are tried for as long as it takes. Once the token is cancelled they are left to the log.
    UntilClosed(CancellationToken),
}

/// Stores a batch, and says of each event what became of it; `None` for those that are left to the log.
///
/// A batch that is refused for its data is halved until the bad event stands alone, which goes to the dead letters; the
/// others are stored.
pub(super) async fn flush<S: Sink>(
    sink: &S,
    batch: &[Event],
    perseverance: &Perseverance,
) -> Vec<Option<Settled>> {
    let mut settled = Vec::with_capacity(batch.len());
    // The parts that are still to be stored, the first on top.
    let mut parts = vec![batch];
    while let Some(part) = parts.pop() {
        match store(sink, part, perseverance).await {
            Ok(outcomes) => settled.extend(outcomes.into_iter().map(|outcome| Some(outcome.into()))),
            Err(SinkError::Unavailable(error)) => {
                settled.extend(std::iter::repeat_n(given_up(perseverance, part.len(), &error), part.len()));
            }
            Err(SinkError::Rejected { sqlstate, reason }) => {
                if let [event] = part {
                    settled.push(dead_letter(sink, event, &sqlstate, &reason, perseverance).await);
                } else {
                    let (first, second) = part.split_at(part.len() / 2);
                    parts.extend([second, first]);
                }
            }
        }
    }
    settled
}

async fn store<S: Sink>(
    sink: &S,
    part: &[Event],
    perseverance: &Perseverance,
) -> Result<Vec<Outcome>, SinkError> {
    let mut tries = Tries::new(perseverance);
    loop {
        match sink.store(part).await {
            Err(SinkError::Unavailable(error)) => tries.again(part.len(), error).await?,
            done => return done,
        }
    }
}

async fn dead_letter<S: Sink>(
    sink: &S,
    event: &Event,
    sqlstate: &str,
    reason: &str,
    perseverance: &Perseverance,
) -> Option<Settled> {
    tracing::error!(event = event.id.to_hex(), project = %event.project_id, sqlstate, reason, "event refused");
    let mut tries = Tries::new(perseverance);
    loop {
        match sink.dead_letter(event, sqlstate, reason).await {
            Ok(()) => return Some(Settled::DeadLettered),
            Err(SinkError::Unavailable(error)) => {
                if let Err(error) = tries.again(1, error).await {
                    return given_up(perseverance, 1, &error);
                }
            }
            Err(error @ SinkError::Rejected { .. }) => {
                tracing::error!(%error, "event dropped: it cannot be kept as a dead letter");
                return Some(Settled::Dropped(DropReason::DatabaseFailed));
            }
        }
    }
}

/// What becomes of events that nobody tries to store any more.
fn given_up(perseverance: &Perseverance, events: usize, error: &dyn std::error::Error) -> Option<Settled> {
    match perseverance {
        Perseverance::ThreeTries => {
            tracing::error!(events, %error, "events dropped: the database does not take them in");
            Some(Settled::Dropped(DropReason::DatabaseFailed))
        }
        Perseverance::UntilClosed(_) => {
            tracing::warn!(events, %error, "events left to the log: the database does not take them in");
            None
        }
    }
}

/// The tries of one thing that the database did not take in.
struct Tries<'a> {
    perseverance: &'a Perseverance,
    delays: std::array::IntoIter<Duration, 2>,
    longer: Duration,
}

impl<'a> Tries<'a> {
    fn new(perseverance: &'a Perseverance) -> Self {
        Self { perseverance, delays: RETRY_DELAYS.into_iter(), longer: MAX_RETRY_DELAY / 8 }
    }

    /// Waits for the next try; gives the error back if there is no point in one.
    async fn again(&mut self, events: usize, error: DatabaseError) -> Result<(), SinkError> {
        let delay = match (self.delays.next(), self.perseverance) {
            (Some(delay), _) => delay,
            (None, Perseverance::ThreeTries) => return Err(SinkError::Unavailable(error)),
            (None, Perseverance::UntilClosed(_)) => {
                self.longer = (self.longer * 2).min(MAX_RETRY_DELAY);
                // So that the shards do not all come back at once.
                self.longer.mul_f64(rand::rng().random_range(0.5..=1.0))
            }
        };
        tracing::warn!(events, %error, ?delay, "a flush failed and is tried again");
        match self.perseverance {
            Perseverance::ThreeTries => tokio::time::sleep(delay).await,
            Perseverance::UntilClosed(closed) => {
                if closed.run_until_cancelled(tokio::time::sleep(delay)).await.is_none() {
                    return Err(SinkError::Unavailable(error));
                }
            }
        }
        Ok(())
    }
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
