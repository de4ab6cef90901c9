//! Opening the logs of all shards, with what the process before left in them.

use std::{
    collections::{BTreeMap, HashSet},
    fs::{self, File, TryLockError},
    io,
    path::Path,
};

use super::shard_of;
use crate::log::{self, Log, OpenError, Recovered, RecoveredRecord, fs::Directory};

/// A segment that has so many bytes is followed by a new one. It is removed as a whole, and read as a whole at the start.
const SEGMENT_BYTES: u32 = 32 * 1024 * 1024;

/// The file that a writer holds locked while it uses the logs beside it.
const LOCK: &str = "lock";
const SHARD_PREFIX: &str = "shard-";

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
    /// Locked for as long as the logs are used.
    pub(super) lock: File,
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
}

impl Logs {
    /// Opens the logs of so many shards below `path`, which is made if it is missing. What was left by another number of
    /// shards finds its way to the shard that it belongs to now. Blocks, for as long as it takes to read what was left.
    pub fn open(path: &Path, shards: usize) -> Result<Self, LogsError> {
        let io = |source| LogsError::Io { directory: path.display().to_string(), source };
        fs::create_dir_all(path).map_err(io)?;
        let lock = File::create(path.join(LOCK)).map_err(io)?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => LogsError::InUse(path.display().to_string()),
            TryLockError::Error(source) => io(source),
        })?;
        let mut damaged = 0;
        let (mut open, mut found) = (Vec::new(), Vec::new());
        for index in 0..shards.max(left_behind(path).map_err(io)?) {
            let directory = Directory::create(&path.join(format!("{SHARD_PREFIX}{index}"))).map_err(io)?;
            let (log, recovered) = Log::open(directory.clone(), SEGMENT_BYTES)?;
            damaged += report(&directory, &recovered);
            // Also segments without a record are to be removed.
            let segments = recovered.segments.into_iter().map(|segment| (segment, 0)).collect();
            open.push(ShardLog { directory, log, records: Vec::new(), segments });
            found.push(recovered.records);
        }
        // A record that was moved is in two places until the segment that it came from is removed. Then the one is found
        // where it does not belong, and only then is it worth the time to look for doubles.
        let mut seen = found
            .iter()
            .enumerate()
            .any(|(index, records)| records.iter().any(|record| shard_of(record.project, shards) != index))
            .then(HashSet::new);
        for (index, records) in found.into_iter().enumerate() {
            for mut record in records {
                let home = shard_of(record.project, shards);
                if let Some(seen) = &mut seen {
                    let read = log::read(&open[index].directory, record.position).map_err(io)?;
                    if !seen.insert((read.project, read.id, read.received_at)) {
                        continue;
                    }
                    if home != index {
                        let moved = open[home].log.commit(&[read]).map_err(io)?;
                        record.position = moved.first().copied().unwrap_or(record.position);
                    }
                }
                let shard = &mut open[home];
                *shard.segments.entry(record.position.segment).or_default() += 1;
                shard.records.push(record);
            }
        }
        for ShardLog { mut log, segments, .. } in open.split_off(shards) {
            // Everything in it was moved.
            for segment in segments.into_keys() {
                log.remove(segment).map_err(io)?;
            }
        }
        Ok(Self { shards: open, lock, damaged })
    }
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
