//! Opening the logs of all shards, with what the process before left in them.

use std::{
    cmp::Reverse,
    fs::{self, File, TryLockError},
    io,
    path::Path,
    sync::Arc,
};

use super::{segments::Segments, shard_of};
use crate::log::{
    self, Log, OpenError, Position, Recovered, RecoveredRecord,
    fs::{Directory, FileSystem},
};

/// A segment that has so many bytes is followed by a new one. It is removed as a whole, and read as a whole at the start.
pub const SEGMENT_BYTES: u32 = 32 * 1024 * 1024;

/// The file that a writer holds locked while it uses the logs beside it.
const LOCK: &str = "lock";
const SHARD_PREFIX: &str = "shard-";

/// How many records are moved with one sync.
const MOVED_AT_ONCE: usize = 500;

/// Why the logs cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LogsError {
    /// Another writer uses them.
    #[error("the log in {0} is in use by another writer: give another directory with --log-dir")]
    InUse(String),
    /// The directory cannot be used.
    #[error("the log in {directory} cannot be used: {source} (--log-dir gives another directory)")]
    Io {
        /// The directory.
        directory: String,
        /// What the system says.
        source: io::Error,
    },
    /// A log cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
}

/// The logs of all shards.
#[derive(Debug)]
pub struct Logs<F: FileSystem = Directory> {
    pub(super) shards: Vec<ShardLog<F>>,
    /// How many places in the logs were not what was written.
    pub(super) damaged: u64,
}

/// The log of one shard.
#[derive(Debug)]
pub(super) struct ShardLog<F: FileSystem> {
    pub(super) directory: F,
    pub(super) log: Log<F>,
    /// What is not settled, in the order in which it was accepted.
    pub(super) records: Vec<RecoveredRecord>,
    pub(super) segments: Segments,
}

impl Logs {
    /// Opens the logs of so many shards below `path`, which is made if it is missing, with segments of `segment_bytes`. What
    /// was left by another number of shards finds its way to the shard that it belongs to now. Blocks, for as long as it takes
    /// to read what was left.
    pub fn open(path: &Path, shards: usize, segment_bytes: u32) -> Result<Self, LogsError> {
        let io = |source| LogsError::Io { directory: path.display().to_string(), source };
        let path = &std::path::absolute(path).map_err(io)?;
        fs::create_dir_all(path).map_err(io)?;
        let lock = Arc::new(File::create(path.join(LOCK)).map_err(io)?);
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => LogsError::InUse(path.display().to_string()),
            TryLockError::Error(source) => io(source),
        })?;
        let directories = (0..shards.max(left_behind(path).map_err(io)?)).map(|index| {
            let directory = Directory::create(&path.join(format!("{SHARD_PREFIX}{index}")))?;
            Ok(directory.locked_by(Arc::clone(&lock)))
        });
        let directories = directories.collect::<io::Result<_>>().map_err(io)?;
        Self::open_in(directories, shards, segment_bytes)
    }
}

impl<F: FileSystem> Logs<F> {
    /// Opens the logs of so many shards in a directory each; there may be more that were left by more shards.
    pub(super) fn open_in(directories: Vec<F>, shards: usize, segment_bytes: u32) -> Result<Self, LogsError> {
        let mut damaged = 0;
        let (mut open, mut found) = (Vec::new(), Vec::new());
        for (index, directory) in directories.into_iter().enumerate() {
            let (log, recovered) = Log::open(directory.clone(), segment_bytes)?;
            damaged += report(&directory, &recovered);
            // Also segments without a record are to be removed.
            let mut segments = Segments::default();
            recovered.segments.iter().for_each(|(segment, bytes)| segments.insert(*segment, (*bytes).into()));
            open.push(ShardLog { directory, log, records: Vec::new(), segments });
            found.extend(recovered.records.into_iter().map(|record| Found {
                home: shard_of(record.project, shards),
                index,
                record,
            }));
        }
        bring_home(&mut open, once(found))?;
        for ShardLog { directory, segments, .. } in open.split_off(shards) {
            // Everything in it was moved.
            let segments: Vec<u64> = segments.iter().map(|(segment, _)| segment).collect();
            log::remove(&directory, &segments).map_err(|source| in_directory(&directory, source))?;
        }
        Ok(Self { shards: open, damaged })
    }
}

