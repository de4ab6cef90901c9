//! Getting a batch into memory: what is only in the log is read from there.

use std::{io, time::Duration};

use tokio_util::sync::CancellationToken;

use super::held::Held;
use crate::{
    admission,
    event::Event,
    log::{Position, ReadError, Reader, fs::FileSystem},
};

/// How long to wait before reading again what could not be read.
const RETRY_DELAY: Duration = Duration::from_secs(1);

/// Loads a batch, in its order; `None` for an event whose record is damaged. What cannot be read for another reason is
/// tried again until it can, or until `closed`: then nothing is given, and everything is left to the log.
pub(super) async fn load<F: FileSystem>(
    batch: Vec<Held>,
    directory: Option<F>,
    closed: &CancellationToken,
) -> Option<Vec<Option<Event>>> {
    let mut loaded = Vec::with_capacity(batch.len());
    let mut missing = Vec::new();
    for (place, held) in batch.into_iter().enumerate() {
        match held.into_event() {
            Ok(event) => loaded.push(Some(event)),
            Err(position) => {
                loaded.push(None);
                missing.push((place, position));
            }
        }
    }
    let Some(directory) = directory else { return Some(loaded) };
    while !missing.is_empty() {
        let (directory, positions) = (directory.clone(), missing);
        // Reading blocks, and what is read has to be taken apart again.
        let reading = tokio::task::spawn_blocking(move || {
            let mut reader = Reader::new(&directory);
            positions.into_iter().map(|(place, at)| (place, at, restore(&mut reader, at))).collect::<Vec<_>>()
        });
        let read = match reading.await {
            Ok(read) => read,
            // The runtime goes down: what was not loaded is left to the log.
            Err(error) => std::panic::resume_unwind(error.try_into_panic().ok()?),
        };
        missing = Vec::new();
        for (place, position, event) in read {
            match event {
                Ok(event) => loaded[place] = Some(event),
                Err(ReadError::Damaged(error)) => {
                    tracing::error!(?position, %error, "event dropped: its record in the log is damaged");
                }
                Err(ReadError::Io(error)) => {
                    tracing::warn!(?position, %error, "the log cannot be read, and is tried again");
                    missing.push((place, position));
                }
            }
        }
        let wait = tokio::time::sleep(RETRY_DELAY);
        if !missing.is_empty() && closed.run_until_cancelled(wait).await.is_none() {
            return None;
        }
    }
    Some(loaded)
}

fn restore<F: FileSystem>(reader: &mut Reader<'_, F>, position: Position) -> Result<Event, ReadError> {
    let record = reader.read(position)?;
    admission::restore(record).map_err(|error: io::Error| ReadError::Damaged(error.to_string()))
}
