//! Keeping what waits within its bound of memory, where there is no log that it could be left to.

use super::Shard;
use crate::{
    engine::{count, sink::Sink},
    log::fs::FileSystem,
};

impl<S: Sink, F: FileSystem> Shard<S, F> {
    /// Drops the oldest of whoever has the most, until all is within the bound: a flood drops its own events.
    pub(super) fn make_room(&mut self) {
        let mut dropped = 0;
        while self.journal.is_none() && self.memory.is_over() {
            let Some(project) = self.projects.values_mut().max_by_key(|project| project.memory()) else {
                break;
            };
            // By half, so that whoever has the most is not looked for at each event.
            let most = project.memory() / 2;
            let gone = project.drop_oldest(&mut self.memory, |project| project.memory() > most).len();
            if gone == 0 {
                break;
            }
            dropped += gone;
        }
        if dropped > 0 {
            tracing::warn!(events = dropped, "the oldest events dropped: there is no more memory for them");
            self.metrics.drop_oldest(count(dropped));
        }
    }
}
