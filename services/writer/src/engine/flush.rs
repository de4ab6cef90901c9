//! One flush: a batch of events until each of them has met an end.
//!
//! What a batch is not taken in for, and what follows:
//!
//! - The database says that it is for its data: the batch is halved until the bad event stands alone, which goes to the dead
//!   letters; the others are stored.
//! - The database is away, out of something, or its operator's business ([`Blame::Database`]): the whole batch is tried
//!   again, for as long as it takes.
//! - Anything else that the database says may lie in the database or in one row. After three tries the batch is halved. An
//!   event that fails alone is refused for itself if others of its batch were stored, and it fails again after that.
//!   Otherwise it is put back, so that the shard goes on with the others. So is at once what waits for a lock alone.
//!
//! Without a log, what would be tried again or put back is dropped after three tries, a few seconds for each if it is for a
//! lock.

use std::ops::Range;

use mesher_common::db::DatabaseError;
use rand::{RngExt as _, rngs::StdRng};
use tokio_util::sync::CancellationToken;

use super::{
    account::{DropReason, Settled},
    blame::Blame,
    sink::{Outcome, Sink, SinkError},
    tries::Tries,
};
use crate::event::Event;

/// How many times a batch, and an event that seems to be bad, is tried.
const TRIES: usize = 3;
/// When so many parts in a row fail, it is not for single events: more than a batch has to be halved to have one alone.
const MAX_FRUITLESS: usize = 16;

/// What becomes of events that the database does not take in.
#[derive(Clone, Debug)]
pub(super) enum Perseverance {
    /// They are tried three times in all, and then dropped.
    ThreeTries,
    /// They are tried for as long as it takes; once the token is cancelled three times in all. Then they are left to the log.
    UntilClosed(CancellationToken),
}

/// What became of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// Nothing is to be done about it any more.
    Settled(Settled),
    /// It is to be tried again later: what kept it out may lie in itself.
    PutBack,
    /// It cannot be read from the log now. It may be later, or at the next start.
    Unreadable,
    /// The end has begun: it is left to the log.
    Left,
}

/// Why a part of a batch was not stored.
enum Failure {
    /// For its data.
    Rejected { sqlstate: String, reason: String },
    /// For something that may lie in one of its events.
    Unexplained(DatabaseError),
    /// Nobody tries it any more.
    GivenUp,
}

/// Stores a batch, and says of each event what became of it.
pub(super) async fn flush<S: Sink>(
    sink: &S,
    batch: &[Event],
    perseverance: &Perseverance,
    random: StdRng,
) -> Vec<End> {
    let mut flush = Flush {
        sink,
        batch,
        perseverance,
        random,
        ends: vec![None; batch.len()],
        alone: Vec::new(),
        has_stored: false,
        fruitless: 0,
        unexplained: None,
    };
    flush.store_all().await;
    flush.judge().await;
    let kept = flush.keep();
    flush.ends.into_iter().map(|end| end.unwrap_or(kept)).collect()
}

struct Flush<'a, S> {
    sink: &'a S,
    batch: &'a [Event],
    perseverance: &'a Perseverance,
    random: StdRng,
    /// `None` for what is to be put back.
    ends: Vec<Option<End>>,
    /// Events that failed alone, for something that may lie in them.
    alone: Vec<usize>,
    has_stored: bool,
    /// How many parts failed in a row.
    fruitless: usize,
    /// What the last part failed for that failed for something that may lie in an event.
    unexplained: Option<String>,
}

