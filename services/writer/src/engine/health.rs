//! Whether the engine can keep its promise: a log that failed cannot, nor one whose disk is stuck.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// How many logs are failed or stuck; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Health {
    failed: Arc<AtomicUsize>,
}

impl Health {
    /// Why the engine is not healthy, or that it is.
    pub fn check(&self) -> Result<(), String> {
        match self.failed.load(Ordering::Relaxed) {
            0 => Ok(()),
            failed => {
                Err(format!("{failed} of the logs on disk cannot be written: no events are taken in there"))
            }
        }
    }

    pub(super) fn failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn recovered(&self) {
        self.failed.fetch_sub(1, Ordering::Relaxed);
    }
}
