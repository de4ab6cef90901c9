//! redb: a copy-on-write B-tree in one file. A group is one write transaction.

use std::path::Path;

use redb::{Database, Durability, ReadableTable as _, ReadableTableMetadata as _, TableDefinition};

use super::Store;

const EVENTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("events");

#[derive(Debug)]
pub struct Redb {
    database: Database,
    oldest: u64,
    next: u64,
}

impl Store for Redb {
    const NAME: &str = "redb";

    fn open(directory: &Path) -> anyhow::Result<(Self, usize)> {
        let database = Database::create(directory.join("redb"))?;
        let transaction = database.begin_write()?;
        let (oldest, next, found, bytes) = {
            let table = transaction.open_table(EVENTS)?;
            let oldest = table.first()?.map_or(0, |(key, _)| key.value());
            let next = table.last()?.map_or(0, |(key, _)| key.value() + 1);
            // The writer needs each record's project: it is in the value.
            let mut bytes = 0;
            for entry in table.iter()? {
                bytes += entry?.1.value().iter().take(16).map(|byte| u64::from(*byte)).sum::<u64>();
            }
            (oldest, next, table.len()?, bytes)
        };
        std::hint::black_box(bytes);
        transaction.commit()?;
        Ok((Self { database, oldest, next }, usize::try_from(found)?))
    }

    fn commit(&mut self, payloads: &[&[u8]]) -> anyhow::Result<()> {
        let mut transaction = self.database.begin_write()?;
        transaction.set_durability(Durability::Immediate)?;
        {
            let mut table = transaction.open_table(EVENTS)?;
            for payload in payloads {
                table.insert(self.next, *payload)?;
                self.next += 1;
            }
        }
        Ok(transaction.commit()?)
    }

    fn settle_oldest(&mut self, count: usize) -> anyhow::Result<()> {
        let end = self.oldest + u64::try_from(count)?;
        let transaction = self.database.begin_write()?;
        transaction.open_table(EVENTS)?.retain_in(self.oldest..end, |_, _| false)?;
        self.oldest = end;
        Ok(transaction.commit()?)
    }

    fn close(self) -> anyhow::Result<()> {
        Ok(self.database.close()?)
    }
}
