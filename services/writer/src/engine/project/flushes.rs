//! Whoever waits for what a project has accepted to be flushed.

use tokio::sync::oneshot;

use crate::engine::{
    EngineError,
    account::{DropReason, Settled},
};

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Flushes(Vec<Flush>);

/// Somebody who waits for a flush.
#[derive(Debug)]
struct Flush {
    /// The events below this number are waited for.
    below: u64,
    stored: u64,
    failed: bool,
    done: oneshot::Sender<Result<u64, EngineError>>,
}

impl Flushes {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    #[cfg(test)]
    pub(super) fn number(&self) -> usize {
        self.0.len()
    }

    /// Adds one who waits for the events below a number.
    pub(super) fn add(&mut self, below: u64, done: oneshot::Sender<Result<u64, EngineError>>) {
        // Of those who have gone away nobody would be left but by an event that is settled.
        self.0.retain(|flush| !flush.done.is_closed());
        self.0.push(Flush { below, stored: 0, failed: false, done });
    }

    /// Whether somebody waits for the event with a number.
    pub(super) fn wait_for(&self, number: u64) -> bool {
        self.0.iter().any(|flush| number < flush.below)
    }

    /// Counts an event that is settled now.
    pub(super) fn settle(&mut self, number: u64, settled: Settled) {
        for flush in self.0.iter_mut().filter(|flush| number < flush.below) {
            match settled {
                Settled::Stored => flush.stored += 1,
                Settled::Dropped(DropReason::DatabaseFailed) => flush.failed = true,
                Settled::Dropped(_) | Settled::DeadLettered => {}
            }
        }
    }

    /// Tells whoever waits for an event that it could not be stored now.
    pub(super) fn fail(&mut self, number: u64) {
        for flush in self.0.extract_if(.., |flush| number < flush.below) {
            let _ = flush.done.send(Err(EngineError::FlushFailed));
        }
    }

    /// Answers those who wait for nothing more, all below `unsettled` being settled.
    pub(super) fn answer(&mut self, unsettled: u64) {
        for flush in self.0.extract_if(.., |flush| flush.below <= unsettled) {
            let answer = if flush.failed { Err(EngineError::FlushFailed) } else { Ok(flush.stored) };
            // Whoever asked may have gone away.
            let _ = flush.done.send(answer);
        }
    }
}
