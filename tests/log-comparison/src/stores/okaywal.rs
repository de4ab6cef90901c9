//! OkayWAL: a write-ahead log in segments. A group is one entry, with a chunk for each record. It has no way to remove the
//! oldest records alone: what is checkpointed is all that was written before.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use okaywal::{Configuration, Entry, EntryId, LogManager, SegmentReader, WriteAheadLog};

use super::Store;

/// No checkpoint but those that are asked for.
const NEVER: u64 = 1 << 40;

#[derive(Debug, Default)]
struct Counting(Arc<AtomicUsize>);

impl LogManager for Counting {
    fn recover(&mut self, entry: &mut Entry<'_>) -> std::io::Result<()> {
        if let Some(chunks) = entry.read_all_chunks()? {
            self.0.fetch_add(chunks.len(), Ordering::Relaxed);
        }
        Ok(())
    }

    fn checkpoint_to(&mut self, _: EntryId, _: &mut SegmentReader, _: &WriteAheadLog) -> std::io::Result<()> {
        Ok(())
    }
}

#[derive(Debug)]
pub struct OkayWal {
    log: WriteAheadLog,
    unsettled: usize,
}

impl Store for OkayWal {
    const NAME: &str = "okaywal";

    fn open(directory: &Path) -> anyhow::Result<(Self, usize)> {
        let found = Arc::new(AtomicUsize::new(0));
        let log = Configuration::default_for(directory)
            .checkpoint_after_bytes(NEVER)
            .open(Counting(Arc::clone(&found)))?;
        let found = found.load(Ordering::Relaxed);
        Ok((Self { log, unsettled: found }, found))
    }

    fn commit(&mut self, payloads: &[&[u8]]) -> anyhow::Result<()> {
        let mut entry = self.log.begin_entry()?;
        for payload in payloads {
            entry.write_chunk(payload)?;
        }
        entry.commit()?;
        self.unsettled += payloads.len();
        Ok(())
    }

    fn settle_oldest(&mut self, count: usize) -> anyhow::Result<()> {
        self.unsettled -= count;
        if self.unsettled == 0 {
            self.log.checkpoint_active()?;
        }
        Ok(())
    }

    fn close(self) -> anyhow::Result<()> {
        Ok(self.log.shutdown()?)
    }
}