impl<F: FileSystem> ShardLog<F> {
    fn add(&mut self, record: RecoveredRecord) {
        self.segments.add(record.position);
        self.records.push(record);
    }
}

/// A record, the shard that it belongs to, and the one whose log it is in.
#[derive(Clone, Copy)]
struct Found {
    home: usize,
    index: usize,
    record: RecoveredRecord,
}

/// Each record once, in the order of their arrival. One that was carried forward, or brought to another shard, is in two
/// places until the segment that it was in is removed.
fn once(mut found: Vec<Found>) -> Vec<Found> {
    let event = |found: &Found| {
        let RecoveredRecord { received_at, id, project, .. } = found.record;
        (received_at, id, project)
    };
    // The one at home comes first, and the one that was written last.
    found.sort_unstable_by_key(|found| {
        (event(found), found.home != found.index, Reverse(found.record.position))
    });
    found.dedup_by_key(|found| event(found));
    found.sort_unstable_by_key(|found| (found.record.received_at, found.index, found.record.position));
    found
}

/// Gives every record to the shard that it belongs to now. Those that are elsewhere are copied.
fn bring_home<F: FileSystem>(open: &mut [ShardLog<F>], mut found: Vec<Found>) -> Result<(), LogsError> {
    let mut moving: Vec<&mut Found> = found.iter_mut().filter(|found| found.home != found.index).collect();
    // Stable: for each shard they stay in the order of their arrival.
    moving.sort_by_key(|found| found.home);
    for same in moving.chunk_by_mut(|a, b| a.home == b.home) {
        for group in same.chunks_mut(MOVED_AT_ONCE) {
            let mut records = Vec::with_capacity(group.len());
            for found in &*group {
                let from = &open[found.index].directory;
                let read = log::Reader::new(from).read(found.record.position).map_err(io::Error::other);
                records.push(read.map_err(|source| in_directory(from, source))?);
            }
            let Some(home) = group.first().map(|found| found.home) else { continue };
            let ShardLog { directory, log, .. } = &mut open[home];
            let positions: Vec<Position> =
                log.commit(&records).map_err(|source| in_directory(directory, source))?;
            for (found, position) in group.iter_mut().zip(positions) {
                found.record.position = position;
                found.index = home;
            }
        }
    }
    for Found { home, record, .. } in found {
        open[home].add(record);
    }
    Ok(())
}

fn in_directory<F: FileSystem>(directory: &F, source: io::Error) -> LogsError {
    LogsError::Io { directory: directory.directory(), source }
}

/// How many shards there were, by the directories that they left.
fn left_behind(path: &Path) -> io::Result<usize> {
    let mut count = 0;
    for entry in fs::read_dir(path)? {
        let name = entry?.file_name();
        let index = name.to_str().and_then(|name| name.strip_prefix(SHARD_PREFIX)?.parse::<usize>().ok());
        count = count.max(index.map_or(0, |index| index + 1));
    }
    Ok(count)
}

/// Tells what was found in a log, and how many places in it are damaged.
fn report<F: FileSystem>(directory: &F, recovered: &Recovered) -> u64 {
    for damage in &recovered.damage {
        tracing::error!(?directory, ?damage, "a part of the log is damaged, and its events are lost");
    }
    if recovered.torn_bytes > 0 {
        tracing::info!(
            ?directory,
            bytes = recovered.torn_bytes,
            "a group in the log was not finished, and not acknowledged"
        );
    }
    if !recovered.records.is_empty() {
        tracing::info!(
            ?directory,
            events = recovered.records.len(),
            settled = recovered.settled,
            "events were left in the log, and are stored now"
        );
    }
    u64::try_from(recovered.damage.len()).unwrap_or(u64::MAX)
}
