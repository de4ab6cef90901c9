//! The reference for an acknowledgement: what the disk takes to keep one record, with nobody else about.

use std::{
    fs::{self, OpenOptions},
    io::Write as _,
    path::Path,
    time::{Duration, Instant},
};

use chrono::Utc;
use mesher_common::id::ProjectId;
use mesher_writer::admission::{Sent, admit};

use crate::events::Sample;

/// How long each record of an event takes from the first byte to the end of its `fdatasync`, appended to one file.
pub(super) fn appends(dir: &Path, samples: &[Sample]) -> anyhow::Result<Vec<Duration>> {
    let path = dir.join("reference.log");
    let mut file = OpenOptions::new().append(true).create_new(true).open(&path)?;
    let mut times = Vec::with_capacity(samples.len());
    for sample in samples {
        let record = record(sample)?;
        let started = Instant::now();
        file.write_all(&record)?;
        file.sync_data()?;
        times.push(started.elapsed());
    }
    fs::remove_file(&path)?;
    Ok(times)
}

/// An event as it is in the writer's log.
fn record(sample: &Sample) -> anyhow::Result<Vec<u8>> {
    let mut record = Vec::new();
    admit(ProjectId::new(), &Sent::Json(&sample.json), Utc::now())?.record().encode(&mut record);
    Ok(record)
}

#[cfg(test)]
mod tests {
    use mesher_writer::log::Record;

    use super::*;
    use crate::events::Generator;

    #[test]
    fn what_is_synced_is_what_the_log_has() {
        let sample = Generator::new(1).event(0).unwrap();
        let record = record(&sample).unwrap();
        let read = Record::decode(&record).unwrap();
        assert_eq!((read.id.0, read.length()), (sample.id, record.len()));
    }
}
