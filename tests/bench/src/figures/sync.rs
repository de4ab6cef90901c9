//! The reference for an acknowledgement: what the disk takes to keep one record, with nobody else about.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    path::Path,
    time::{Duration, Instant},
};

use mesher_common::payload;

use crate::events::Sample;

/// What the writer's log has around a compressed payload.
const FRAME: usize = 53;

/// How long each record of an event takes from the first byte to the end of its `fdatasync`, appended to one file.
pub(super) fn appends(dir: &Path, samples: &[Sample]) -> anyhow::Result<Vec<Duration>> {
    let path = dir.join("reference.log");
    let mut file = OpenOptions::new().append(true).create_new(true).open(&path)?;
    let mut times = Vec::with_capacity(samples.len());
    for sample in samples {
        let mut record = payload::compress(&sample.json)?;
        record.resize(record.len() + FRAME, 0);
        let started = Instant::now();
        file.write_all(&record)?;
        file.sync_data()?;
        times.push(started.elapsed());
    }
    fs::remove_file(&path)?;
    Ok(times)
}
