//! What the process before left in the logs, as it is found and put in order.
//!
//! After a long outage that are millions of events. Of all of them together no more is kept than [some bytes](packed) each, and
//! only those of one project at a time are spread out.

mod packed;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashSet},
    io,
};

use mesher_common::id::{EventId, ProjectId};

use self::packed::Packed;
use super::{
    open::{LogsError, ShardLog, in_directory},
    shard_of,
};
use crate::log::{Position, Reader, Record, RecoveredRecord, fs::FileSystem};

/// How many records are moved with one sync.
const MOVED_AT_ONCE: usize = 500;
/// About how many events are spread out until so many of them are to be moved.
const SPREAD: usize = 50_000;

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Found {
    /// By their projects, and the shards in whose logs they are.
    events: BTreeMap<(ProjectId, usize), Packed>,
}

/// An event that was left.
#[derive(Clone, Copy, Debug)]
struct Left {
    /// In microseconds since 1970. No two events of a process have the same.
    received_at: i64,
    /// Whose log it is in.
    shard: usize,
    position: Position,
}

/// A project's events, the first of which came first, and the shard that it belongs to now.
#[derive(Debug)]
struct Project {
    id: ProjectId,
    home: usize,
    events: Vec<Left>,
}

impl Found {
    /// Adds a record of the log of `shard`.
    pub(super) fn add(&mut self, shard: usize, record: RecoveredRecord) {
        let RecoveredRecord { position, project, received_at } = record;
        self.events.entry((project, shard)).or_default().push(received_at, position);
    }

    /// Gives every event once to that of the first `shards` that it belongs to now. Those that are elsewhere are copied.
    pub(super) fn bring_home<F: FileSystem>(
        self,
        open: &mut [ShardLog<F>],
        shards: usize,
    ) -> Result<(), LogsError> {
        // Those of which something is to be moved: small ones go together.
        let (mut moving, mut elsewhere, mut events) = (Vec::new(), 0, 0);
        let mut found = self.events.into_iter().peekable();
        while let Some(((id, shard), packed)) = found.next() {
            let spread = |shard, packed: Packed| {
                packed.into_iter().map(move |(received_at, position)| Left { received_at, shard, position })
            };
            let mut project =
                Project { id, home: shard_of(id, shards), events: spread(shard, packed).collect() };
            while let Some(((_, shard), packed)) = found.next_if(|((next, _), _)| *next == id) {
                project.events.extend(spread(shard, packed));
            }
            project.order(open)?;
            let away = project.events.iter().filter(|event| event.shard != project.home).count();
            if away == 0 {
                take_home(open, vec![project])?;
                continue;
            }
            (elsewhere, events) = (elsewhere + away, events + project.events.len());
            moving.push(project);
            if elsewhere >= MOVED_AT_ONCE || events >= SPREAD {
                take_home(open, std::mem::take(&mut moving))?;
                (elsewhere, events) = (0, 0);
            }
        }
        take_home(open, moving)
    }
}

impl Project {
    /// Brings the events into the order of their arrival, each of them once. One that was carried forward, or brought to
    /// another shard, is in two places until the segment that it was in is removed.
    fn order<F: FileSystem>(&mut self, open: &[ShardLog<F>]) -> Result<(), LogsError> {
        // Of those that are the same the one at home comes first, and the one that was written last.
        self.events.sort_unstable_by_key(|event| {
            (event.received_at, event.shard != self.home, Reverse(event.position))
        });
        let mut again = Vec::new();
        let mut first = 0;
        for group in self.events.chunk_by(|event, next| event.received_at == next.received_at) {
            if group.len() > 1 {
                // They are nearly always the same; only a clock that was set back makes others.
                let mut ids: HashSet<EventId> = HashSet::new();
                for (index, event) in (first..).zip(group) {
                    if !ids.insert(event.read(open)?.id) {
                        again.push(index);
                    }
                }
            }
            first += group.len();
        }
        let mut again = again.into_iter().peekable();
        let mut indices = 0..;
        self.events.retain(|_| again.next_if_eq(&indices.next().unwrap_or_default()).is_none());
        Ok(())
    }
}

impl Left {
    fn read<F: FileSystem>(&self, open: &[ShardLog<F>]) -> Result<Record, LogsError> {
        let directory = &open[self.shard].directory;
        let read = Reader::new(directory).read(self.position).map_err(io::Error::other);
        read.map_err(|source| in_directory(directory, source))
    }
}

/// Gives each project's events to its shard. Those that are in another one's log are copied.
fn take_home<F: FileSystem>(open: &mut [ShardLog<F>], mut projects: Vec<Project>) -> Result<(), LogsError> {
    let mut moving: Vec<(usize, &mut Left)> = Vec::new();
    for Project { home, events, .. } in &mut projects {
        moving.extend(events.iter_mut().filter(|event| event.shard != *home).map(|event| (*home, event)));
    }
    // Stable: those of a project stay in the order of their arrival.
    moving.sort_by_key(|(home, _)| *home);
    for same in moving.chunk_by_mut(|(home, _), (other, _)| home == other) {
        for group in same.chunks_mut(MOVED_AT_ONCE) {
            copy(open, group)?;
        }
    }
    for Project { id, home, events } in projects {
        open[home].add(id, events.into_iter().map(|event| event.position));
    }
    Ok(())
}

/// Copies events into the log of the shard that they belong to, which is the same for all of them.
fn copy<F: FileSystem>(open: &mut [ShardLog<F>], group: &mut [(usize, &mut Left)]) -> Result<(), LogsError> {
    let Some(home) = group.first().map(|(home, _)| *home) else { return Ok(()) };
    let records = group.iter().map(|(_, event)| event.read(open)).collect::<Result<Vec<_>, _>>()?;
    let ShardLog { directory, log, .. } = &mut open[home];
    let positions = log.commit(&records).map_err(|source| in_directory(directory, source))?;
    for ((_, event), position) in group.iter_mut().zip(positions) {
        (event.shard, event.position) = (home, position);
    }
    Ok(())
}
