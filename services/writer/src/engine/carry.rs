//! Carrying events forward in a log: they are copied to its end, so that the segment that they were in can be removed.

use std::io;

use crate::log::{self, Log, Position, ReadError, Record, fs::FileSystem};

/// About how many bytes are copied with one sync, and held in memory. In tests so few that a few events are several groups.
const BYTES_AT_ONCE: u64 = if cfg!(test) { 1000 } else { 4 * 1024 * 1024 };

/// What became of events that were to be copied. Those that are not here are only where they were.
#[derive(Debug, Default)]
pub(super) struct Carried {
    /// Where they were, and where they are now as well, synced.
    pub(super) moved: Vec<(Position, Position)>,
    /// Those whose records are not what was written any more.
    pub(super) damaged: Vec<Position>,
}

/// Why not all were copied.
#[derive(Debug, thiserror::Error)]
pub enum CarryError {
    /// One cannot be read now. Without it the segment cannot be removed, so no more of it are copied.
    #[error("cannot be read: {0}")]
    Read(io::Error),
    /// The copies cannot be written.
    #[error("cannot be copied: {0}")]
    Write(io::Error),
}

/// Copies events to the end of the log.
pub(super) fn carry<F: FileSystem>(
    directory: &F,
    log: &mut Log<F>,
    events: &[Position],
) -> (Carried, Result<(), CarryError>) {
    let mut carried = Carried::default();
    let mut rest = events;
    while !rest.is_empty() {
        let mut bytes = 0;
        let fits = |position: &&Position| {
            bytes += u64::from(position.length);
            bytes <= BYTES_AT_ONCE
        };
        let (group, later) = rest.split_at(rest.iter().take_while(fits).count().max(1));
        rest = later;
        if let Err(error) = carry_group(directory, log, group, &mut carried) {
            return (carried, Err(error));
        }
    }
    (carried, Ok(()))
}

fn carry_group<F: FileSystem>(
    directory: &F,
    log: &mut Log<F>,
    group: &[Position],
    carried: &mut Carried,
) -> Result<(), CarryError> {
    let (mut from, mut records): (Vec<Position>, Vec<Record>) = (Vec::new(), Vec::new());
    let mut reader = log::Reader::new(directory);
    for position in group {
        match reader.read(*position) {
            Ok(record) => {
                from.push(*position);
                records.push(record);
            }
            Err(ReadError::Damaged(error)) => {
                tracing::error!(?directory, ?position, error, "a record in the log is damaged");
                carried.damaged.push(*position);
            }
            Err(ReadError::Io(error)) => return Err(CarryError::Read(error)),
        }
    }
    if !records.is_empty() {
        let to = log.commit(&records).map_err(CarryError::Write)?;
        carried.moved.extend(from.into_iter().zip(to));
    }
    Ok(())
}
