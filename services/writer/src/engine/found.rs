//! What the process before left in the logs, as it is found and put in order.
//!
//! After a long outage that are millions of events. Of all of them together no more is kept than [some bytes](compact) each, and
//! only those of one project at a time, or of a few small ones, are spread out.

mod compact;

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashMap, HashSet},
};

use mesher_common::id::{EventId, ProjectId};

use self::compact::Compact;
use super::{
    carry::carry,
    count,
    open::{LogsError, ShardLog, in_directory},
    shard_of,
};
use crate::log::{self, Position, ReadError, Reader, RecoveredRecord, fs::FileSystem};

/// Projects are put in order together until they have so many events. In tests so few that they are not all together.
const EVENTS_AT_ONCE: usize = if cfg!(test) { 100 } else { 50_000 };
/// How many events are copied from one log to another before it is looked at what became of them. In tests so few that there
/// are several parts.
const MOVED_AT_ONCE: usize = if cfg!(test) { 7 } else { 10_000 };

/// See the [module](self).
///
/// A place is that of a log among those that are open: the first ones are those of the shards that there are now, in their
/// order, and others may follow that were left by more shards.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// By their projects, and the places of the logs that they are in.
    events: BTreeMap<(ProjectId, usize), Compact>,
}

/// An event that was left.
#[derive(Clone, Copy, Debug)]
struct Left {
    /// In microseconds since 1970. No two events of a process have the same.
    received_at: i64,
    place: usize,
    position: Position,
}

/// The events of a project.
#[derive(Debug)]
struct OfProject {
    project: ProjectId,
    /// The place of the log that they belong to.
    home: usize,
    events: Vec<Left>,
}

impl Found {
    /// Adds a record of the log at `place`.
    pub(super) fn add(&mut self, place: usize, record: RecoveredRecord) {
        let RecoveredRecord { position, project, received_at } = record;
        self.events.entry((project, place)).or_default().push(received_at, position);
    }

    /// Gives every event once to that of the first `shards` that it belongs to now. Those that are elsewhere are copied; what is
    /// damaged of them is lost, and in its project's account.
    pub(super) fn bring_home<F: FileSystem>(
        self,
        open: &mut [ShardLog<F>],
        shards: usize,
    ) -> Result<(), LogsError> {
        let directories: Vec<F> = open.iter().map(|log| log.directory.clone()).collect();
        let mut readers: Vec<Reader<'_, F>> = directories.iter().map(Reader::new).collect();
        let (mut batch, mut events, mut passed) = (Vec::new(), 0, Passed::default());
        let mut found = self.events.into_iter().peekable();
        while let Some(((project, place), compact)) = found.next() {
            let mut of_project = OfProject { project, home: shard_of(project, shards), events: Vec::new() };
            of_project.spread(place, compact);
            while let Some(((_, place), compact)) = found.next_if(|((next, _), _)| *next == project) {
                of_project.spread(place, compact);
            }
            of_project.order(&mut readers, &mut passed)?;
            events += of_project.events.len();
            batch.push(of_project);
            if events >= EVENTS_AT_ONCE || found.peek().is_none() {
                take_home(open, std::mem::take(&mut batch), &mut passed)?;
                events = 0;
            }
        }
        passed.note(&directories);
        Ok(())
    }
}

/// Where events are that are somewhere else as well, and are used there.
#[derive(Debug, Default)]
struct Passed {
    /// Their offsets, by the places of the logs and the segments.
    offsets: BTreeMap<(usize, u64), Vec<u32>>,
}

impl Passed {
    fn add(&mut self, place: usize, position: Position) {
        self.offsets.entry((place, position.segment)).or_default().push(position.offset);
    }

    /// Notes that they are settled there, so that the next start does not find them twice. Only when all are home: on a disk
    /// that has no room to move them, a start with the shards of before needs them where they were.
    fn note<F: FileSystem>(self, directories: &[F]) {
        for ((place, segment), offsets) in self.offsets {
            let directory = &directories[place];
            if let Err(error) = log::note(directory, segment, &offsets) {
                tracing::debug!(?directory, %error, "what was moved from a segment could not be noted");
            }
        }
    }
}

