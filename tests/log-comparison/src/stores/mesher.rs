//! Mesher's own log, with the writer's way of removing segments: by a count of what is not settled in each.

use std::{collections::VecDeque, path::Path};

use mesher_common::id::{EventId, ProjectId};
use mesher_writer::{
    admission::Fingerprint,
    engine::SEGMENT_BYTES,
    log::{self, Log, Position, Record, fs::Directory},
    row::LAYOUT,
};
use uuid::Uuid;

use super::Store;

#[derive(Debug)]
pub struct MesherLog {
    directory: Directory,
    log: Log<Directory>,
    unsettled: VecDeque<Position>,
    /// Segments that are not removed yet, the oldest first.
    segments: VecDeque<u64>,
}

impl Store for MesherLog {
    const NAME: &str = "own log";

    fn open(directory: &Path) -> anyhow::Result<(Self, usize)> {
        let directory = Directory::create(directory)?;
        let mut unsettled = VecDeque::new();
        let (log, recovered) =
            Log::open(directory.clone(), SEGMENT_BYTES, |record| unsettled.push_back(record.position))?;
        for damage in &recovered.damage {
            println!("{} | reported: {damage:?}", Self::NAME);
        }
        let found = unsettled.len();
        Ok((Self { directory, log, unsettled, segments: recovered.segments.into_keys().collect() }, found))
    }

    fn commit(&mut self, payloads: &[&[u8]]) -> anyhow::Result<()> {
        let record = |payload| Record {
            project: ProjectId(Uuid::from_u128(7)),
            id: EventId(Uuid::from_u128(7)),
            received_at: 0,
            id_given: false,
            fingerprint: Fingerprint::from_bytes([1; Fingerprint::LENGTH]),
            layout: LAYOUT,
            // No store looks into it: compressed bytes will do for a row.
            row: payload,
        };
        let records: Vec<Record<&[u8]>> = payloads.iter().map(|payload| record(*payload)).collect();
        self.unsettled.extend(self.log.commit(&records)?);
        if let Some((active, _)) = self.log.active()
            && self.segments.back() != Some(&active)
        {
            self.segments.push_back(active);
        }
        Ok(())
    }

    fn settle_oldest(&mut self, count: usize) -> anyhow::Result<()> {
        self.unsettled.drain(..count);
        let oldest = self.unsettled.front().map_or(u64::MAX, |position| position.segment);
        if oldest == u64::MAX {
            self.log.seal();
        }
        let settled = self.segments.iter().take_while(|segment| **segment < oldest).count();
        let settled: Vec<u64> = self.segments.drain(..settled).collect();
        if !settled.is_empty() {
            log::remove(&self.directory, &settled)?;
        }
        Ok(())
    }

    fn close(self) -> anyhow::Result<()> {
        Ok(())
    }
}