impl<S: Sink> Flush<'_, S> {
    /// Stores what can be stored.
    async fn store_all(&mut self) {
        // The parts that are still to be stored, the first on top, and how many times each is tried.
        let mut parts = vec![(0..self.batch.len(), TRIES)];
        while let Some((part, tries)) = parts.pop() {
            let failure = match self.store(part.clone(), tries).await {
                Ok(()) => continue,
                Err(failure) => failure,
            };
            let tries = match failure {
                Failure::GivenUp => continue,
                Failure::Rejected { sqlstate, reason } if part.len() == 1 => {
                    self.dead_letter(part.start, &sqlstate, &reason).await;
                    continue;
                }
                Failure::Rejected { .. } => tries,
                Failure::Unexplained(error) => {
                    self.fruitless += 1;
                    self.unexplained = Some(error.cause());
                    if self.fruitless >= MAX_FRUITLESS {
                        break;
                    }
                    if part.len() == 1 {
                        // More tries would tell no more of a lock, and each waits for it.
                        if Blame::of(&error) != Blame::Lock {
                            self.alone.push(part.start);
                        }
                        continue;
                    }
                    1
                }
            };
            let middle = part.start + part.len() / 2;
            let mut halves = [(middle..part.end, tries), (part.start..middle, tries)];
            if self.fruitless > 0 && self.random.random() {
                // Where many bad events are together, the next try is to begin elsewhere.
                halves.reverse();
            }
            parts.extend(halves);
        }
    }

    /// Decides on those that failed alone, now that others were stored or were not.
    async fn judge(&mut self) {
        let mut alone = std::mem::take(&mut self.alone);
        alone.sort_unstable();
        if !self.has_stored {
            return;
        }
        for place in alone {
            match self.store(place..place + 1, TRIES).await {
                Ok(()) | Err(Failure::GivenUp) => {}
                Err(Failure::Rejected { sqlstate, reason }) => {
                    self.dead_letter(place, &sqlstate, &reason).await;
                }
                Err(Failure::Unexplained(error)) => match error.sqlstate() {
                    Some(sqlstate) if Blame::of(&error) == Blame::Row => {
                        self.dead_letter(place, &sqlstate, &error.cause()).await;
                    }
                    _ => self.unexplained = Some(error.cause()),
                },
            }
        }
    }

    /// Stores a part of the batch; tries it so many times when it is unknown what it fails for.
    async fn store(&mut self, part: Range<usize>, tries: usize) -> Result<(), Failure> {
        let mut again = Tries::new(self.perseverance);
        let mut failures = 0;
        loop {
            let error = match self.sink.store(&self.batch[part.clone()]).await {
                Ok(outcomes) => {
                    self.fruitless = 0;
                    self.has_stored |= outcomes.contains(&Outcome::Stored);
                    for (end, outcome) in self.ends[part].iter_mut().zip(outcomes) {
                        *end = Some(End::Settled(outcome.into()));
                    }
                    return Ok(());
                }
                Err(SinkError::Rejected { sqlstate, reason }) => {
                    return Err(Failure::Rejected { sqlstate, reason });
                }
                Err(SinkError::Unavailable(error)) => error,
            };
            failures += 1;
            if failures >= tries && Blame::of(&error) != Blame::Database {
                return Err(Failure::Unexplained(error));
            }
            if !again.wait(part.len(), &error, &mut self.random).await {
                self.give_up(part, &error);
                return Err(Failure::GivenUp);
            }
        }
    }

    async fn dead_letter(&mut self, place: usize, sqlstate: &str, reason: &str) {
        let event = &self.batch[place];
        let (id, project) = (event.id.to_hex(), &event.project_id);
        tracing::error!(event = id, %project, sqlstate, reason, "event refused");
        let mut again = Tries::new(self.perseverance);
        let mut failures = 0;
        let settled = loop {
            match self.sink.dead_letter(event, sqlstate, reason).await {
                Ok(()) => break Settled::DeadLettered,
                Err(SinkError::Unavailable(error)) => {
                    failures += 1;
                    if failures >= TRIES && Blame::of(&error) != Blame::Database {
                        // The others of its batch are not to wait for that.
                        self.unexplained = Some(error.cause());
                        return;
                    }
                    if !again.wait(1, &error, &mut self.random).await {
                        return self.give_up(place..place + 1, &error);
                    }
                }
                Err(error @ SinkError::Rejected { .. }) => {
                    tracing::error!(event = id, %error, "event dropped: it cannot be kept as a dead letter");
                    break Settled::Dropped(DropReason::DatabaseFailed);
                }
            }
        };
        self.ends[place] = Some(End::Settled(settled));
    }

    /// Notes that nobody tries a part any more.
    fn give_up(&mut self, part: Range<usize>, error: &DatabaseError) {
        let (events, error) = (part.len(), error.cause());
        let end = match self.perseverance {
            Perseverance::ThreeTries => {
                tracing::error!(events, %error, "events dropped: the database does not take them in");
                End::Settled(Settled::Dropped(DropReason::DatabaseFailed))
            }
            Perseverance::UntilClosed(_) => {
                tracing::warn!(events, %error, "events left to the log: the database does not take them in");
                End::Left
            }
        };
        self.ends[part].fill(Some(end));
    }

    /// What becomes of events that are neither settled nor given up.
    fn keep(&self) -> End {
        let events = self.ends.iter().filter(|end| end.is_none()).count();
        let error = self.unexplained.as_deref().unwrap_or_default();
        match self.perseverance {
            Perseverance::UntilClosed(closed) if closed.is_cancelled() => End::Left,
            Perseverance::UntilClosed(_) => {
                if events > 0 {
                    tracing::warn!(events, error, "events put back: they cannot be stored now");
                }
                End::PutBack
            }
            Perseverance::ThreeTries => {
                if events > 0 {
                    tracing::error!(events, error, "events dropped: the database does not take them in");
                }
                End::Settled(Settled::Dropped(DropReason::DatabaseFailed))
            }
        }
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
