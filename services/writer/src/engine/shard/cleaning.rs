//! Keeping a shard's log within its bound on disk.
//!
//! A segment is removed as a whole, so one old event keeps all of it. When the log is nearly full, the oldest segment of which
//! little is worth to be kept is emptied: its events are carried forward to the end of the log, and what they were copied
//! from is removed after the copies are synced. A crash in between leaves both, which count as one when the log is opened.
//!
//! If that is not enough and the oldest are to be dropped, it is those in the segment whose projects have the most: a level is
//! found at which the bytes of all would fit if nobody had more, and whoever is above it loses its oldest. A flood so drops
//! its own events, and the few of a quiet project are carried forward; none is dropped before they are. If the new are to be
//! refused instead, only dead space is reclaimed.
//!
//! What is in flight stays where it is, and keeps its segment: it may still have to be read.
//!
//! A segment that cannot be emptied, because the disk does not give all of it, is left alone for a while, with its events. The
//! others share what it leaves of the disk; where more than a few cannot be emptied, nothing is dropped.

use std::collections::{HashMap, HashSet};

use mesher_common::id::ProjectId;
use tokio::time::Instant;

use super::Shard;
use crate::{
    config::WhenFull,
    engine::{
        account::{DropReason, Settled},
        count,
        held::Held,
        journal::{Cleaned, Emptied},
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
        let candidates = Candidates::of(segments, active);
        let level = match self.settings.when_full {
            WhenFull::Reject => u64::MAX,
            WhenFull::DropOldest => {
                level(self.projects.values().map(|project| candidates.bytes(project)).collect(), target)
            }
        };
        let Some(segment) = candidates.choose(&self.projects, level) else {
            journal.rest();
            return;
        };
        let (mut kept, mut doomed) = (Vec::new(), HashSet::new());
        for project in self.projects.values() {
            let mut bytes = candidates.bytes(project);
            for position in project.waiting_in(segment) {
                if bytes > level {
                    bytes -= u64::from(position.length);
                    doomed.insert(position);
                } else {
                    kept.push(position);
                }
            }
        }
        if kept.is_empty() {
            self.drop_oldest(segment, &doomed);
            return;
        }
        // In the order in which they were accepted, which is found again by it.
        kept.sort_unstable();
        journal.clean(segment, kept, doomed);
    }

    /// Notes where events are now that were carried forward. Those that took off meanwhile stay where they were.
    pub(super) fn cleaned(&mut self, cleaned: Cleaned<F>) {
        let Some(journal) = &mut self.journal else { return };
        let Emptied { segment, carried, doomed } = journal.cleaned(cleaned);
        let moved: HashMap<Position, Position> = carried.moved.into_iter().collect();
        let damaged: HashSet<Position> = carried.damaged.into_iter().collect();
        for (id, project) in &mut self.projects {
            project.move_waiting(segment, |from| {
                let to = *moved.get(&from)?;
                journal.carried(from, to);
                Some(to)
            });
            if damaged.is_empty() {
                continue;
            }
            // What is in memory as well can still be stored.
            let is_lost = |held: &Held, position| !held.is_loaded() && damaged.contains(&position);
            let reason = DropReason::LogDamaged;
            for position in project.drop_waiting(segment, reason, &mut self.memory, is_lost) {
                tracing::error!(project = %id, ?position, "event dropped: its record in the log is damaged");
                self.metrics.settle(Settled::Dropped(reason), 1);
                journal.lose(position);
            }
        }
        self.drop_oldest(segment, &doomed);
    }

    /// Drops events that wait in a segment.
    fn drop_oldest(&mut self, segment: u64, doomed: &HashSet<Position>) {
        let Some(journal) = self.journal.as_mut().filter(|_| !doomed.is_empty()) else { return };
        let mut dropped = 0;
        for project in self.projects.values_mut() {
            let is_doomed = |_: &Held, position| doomed.contains(&position);
            for position in project.drop_waiting(segment, DropReason::BufferFull, &mut self.memory, is_doomed)
            {
                journal.settle(position);
                dropped += 1;
            }
        }
        if dropped > 0 {
            tracing::warn!(events = dropped, "the oldest events dropped: the log on disk is full");
            self.metrics.drop_oldest(dropped);
        }
    }
}

/// The segments that may be emptied.
struct Candidates<'a> {
    segments: &'a Segments,
    active: Option<u64>,
    /// Those that are left alone.
    resting: Vec<u64>,
}

impl<'a> Candidates<'a> {
    fn of(segments: &'a Segments, active: Option<u64>) -> Self {
        let now = Instant::now();
        let resting =
            segments.iter().filter(|(_, segment)| segment.rests(now)).map(|(number, _)| number).collect();
        Self { segments, active, resting }
    }

    /// How many bytes the events of a project have that are not in segments that are left alone.
    fn bytes(&self, project: &Project) -> u64 {
        let resting = self.resting.iter().flat_map(|segment| project.waiting_in(*segment));
        project.bytes() - resting.map(|position| u64::from(position.length)).sum::<u64>()
    }

    /// The oldest segment of which no more than half would be kept, or else the one of which the least would be; none if that
    /// gains next to nothing.
    fn choose(&self, projects: &HashMap<ProjectId, Project>, level: u64) -> Option<u64> {
        let mut waiting: HashMap<u64, Waiting> = HashMap::new();
        for project in projects.values() {
            let mut above = self.bytes(project).saturating_sub(level);
            // Most are in the segment of the one before, and there may be millions.
            let mut here = (0, Waiting::default());
            let mut rests = false;
            for position in project.waiting() {
                if position.segment != here.0 {
                    waiting.entry(here.0).or_default().add(here.1);
                    here = (position.segment, Waiting::default());
                    rests = self.resting.contains(&position.segment);
                }
                if rests {
                    continue;
                }
                let bytes = u64::from(position.length);
                here.1.add(Waiting { events: 1, kept: if above == 0 { bytes } else { 0 } });
                above = above.saturating_sub(bytes);
            }
            waiting.entry(here.0).or_default().add(here.1);
        }
        let candidates = self.segments.iter().filter_map(|(number, segment)| {
            let Waiting { events, kept } = waiting.get(&number).copied().unwrap_or_default();
            // The others are in flight, or left alone.
            let is_free = events == segment.unsettled && events > 0 && Some(number) != self.active;
            (is_free && kept * 8 <= segment.bytes * 7).then_some((number, kept, segment.bytes))
        });
        let candidates: Vec<(u64, u64, u64)> = candidates.collect();
        let oldest = candidates.iter().find(|(_, kept, bytes)| kept * 2 <= *bytes);
        oldest.or_else(|| candidates.iter().min_by_key(|(_, kept, _)| *kept)).map(|(number, ..)| *number)
    }
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
