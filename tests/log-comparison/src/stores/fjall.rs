//! fjall: a log-structured merge tree behind a journal. A group is one batch, persisted.

use std::path::Path;

use fjall::{Database, Keyspace, KeyspaceCreateOptions, PersistMode};

use super::Store;

pub struct Fjall {
    database: Database,
    events: Keyspace,
    oldest: u64,
    next: u64,
}

impl Store for Fjall {
    const NAME: &str = "fjall";

    fn open(directory: &Path) -> anyhow::Result<(Self, usize)> {
        let database = Database::builder(directory).open()?;
        let events = database.keyspace("events", KeyspaceCreateOptions::default)?;
        let (mut oldest, mut next, mut found, mut bytes) = (None, 0, 0, 0);
        for entry in events.iter() {
            let (key, value) = entry.into_inner()?;
            let key = u64::from_be_bytes(key.as_ref().try_into()?);
            oldest.get_or_insert(key);
            next = key + 1;
            found += 1;
            // The writer needs each record's project: it is in the value.
            bytes += value.iter().take(16).map(|byte| u64::from(*byte)).sum::<u64>();
        }
        std::hint::black_box(bytes);
        Ok((Self { database, events, oldest: oldest.unwrap_or(0), next }, found))
    }

    fn commit(&mut self, payloads: &[&[u8]]) -> anyhow::Result<()> {
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncData));
        for payload in payloads {
            batch.insert(&self.events, self.next.to_be_bytes(), *payload);
            self.next += 1;
        }
        Ok(batch.commit()?)
    }

    fn settle_oldest(&mut self, count: usize) -> anyhow::Result<()> {
        let end = self.oldest + u64::try_from(count)?;
        let mut batch = self.database.batch();
        for key in self.oldest..end {
            batch.remove(&self.events, key.to_be_bytes());
        }
        self.oldest = end;
        Ok(batch.commit()?)
    }

    fn close(self) -> anyhow::Result<()> {
        Ok(self.database.persist(PersistMode::SyncAll)?)
    }
}
