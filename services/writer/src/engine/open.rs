//! Opening the logs of all shards, with what the process before left in them.

use std::{
    collections::BTreeMap,
    fs::{self, File, TryLockError},
    io,
    path::Path,
    sync::Arc,
};

use mesher_common::id::EventId;

use super::shard_of;
use crate::log::{self, Log, OpenError, Recovered, RecoveredRecord, fs::Directory};

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
pub struct Logs {
    pub(super) shards: Vec<ShardLog>,
    /// How many places in the logs were not what was written.
    pub(super) damaged: u64,
}

/// The log of one shard.
#[derive(Debug)]
pub(super) struct ShardLog {
    pub(super) directory: Directory,
    pub(super) log: Log<Directory>,
    /// What is not settled, in the order in which it was accepted.
    pub(super) records: Vec<RecoveredRecord>,
    /// How many records of each segment are not settled.
    pub(super) segments: BTreeMap<u64, u64>,
    /// Keeps other writers from the logs of all shards, until this one is done with it.
    pub(super) lock: Arc<File>,
}

impl Logs {
    /// Opens the logs of so many shards below `path`, which is made if it is missing, with segments of `segment_bytes`. What was left by another number of
    /// shards finds its way to the shard that it belongs to now. Blocks, for as long as it takes to read what was left.
    pub fn open(path: &Path, shards: usize, segment_bytes: u32) -> Result<Self, LogsError> {
        let io = |source| LogsError::Io { directory: path.display().to_string(), source };
        let path = &std::path::absolute(path).map_err(io)?;
        fs::create_dir_all(path).map_err(io)?;
        let lock = Arc::new(File::create(path.join(LOCK)).map_err(io)?);
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => LogsError::InUse(path.display().to_string()),
            TryLockError::Error(source) => io(source),
        })?;
        let mut damaged = 0;
        let (mut open, mut found) = (Vec::new(), Vec::new());
        for index in 0..shards.max(left_behind(path).map_err(io)?) {
            let directory = Directory::create(&path.join(format!("{SHARD_PREFIX}{index}"))).map_err(io)?;
            let (log, recovered) = Log::open(directory.clone(), segment_bytes)?;
            damaged += report(&directory, &recovered);
            // Also segments without a record are to be removed.
            let segments = recovered.segments.into_iter().map(|segment| (segment, 0)).collect();
            open.push(ShardLog { directory, log, records: Vec::new(), segments, lock: Arc::clone(&lock) });
            found.push(recovered.records);
        }
        let at_home = |(index, records): (usize, &Vec<RecoveredRecord>)| {
            records.iter().all(|record| shard_of(record.project, shards) == index)
        };
        if found.iter().enumerate().all(at_home) {
            for (shard, records) in open.iter_mut().zip(found) {
                for record in records {
                    shard.add(record);
                }
            }
        } else {
            bring_home(&mut open, found, shards).map_err(io)?;
        }
        for ShardLog { directory, segments, .. } in open.split_off(shards) {
            // Everything in it was moved.
            log::remove(&directory, &segments.into_keys().collect::<Vec<_>>()).map_err(io)?;
        }
        Ok(Self { shards: open, damaged })
    }
}

impl ShardLog {
    fn add(&mut self, record: RecoveredRecord) {
        *self.segments.entry(record.position.segment).or_default() += 1;
        self.records.push(record);
    }
}

/// A record, and what tells it from all others and puts it in its place.
struct Found {
    received_at: i64,
    id: EventId,
    /// The shard that it belongs to, and the one whose log it is in.
    home: usize,
    index: usize,
    record: RecoveredRecord,
}

/// Gives every record to the shard that it belongs to now, in the order of their arrival. Those that are elsewhere are
/// copied; a copy and what it was made of are both there until the segment of the latter is removed, and count as one.
fn bring_home(open: &mut [ShardLog], found: Vec<Vec<RecoveredRecord>>, shards: usize) -> io::Result<()> {
    let mut all = Vec::new();
    for (index, records) in found.into_iter().enumerate() {
        for record in records {
            let read = log::read(&open[index].directory, record.position).map_err(io::Error::other)?;
            let home = shard_of(record.project, shards);
            all.push(Found { received_at: read.received_at, id: read.id, home, index, record });
        }
    }
    // Of two copies, the one that is at home already comes first.
    all.sort_by_key(|found| (found.received_at, found.id, found.record.project, found.home != found.index));
    all.dedup_by_key(|found| (found.received_at, found.id, found.record.project));
    let (staying, mut moving): (Vec<Found>, Vec<Found>) =
        all.into_iter().partition(|found| found.home == found.index);
    // Stable: for each shard they stay in the order of their arrival.
    moving.sort_by_key(|found| found.home);
    let mut home: Vec<Vec<Found>> = std::iter::repeat_with(Vec::new).take(shards).collect();
    for found in staying {
        home[found.home].push(found);
    }
    for group in moving.chunk_by(|a, b| a.home == b.home).flat_map(|same| same.chunks(MOVED_AT_ONCE)) {
        let mut records = Vec::with_capacity(group.len());
        for found in group {
            let read = log::read(&open[found.index].directory, found.record.position);
            records.push(read.map_err(io::Error::other)?);
        }
        let target = group.first().map_or(0, |found| found.home);
        let positions = open[target].log.commit(&records)?;
        for (found, position) in group.iter().zip(positions) {
            let record = RecoveredRecord { position, ..found.record };
            home[target].push(Found { record, index: target, ..*found });
        }
    }
    for (shard, mut records) in open.iter_mut().zip(home) {
        records.sort_by_key(|found| found.received_at);
        for found in records {
            shard.add(found.record);
        }
    }
    Ok(())
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
fn report(directory: &Directory, recovered: &Recovered) -> u64 {
    for damage in &recovered.damage {
        tracing::error!(?directory, ?damage, "a part of the log is damaged, and its events are lost");
    }
    if recovered.torn_bytes > 0 {
        tracing::info!(?directory, bytes = recovered.torn_bytes, "an unfinished group was cut off the log");
    }
    if !recovered.records.is_empty() {
        tracing::info!(
            ?directory,
            events = recovered.records.len(),
            "events were left in the log, and are stored now"
        );
    }
    u64::try_from(recovered.damage.len()).unwrap_or(u64::MAX)
}
