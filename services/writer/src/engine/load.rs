//! Getting a batch into memory: what is only in the log is read from there.
//!
//! What cannot be read keeps nothing else from being stored: it is put back, and read again later.

use std::{io, time::Duration};

use tokio_util::sync::CancellationToken;

use super::held::Held;
use crate::{
    admission,
    event::Event,
    log::{Position, ReadError, Reader, fs::FileSystem},
};

/// How long to wait before reading for the second and the third time what could not be read.
const RETRY_DELAYS: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(500)];

/// Why an event is not loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Missing {
    /// Its record is not what was written any more.
    Damaged,
    /// Its record cannot be read now. It may be readable later: a disk or a file system may come to itself.
    Unreadable,
}

/// Loads a batch, in its order. What cannot be read is tried three times in all, but only once after `closed`. Nothing is given
/// if the runtime goes down.
pub(super) async fn load<F: FileSystem>(
    batch: Vec<Held>,
    directory: Option<F>,
    closed: &CancellationToken,
) -> Option<Vec<Result<Event, Missing>>> {
    let mut loaded = Vec::with_capacity(batch.len());
    let mut missing = Vec::new();
    for (place, held) in batch.into_iter().enumerate() {
        loaded.push(held.into_event().map_err(|position| {
            missing.push((place, position));
            Missing::Unreadable
        }));
    }
    let Some(directory) = directory else { return Some(loaded) };
    let mut delays = RETRY_DELAYS.into_iter();
    while !missing.is_empty() {
        let (from, positions) = (directory.clone(), missing);
        // Reading blocks, and what is read has to be taken apart again.
        let reading = tokio::task::spawn_blocking(move || {
            let mut reader = Reader::new(&from);
            positions.into_iter().map(|(place, at)| (place, at, restore(&mut reader, at))).collect::<Vec<_>>()
        });
        let read = match reading.await {
            Ok(read) => read,
            // The runtime goes down: what was not loaded is left to the log.
            Err(error) => std::panic::resume_unwind(error.try_into_panic().ok()?),
        };
        missing = Vec::new();
        let mut last = None;
        for (place, position, event) in read {
            loaded[place] = event.map_err(|error| match error {
                ReadError::Damaged(error) => {
                    tracing::error!(?directory, ?position, %error, "event dropped: its record in the log is damaged");
                    Missing::Damaged
                }
                ReadError::Io(error) => {
                    missing.push((place, position));
                    last = Some((position, error));
                    Missing::Unreadable
                }
            });
        }
        if let Some((position, error)) = last {
            let waited = match delays.next() {
                Some(delay) => closed.run_until_cancelled(tokio::time::sleep(delay)).await,
                None => None,
            };
            if waited.is_none() {
                tracing::warn!(events = missing.len(), ?directory, ?position, %error, "events left: they cannot be read");
                break;
            }
        }
    }
    Some(loaded)
}

fn restore<F: FileSystem>(reader: &mut Reader<'_, F>, position: Position) -> Result<Event, ReadError> {
    let record = reader.read(position)?;
    admission::restore(record).map_err(|error: io::Error| ReadError::Damaged(error.to_string()))
}
