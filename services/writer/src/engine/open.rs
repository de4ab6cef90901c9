//! Opening the logs of all shards, with what the process before left in them.

use std::{
    collections::{BTreeSet, HashMap},
    fs::{self, File, TryLockError},
    io,
    path::Path,
    sync::Arc,
};

use mesher_common::id::ProjectId;
use tokio::time::Instant;

use super::{
    carry::CarryError,
    found::Found,
    held::Held,
    memory::Memory,
    project::{Limits, Project},
    segments::Segments,
    tidy::give_back,
};
use crate::log::{
    Damage, Log, Lost, OpenError, Position, Recovered,
    fs::{Directory, FileSystem},
};

/// A segment that has so many bytes is followed by a new one. It is removed as a whole, and read as a whole at the start.
pub const SEGMENT_BYTES: u32 = 32 * 1024 * 1024;

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
    /// Events that belong to another shard since there are more or fewer cannot be copied to its log. All are still where they
    /// were.
    #[error(
        "events in {from} belong in {to}, and one {source}: make room, or start again when the disk gives them; with the \
         --shards of before nothing has to be copied"
    )]
    Move {
        /// The directory that they are in.
        from: String,
        /// The directory that they belong in.
        to: String,
        /// What failed.
        source: CarryError,
    },
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
    /// What was left of each project: its events that are not settled.
    pub(super) projects: HashMap<ProjectId, Project>,
    pub(super) segments: Segments,
}

impl<F: FileSystem> ShardLog<F> {
    /// Notes that events of a project were left, and are damaged.
    pub(super) fn lose(&mut self, project: ProjectId, count: u64) {
        if count > 0 {
            self.projects.entry(project).or_default().lose(count);
        }
    }

    /// Adds a project's events that were left, in the order in which they were accepted.
    pub(super) fn add(&mut self, project: ProjectId, positions: impl ExactSizeIterator<Item = Position>) {
        // What was acknowledged is kept, whatever the quota is now; and it is read when it is needed.
        let limits = Limits { memory: 0, events: usize::MAX, bytes: u64::MAX };
        let now = Instant::now();
        let held = positions.map(|position| {
            self.segments.add(position);
            Held::left_to_log(0, position, now)
        });
        self.projects.entry(project).or_default().accept(held, limits, &mut Memory::beside_log());
    }
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
        let directories = (0..shards).chain(left_behind(path, shards).map_err(io)?).map(|index| {
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
        let (mut open, mut found) = (Vec::new(), Found::default());
        for (index, directory) in directories.into_iter().enumerate() {
            let (log, recovered) =
                Log::open(directory.clone(), segment_bytes, |record| found.add(index, record))?;
            damaged += report(&directory, &recovered);
            // Also segments without a record are to be removed.
            let mut segments = Segments::default();
            recovered.segments.iter().for_each(|(segment, bytes)| segments.insert(*segment, (*bytes).into()));
            let lost = recovered.damage.iter().filter(|damage| damage.lost == Lost::Events);
            lost.for_each(|damage| segments.damage(damage.segment));
            open.push(ShardLog { directory, log, projects: HashMap::new(), segments });
        }
        found.bring_home(&mut open, shards)?;
        for ShardLog { directory, segments, .. } in open.split_off(shards) {
            // Everything in it was moved.
            let segments = segments.iter().collect();
            if let Some(error) = give_back(&directory, segments).error {
                return Err(in_directory(&directory, error));
            }
        }
        Ok(Self { shards: open, damaged })
    }
}

pub(super) fn in_directory<F: FileSystem>(directory: &F, source: io::Error) -> LogsError {
    LogsError::Io { directory: directory.directory(), source }
}

/// Which shards there were beyond so many, by the directories that they left.
fn left_behind(path: &Path, shards: usize) -> io::Result<BTreeSet<usize>> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(path)? {
        let name = entry?.file_name();
        let index = name.to_str().and_then(|name| name.strip_prefix(SHARD_PREFIX)?.parse::<usize>().ok());
        // No other way to write the number is a shard's.
        let is_shard = |index: &usize| *index >= shards && *name == *format!("{SHARD_PREFIX}{index}");
        found.extend(index.filter(is_shard));
    }
    Ok(found)
}

/// Tells what was found in a log, and how many places in it are damaged.
fn report<F: FileSystem>(directory: &F, recovered: &Recovered) -> u64 {
    for damage in &recovered.damage {
        let Damage { offset, length, .. } = damage;
        let file = damage.file();
        match damage.lost {
            Lost::Events => {
                let kept_as = damage.kept_as();
                tracing::error!(
                    ?directory,
                    file,
                    offset,
                    length,
                    kept_as,
                    "a part of the log is damaged, and its events are lost; the file is kept once the rest of it is stored"
                );
            }
            Lost::Header | Lost::Settled => {
                tracing::error!(
                    ?directory,
                    file,
                    offset,
                    length,
                    "a part of the log is damaged that no event needs"
                );
            }
        }
    }
    if recovered.torn_bytes > 0 {
        tracing::info!(
            ?directory,
            bytes = recovered.torn_bytes,
            "a group in the log was not finished, and not acknowledged"
        );
    }
    if recovered.unsettled > 0 {
        tracing::info!(
            ?directory,
            events = recovered.unsettled,
            settled = recovered.settled,
            "events were left in the log, and are stored now"
        );
    }
    u64::try_from(recovered.damage.len()).unwrap_or(u64::MAX)
}