impl OfProject {
    fn spread(&mut self, place: usize, compact: Compact) {
        self.events.reserve_exact(compact.len());
        let left = |(received_at, position)| Left { received_at, place, position };
        self.events.extend(compact.into_iter().map(left));
    }

    /// Brings the events into the order in which they came, each of them once. One that was carried forward, or brought to
    /// another shard, is in two places until the segment that it was in is removed.
    fn order<F: FileSystem>(
        &mut self,
        readers: &mut [Reader<'_, F>],
        passed: &mut Passed,
    ) -> Result<(), LogsError> {
        // Of those that are the same the one at home comes first, and the one that was written last.
        self.events.sort_unstable_by_key(|event| {
            (event.received_at, event.place != self.home, Reverse(event.position))
        });
        let mut again = Vec::new();
        let mut first = 0;
        for group in self.events.chunk_by(|event, next| event.received_at == next.received_at) {
            if group.len() > 1 {
                // They are nearly always the same. Others are of two processes: the clock was set back between them, or their
                // logs were brought together.
                let mut ids: HashSet<EventId> = HashSet::new();
                for (index, event) in (first..).zip(group) {
                    let reader = &mut readers[event.place];
                    let record = match reader.read(event.position) {
                        Ok(record) => record,
                        // It was there a moment ago. It is found to be lost when it is read again, and counted so even if it
                        // is the copy of another.
                        Err(ReadError::Damaged(_)) => continue,
                        Err(ReadError::Io(error)) => return Err(in_directory(reader.fs(), error)),
                    };
                    if !ids.insert(record.id) {
                        again.push(index);
                        passed.add(event.place, event.position);
                    }
                }
            }
            first += group.len();
        }
        let mut again = again.into_iter().peekable();
        let mut indices = 0..;
        self.events.retain(|_| again.next_if_eq(&indices.next().unwrap_or_default()).is_none());
        // Those of one time as they are in their log.
        self.events.sort_unstable_by_key(|event| (event.received_at, event.place, event.position));
        Ok(())
    }
}

/// Gives each project's events to its shard. Those that are in another log are copied.
fn take_home<F: FileSystem>(
    open: &mut [ShardLog<F>],
    mut batch: Vec<OfProject>,
    passed: &mut Passed,
) -> Result<(), LogsError> {
    let mut moving: Vec<(usize, &mut Left)> = Vec::new();
    for OfProject { home, events, .. } in &mut batch {
        moving.extend(events.iter_mut().filter(|event| event.place != *home).map(|event| (*home, event)));
    }
    // Stable: those of a project stay in their order.
    moving.sort_by_key(|(home, event)| (*home, event.place));
    for way in moving.chunk_by_mut(|(home, event), (other, next)| (home, event.place) == (other, next.place))
    {
        for part in way.chunks_mut(MOVED_AT_ONCE) {
            move_home(open, part, passed)?;
        }
    }
    for OfProject { project, home, mut events } in batch {
        let found = events.len();
        events.retain(|event| event.place == home);
        open[home].lose(project, count(found - events.len()));
        open[home].add(project, events.into_iter().map(|event| event.position));
    }
    Ok(())
}

/// Copies events of one log to another, which is home to all of them. What stays where it was is damaged.
fn move_home<F: FileSystem>(
    open: &mut [ShardLog<F>],
    part: &mut [(usize, &mut Left)],
    passed: &mut Passed,
) -> Result<(), LogsError> {
    let Some((home, place)) = part.first().map(|(home, event)| (*home, event.place)) else { return Ok(()) };
    let from = open[place].directory.clone();
    let positions: Vec<Position> = part.iter().map(|(_, event)| event.position).collect();
    let (carried, result) = carry(&from, &mut open[home].log, &positions);
    result.map_err(|source| LogsError::Move {
        from: from.directory(),
        to: open[home].directory.directory(),
        source,
    })?;
    for position in &carried.damaged {
        open[place].segments.damage(position.segment);
    }
    let moved: HashMap<Position, Position> = carried.moved.into_iter().collect();
    for (_, event) in part {
        if let Some(to) = moved.get(&event.position) {
            passed.add(place, event.position);
            (event.place, event.position) = (home, *to);
        }
    }
    Ok(())
}
