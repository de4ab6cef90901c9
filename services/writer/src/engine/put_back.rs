//! The events of a project that could not be stored, and are tried again later, so that others go on.

use std::time::Duration;

use tokio::time::Instant;

use super::{held::Held, waiting::Waiting};

/// How long after events were put back they are tried again; doubled each time that some are.
const FIRST_DELAY: Duration = Duration::from_secs(1);
const MAX_DELAY: Duration = Duration::from_secs(30);

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct PutBack {
    pub(super) held: Waiting,
    delay: Duration,
    /// When to try again.
    at: Option<Instant>,
}

impl PutBack {
    pub(super) fn push(&mut self, held: Held) {
        self.held.push_back(held);
    }

    /// Sets when to try again, after a flush in which some were put back, or none.
    pub(super) fn landed(&mut self, again: bool, now: Instant) {
        if self.held.is_empty() {
            *self = Self::default();
        } else if again {
            self.delay = (self.delay * 2).clamp(FIRST_DELAY, MAX_DELAY);
            self.at = Some(now + self.delay);
        }
    }

    /// When to try again, if there is anything.
    pub(super) fn at(&self) -> Option<Instant> {
        self.at.filter(|_| !self.held.is_empty())
    }

    /// The lowest of their numbers.
    pub(super) fn first(&self) -> Option<u64> {
        self.held.lowest_number()
    }
}
