//! The reference: one file, to which is appended, and `fdatasync`. Nothing is ever read.

use std::{
    fs::{File, OpenOptions},
    io::Write as _,
    path::Path,
};

use super::Store;

#[derive(Debug)]
pub struct Plain(File);

impl Store for Plain {
    const NAME: &str = "append+fdatasync";

    fn open(directory: &Path) -> anyhow::Result<(Self, usize)> {
        let file = OpenOptions::new().append(true).create(true).open(directory.join("file"))?;
        Ok((Self(file), 0))
    }

    fn commit(&mut self, payloads: &[&[u8]]) -> anyhow::Result<()> {
        self.0.write_all(&payloads.concat())?;
        Ok(self.0.sync_data()?)
    }

    fn settle_oldest(&mut self, _: usize) -> anyhow::Result<()> {
        Ok(())
    }

    fn close(self) -> anyhow::Result<()> {
        Ok(())
    }
}
