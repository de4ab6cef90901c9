//! Group commit, as the writer has it: what arrives while a group is being synced is the next group.

use std::{sync::mpsc, thread, time::Duration};

use tokio::sync::oneshot;

use crate::stores::Store;

/// A payload that is to be acknowledged.
#[derive(Debug)]
pub struct Waiting {
    pub payload: Vec<u8>,
    pub done: oneshot::Sender<()>,
}

/// What became of all groups.
#[derive(Debug, Default)]
pub struct Groups {
    pub groups: u64,
    pub events: u64,
    pub payload_bytes: u64,
}

/// Commits what arrives, on a thread of its own, until nobody is left who could send more.
pub fn commit_all<S: Store>(
    mut store: S,
    arriving: mpsc::Receiver<Waiting>,
) -> thread::JoinHandle<anyhow::Result<(S, Groups)>> {
    thread::spawn(move || {
        let mut counted = Groups::default();
        while let Ok(first) = arriving.recv() {
            // One round of the others: they were woken by the group before, and are about to send.
            thread::yield_now();
            let group: Vec<Waiting> = std::iter::once(first).chain(arriving.try_iter()).collect();
            let payloads: Vec<&[u8]> = group.iter().map(|waiting| waiting.payload.as_slice()).collect();
            store.commit(&payloads)?;
            counted.groups += 1;
            for Waiting { payload, done } in group {
                counted.events += 1;
                counted.payload_bytes += u64::try_from(payload.len())?;
                // Whoever does not wait any more needs no answer.
                let _ = done.send(());
            }
        }
        Ok((store, counted))
    })
}

/// The value below which this part of `sorted` lies, in milliseconds.
pub fn percentile(sorted: &[Duration], part: f64) -> f64 {
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an index far below 2^52"
    )]
    let index = (sorted.len() as f64 * part) as usize;
    sorted.get(index.min(sorted.len().saturating_sub(1))).map_or(0.0, Duration::as_secs_f64) * 1e3
}
