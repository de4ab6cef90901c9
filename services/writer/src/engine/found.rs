//! What the process before left in the logs, as it is found and put in order.
//!
//! After a long outage these are millions of events, so no more is kept of each than it takes to tell its place: a million
//! take 24 MB until the shards have them.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashSet},
    io,
};

use mesher_common::id::{EventId, ProjectId};

use super::{
    open::{LogsError, ShardLog, in_directory},
    shard_of,
};
use crate::log::{Position, Reader, Record, RecoveredRecord, fs::FileSystem};

/// How many records are moved with one sync.
const MOVED_AT_ONCE: usize = 500;

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Found {
    projects: BTreeMap<ProjectId, Vec<Left>>,
    segments: Vec<Source>,
}

/// An event that was left.
#[derive(Clone, Copy, Debug)]
struct Left {
    /// In microseconds since 1970. No two events of a process have the same.
    received_at: i64,
    /// Its segment's place among those that were found.
    segment: usize,
    offset: u32,
    length: u32,
}

/// A segment in which events were found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Source {
    /// Whose log it is in: the shard's place.
    shard: usize,
    number: u64,
}

impl Found {
    /// Adds a record of the log of `shard`.
    pub(super) fn add(&mut self, shard: usize, record: RecoveredRecord) {
        let RecoveredRecord { position, project, received_at } = record;
        let event = self.event(shard, position, received_at);
        self.projects.entry(project).or_default().push(event);
    }

    fn event(&mut self, shard: usize, position: Position, received_at: i64) -> Left {
        let Position { segment, offset, length } = position;
        let source = Source { shard, number: segment };
        // Neighbours come one after the other.
        if self.segments.last() != Some(&source) {
            self.segments.push(source);
        }
        Left { received_at, segment: self.segments.len() - 1, offset, length }
    }

    /// The shard in whose log an event is, and where it is there.
    fn place(&self, event: Left) -> (usize, Position) {
        let Left { segment, offset, length, .. } = event;
        let Source { shard, number } = self.segments[segment];
        (shard, Position { segment: number, offset, length })
    }

    /// Gives every event once to that of the first `shards` that it belongs to now. Those that are elsewhere are copied.
    pub(super) fn bring_home<F: FileSystem>(
        mut self,
        open: &mut [ShardLog<F>],
        shards: usize,
    ) -> Result<(), LogsError> {
        let mut projects = std::mem::take(&mut self.projects);
        let mut moving = Vec::new();
        for (project, events) in &mut projects {
            let home = shard_of(*project, shards);
            self.once(events, home, open)?;
            let elsewhere = events.iter_mut().filter(|event| self.place(**event).0 != home);
            moving.extend(elsewhere.map(|event| (home, event)));
        }
        // Stable: those of a project stay in the order of their arrival.
        moving.sort_by_key(|(home, _)| *home);
        for same in moving.chunk_by_mut(|(home, _), (other, _)| home == other) {
            for group in same.chunks_mut(MOVED_AT_ONCE) {
                self.copy(open, group)?;
            }
        }
        for (project, events) in projects {
            let ShardLog { segments, left, .. } = &mut open[shard_of(project, shards)];
            let positions: Vec<Position> = events.into_iter().map(|event| self.place(event).1).collect();
            for position in &positions {
                segments.add(*position);
            }
            left.push((project, positions));
        }
        Ok(())
    }

    /// Brings the events of a project into the order of their arrival, each of them once. One that was carried forward, or
    /// brought to another shard, is in two places until the segment that it was in is removed.
    fn once<F: FileSystem>(
        &self,
        events: &mut Vec<Left>,
        home: usize,
        open: &[ShardLog<F>],
    ) -> Result<(), LogsError> {
        // Of those that are the same the one at home comes first, and the one that was written last.
        events.sort_unstable_by_key(|event| {
            let (shard, position) = self.place(*event);
            (event.received_at, shard != home, Reverse(position))
        });
        let mut again = Vec::new();
        let mut first = 0;
        for group in events.chunk_by(|event, next| event.received_at == next.received_at) {
            let mut ids: HashSet<EventId> = HashSet::new();
            if group.len() > 1 {
                // They are nearly always the same; only a clock that was set back makes others.
                for (index, event) in (first..).zip(group) {
                    if !ids.insert(self.read(*event, open)?.id) {
                        again.push(index);
                    }
                }
            }
            first += group.len();
        }
        let mut again = again.into_iter().peekable();
        let mut indices = 0..;
        events.retain(|_| again.next_if_eq(&indices.next().unwrap_or_default()).is_none());
        Ok(())
    }

    /// Copies events into the log of the shard that they belong to, which is the same for all of them.
    fn copy<F: FileSystem>(
        &mut self,
        open: &mut [ShardLog<F>],
        group: &mut [(usize, &mut Left)],
    ) -> Result<(), LogsError> {
        let Some(home) = group.first().map(|(home, _)| *home) else { return Ok(()) };
        let records =
            group.iter().map(|(_, event)| self.read(**event, open)).collect::<Result<Vec<_>, _>>()?;
        let ShardLog { directory, log, .. } = &mut open[home];
        let positions = log.commit(&records).map_err(|source| in_directory(directory, source))?;
        for ((_, event), position) in group.iter_mut().zip(positions) {
            **event = self.event(home, position, event.received_at);
        }
        Ok(())
    }

    fn read<F: FileSystem>(&self, event: Left, open: &[ShardLog<F>]) -> Result<Record, LogsError> {
        let (shard, position) = self.place(event);
        let directory = &open[shard].directory;
        let read = Reader::new(directory).read(position).map_err(io::Error::other);
        read.map_err(|source| in_directory(directory, source))
    }
}
