//! raft-engine: segmented log files with an index in memory. A group is one batch of one raft group's entries.

use std::path::Path;

use protobuf::well_known_types::Any;
use raft_engine::{Config, Engine, LogBatch, MessageExt, ReadableSize};

use super::Store;

const GROUP: u64 = 1;

/// An entry is a protobuf message with an index; this one is in the library that raft-engine uses.
#[derive(Clone, Debug)]
struct Entries;

impl MessageExt for Entries {
    type Entry = Any;

    fn index(entry: &Any) -> u64 {
        entry.type_url.parse().unwrap_or(0)
    }
}

pub struct RaftEngine {
    engine: Engine,
    oldest: u64,
    next: u64,
    /// How often something was settled.
    settled: u64,
}

impl Store for RaftEngine {
    const NAME: &str = "raft-engine";

    fn open(directory: &Path) -> anyhow::Result<(Self, usize)> {
        let config = Config {
            dir: directory.display().to_string(),
            // The payload is compressed already.
            batch_compression_threshold: ReadableSize(0),
            // As large as the segments of the writer's log, and removed as early as can be.
            target_file_size: ReadableSize::mb(32),
            purge_threshold: ReadableSize::mb(32),
            ..Config::default()
        };
        let engine = Engine::open(config)?;
        let first = engine.first_index(GROUP);
        let oldest = first.unwrap_or(1);
        let next = engine.last_index(GROUP).map_or(1, |last| last + 1);
        // The writer needs each record's project: it is in the entry.
        let (mut found, mut bytes, mut unread) = (0, 0, Vec::new());
        for index in first.map_or(next..next, |first| first..next) {
            match engine.get_entry::<Entries>(GROUP, index) {
                Ok(entry) => {
                    found += 1;
                    bytes += entry.and_then(|entry| entry.value.first().copied()).map_or(0, u64::from);
                }
                Err(error) => unread.push(format!("entry {index}: {error}")),
            }
        }
        std::hint::black_box(bytes);
        if let Some(first) = unread.first() {
            println!("{} | {} are not read, the first: {first}", Self::NAME, unread.len());
        }
        Ok((Self { engine, oldest, next, settled: 0 }, found))
    }

    fn commit(&mut self, payloads: &[&[u8]]) -> anyhow::Result<()> {
        let mut entries = Vec::with_capacity(payloads.len());
        for payload in payloads {
            entries.push(Any { type_url: self.next.to_string(), value: payload.to_vec(), ..Any::default() });
            self.next += 1;
        }
        let mut batch = LogBatch::with_capacity(1);
        batch.add_entries::<Entries>(GROUP, &entries)?;
        self.engine.write(&mut batch, true)?;
        Ok(())
    }

    fn settle_oldest(&mut self, count: usize) -> anyhow::Result<()> {
        self.oldest += u64::try_from(count)?;
        self.engine.compact_to(GROUP, self.oldest);
        self.settled += 1;
        // Each time it looks at all files: once in a while is meant.
        if self.settled % 64 == 0 || self.oldest == self.next {
            self.engine.purge_expired_files()?;
        }
        Ok(())
    }

    fn close(self) -> anyhow::Result<()> {
        Ok(self.engine.sync()?)
    }
}
