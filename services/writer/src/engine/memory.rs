//! What a shard's waiting events may take of memory, all projects together.
//!
//! With a log on disk those that are beyond are left to it. Without one the oldest are dropped. What is in flight is bounded by
//! the size of a batch.

use super::held::Held;

/// How many bytes of a shard's events may wait in memory where there is a log.
const BESIDE_LOG: usize = 4 * 1024 * 1024;

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Memory {
    used: usize,
    most: usize,
}

impl Memory {
    /// Where there is a log.
    pub(super) fn beside_log() -> Self {
        Self::of(BESIDE_LOG)
    }

    /// Where there is none: so many bytes.
    pub(super) fn of(most: usize) -> Self {
        Self { used: 0, most }
    }

    /// Whether an event that is in the log may be in memory, too. One that is nowhere else has to be.
    pub(super) fn has_room(&self, held: &Held) -> bool {
        held.position().is_none() || self.used + held.memory() <= self.most
    }

    /// Whether more is in memory than there may be.
    pub(super) fn is_over(&self) -> bool {
        self.used > self.most
    }

    /// Counts an event that waits.
    pub(super) fn load(&mut self, held: &Held) {
        self.used += held.memory();
    }

    /// Counts an event that waits no longer.
    pub(super) fn unload(&mut self, held: &Held) {
        self.used -= held.memory();
    }
}

#[cfg(test)]
mod tests {
    use chrono::Utc;
    use mesher_common::id::ProjectId;
    use tokio::time::Instant;

    use super::*;
    use crate::{
        admission::{Sent, admit},
        log::Position,
    };

    #[tokio::test]
    async fn what_does_not_fit_is_left_to_the_log_and_what_goes_makes_room() {
        let json = format!(r#"{{"message":"{}"}}"#, "x".repeat(1000));
        let event = admit(ProjectId::new(), &Sent::Json(json.as_bytes()), Utc::now()).unwrap();
        let position = Position { segment: 1, offset: 8, length: 100 };
        let logged = || Held::logged(event.clone(), position, Instant::now());
        let mut memory = Memory::beside_log();
        let mut loaded = Vec::new();
        while memory.has_room(&logged()) {
            memory.load(&logged());
            loaded.push(logged());
        }
        assert!(loaded.len() * event.size() > BESIDE_LOG - event.size());
        assert!(memory.has_room(&Held::in_memory(event.clone(), Instant::now())), "it is nowhere else");
        let mut left = logged();
        left.unload();
        memory.load(&left);
        for held in &loaded {
            memory.unload(held);
        }
        assert_eq!(memory.used, 0);
    }
}
