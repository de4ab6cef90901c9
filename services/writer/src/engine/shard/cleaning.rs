//! Keeping a shard's log within its bound on disk.
//!
//! A segment is removed as a whole, so one old event keeps all of it. When the log is nearly full, the oldest segment of which
//! little is worth to be kept is emptied: its events are carried forward to the end of the log, and what they were copied
//! from is removed after the copies are synced. A crash in between leaves both, which count as one when the log is opened.
//!
//! If that is not enough and the oldest are to be dropped, it is those in the segment whose projects have the most: a level is
//! found at which the bytes of all would fit if nobody had more, and whoever is above it loses its oldest. A flood so drops
//! its own events, and the few of a quiet project are carried forward. If the new are to be refused instead, only dead space
//! is reclaimed.
//!
//! What is in flight stays where it is, and keeps its segment: it may still have to be read.

use std::collections::HashMap;

use mesher_common::id::ProjectId;

use super::Shard;
use crate::{
    config::WhenFull,
    engine::{
        account::{DropReason, Settled},
        count,
        journal::Cleaned,
        project::Project,
        segments::Segments,
        sink::Sink,
    },
    log::{Position, fs::FileSystem},
};

/// What waits of a segment.
#[derive(Clone, Copy, Debug, Default)]
struct Waiting {
    events: u64,
    /// The bytes of the events that would be carried forward.
    kept: u64,
}

impl Waiting {
    fn add(&mut self, more: Self) {
        self.events += more.events;
        self.kept += more.kept;
    }
}

impl<S: Sink, F: FileSystem> Shard<S, F> {
    /// Begins to empty a segment, if the log is nearly full and there is something to gain.
    pub(super) fn clean(&mut self) {
        let Some(journal) = &mut self.journal else { return };
        let Some((segments, active, target)) = journal.to_clean() else { return };
        let level = match self.settings.when_full {
            WhenFull::Reject => u64::MAX,
            WhenFull::DropOldest => level(self.projects.values().map(Project::bytes).collect(), target),
        };
        let Some(segment) = choose(segments, active, &self.projects, level) else {
            journal.rest();
            return;
        };
        let mut dropped = Vec::new();
        for project in self.projects.values_mut().filter(|project| project.bytes() > level) {
            let mut bytes = project.bytes();
            let reason = DropReason::BufferFull;
            dropped.extend(project.drop_waiting(segment, reason, &mut self.memory, |position| {
                let is_above = bytes > level;
                if is_above {
                    bytes -= u64::from(position.length);
                }
                is_above
            }));
        }
        if !dropped.is_empty() {
            tracing::warn!(events = dropped.len(), "the oldest events dropped: the log on disk is full");
            self.metrics.drop_oldest(count(dropped.len()));
        }
        let mut kept: Vec<Position> =
            self.projects.values().flat_map(|project| project.waiting_in(segment)).collect();
        // In the order in which they were accepted, which is found again by it.
        kept.sort_unstable();
        for position in dropped {
            journal.settle(position);
        }
        if !kept.is_empty() {
            journal.clean(segment, kept);
        }
    }

    /// Notes where events are now that were carried forward. Those that took off meanwhile stay where they were.
    pub(super) fn cleaned(&mut self, cleaned: Cleaned<F>) {
        let Some(journal) = &mut self.journal else { return };
        let (segment, carried) = journal.cleaned(cleaned);
        let carried: HashMap<Position, Option<Position>> = carried.into_iter().collect();
        for project in self.projects.values_mut() {
            let mut is_damaged = false;
            project.move_waiting(segment, |from| {
                let to = *carried.get(&from)?;
                is_damaged |= to.is_none();
                journal.carried(from, to?);
                to
            });
            if is_damaged {
                let lost = |position: Position| carried.get(&position) == Some(&None);
                let reason = DropReason::LogDamaged;
                let dropped = project.drop_waiting(segment, reason, &mut self.memory, lost);
                for position in dropped {
                    self.metrics.settle(Settled::Dropped(reason), 1);
                    journal.settle(position);
                }
            }
        }
    }
}

/// The oldest segment of which no more than half would be kept, or else the one of which the least would be; none if that
/// gains next to nothing.
fn choose(
    segments: &Segments,
    active: Option<u64>,
    projects: &HashMap<ProjectId, Project>,
    level: u64,
) -> Option<u64> {
    let mut waiting: HashMap<u64, Waiting> = HashMap::new();
    for project in projects.values() {
        let mut above = project.bytes().saturating_sub(level);
        // Most are in the segment of the one before, and there may be millions.
        let mut here = (0, Waiting::default());
        for position in project.waiting() {
            if position.segment != here.0 {
                waiting.entry(here.0).or_default().add(here.1);
                here = (position.segment, Waiting::default());
            }
            let bytes = u64::from(position.length);
            here.1.add(Waiting { events: 1, kept: if above == 0 { bytes } else { 0 } });
            above = above.saturating_sub(bytes);
        }
        waiting.entry(here.0).or_default().add(here.1);
    }
    let candidates = segments.iter().filter_map(|(number, segment)| {
        let Waiting { events, kept } = waiting.get(&number).copied().unwrap_or_default();
        // The others are in flight.
        let is_free = events == segment.unsettled && events > 0 && Some(number) != active;
        (is_free && kept * 8 <= segment.bytes * 7).then_some((number, kept, segment.bytes))
    });
    let candidates: Vec<(u64, u64, u64)> = candidates.collect();
    let oldest = candidates.iter().find(|(_, kept, bytes)| kept * 2 <= *bytes);
    oldest.or_else(|| candidates.iter().min_by_key(|(_, kept, _)| *kept)).map(|(number, ..)| *number)
}

/// How much each may have for all to have `target` together.
fn level(mut held: Vec<u64>, target: u64) -> u64 {
    held.sort_unstable();
    let mut left = target;
    let mut others = count(held.len());
    for bytes in held {
        let even = left / others;
        if bytes > even {
            return even;
        }
        left -= bytes;
        others -= 1;
    }
    u64::MAX
}

#[cfg(test)]
mod tests {
    use super::level;

    #[test]
    fn the_level_takes_from_those_who_have_the_most() {
        assert_eq!(level(vec![], 10), u64::MAX);
        assert_eq!(level(vec![1, 2, 3], 6), u64::MAX, "all fits");
        assert_eq!(level(vec![100, 1, 2], 10), 7);
        assert_eq!(level(vec![100, 1, 200], 11), 5);
        assert_eq!(level(vec![4, 4], 0), 0);
    }
}
