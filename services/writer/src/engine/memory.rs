//! What a shard's waiting events may take of memory, all projects together.
//!
//! Only events that are in the log as well are counted: they are the ones that can be left to it. Without a log a project's
//! own bound is all there is. What is in flight is bounded by the size of a batch.

use super::held::Held;

/// How many bytes of a shard's events may wait in memory; what is beyond waits in the log.
const LIMIT: usize = 4 * 1024 * 1024;

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Memory {
    left: usize,
}

impl Memory {
    pub(super) fn new() -> Self {
        Self { left: LIMIT }
    }

    /// Whether an event that is in the log may be in memory, too. One that is nowhere else has to be.
    pub(super) fn has_room(&self, held: &Held) -> bool {
        held.position().is_none() || held.memory() <= self.left
    }

    /// Counts an event that waits.
    pub(super) fn load(&mut self, held: &Held) {
        self.left -= counted(held);
    }

    /// Counts an event that waits no longer.
    pub(super) fn unload(&mut self, held: &Held) {
        self.left += counted(held);
    }
}

fn counted(held: &Held) -> usize {
    if held.is_loaded() && held.position().is_some() { held.memory() } else { 0 }
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
        let mut memory = Memory::new();
        let mut loaded = Vec::new();
        while memory.has_room(&logged()) {
            memory.load(&logged());
            loaded.push(logged());
        }
        assert!(loaded.len() * event.size() > LIMIT - event.size());
        assert!(memory.has_room(&Held::in_memory(event.clone(), Instant::now())), "it is nowhere else");
        let mut left = logged();
        left.unload();
        memory.load(&left);
        for held in &loaded {
            memory.unload(held);
        }
        assert_eq!(memory.left, LIMIT);
    }
}
