//! Carrying events forward in a log: they are copied to its end, so that the segment that they were in can be removed.

use std::io;

use crate::log::{self, Log, Position, ReadError, fs::FileSystem};

/// About how many bytes are copied with one sync, and held in memory. In tests so few that a few events are several groups.
const BYTES_AT_ONCE: u64 = if cfg!(test) { 1000 } else { 4 * 1024 * 1024 };

/// Where events were, and where they are now as well; `None` where one cannot be read any more.
pub(super) type Carried = Vec<(Position, Option<Position>)>;

/// Copies events to the end of the log. What is given is synced, also when it is not all.
pub(super) fn carry<F: FileSystem>(
    directory: &F,
    log: &mut Log<F>,
    events: &[Position],
) -> (Carried, io::Result<()>) {
    let mut carried = Vec::with_capacity(events.len());
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
) -> io::Result<()> {
    let (mut from, mut records) = (Vec::with_capacity(group.len()), Vec::with_capacity(group.len()));
    let mut reader = log::Reader::new(directory);
    for position in group {
        match reader.read(*position) {
            Ok(record) => {
                from.push(*position);
                records.push(record);
            }
            Err(ReadError::Damaged(error)) => {
                tracing::error!(?position, error, "event dropped: its record in the log is damaged");
                carried.push((*position, None));
            }
            Err(ReadError::Io(error)) => return Err(error),
        }
    }
    let to = log.commit(&records)?;
    carried.extend(from.into_iter().zip(to.into_iter().map(Some)));
    Ok(())
}
