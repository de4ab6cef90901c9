//! All of a segment, also where the disk does not give every block of it.

use std::{io, iter, ops::Range};

use super::fs::{FileSystem, is_unreadable};

/// What a system reads at once at the least, in bytes: a bad sector costs all of it. In tests as the simulated disk has it.
const BLOCK: u32 = if cfg!(test) { 64 } else { 4096 };

/// What a segment has.
#[derive(Debug, Default)]
pub(super) struct Content {
    /// Zeros where it cannot be read.
    pub(super) bytes: Vec<u8>,
    /// The parts that cannot be read, in their order.
    pub(super) unreadable: Vec<Range<u32>>,
}

impl Content {
    /// Reads a segment: block by block, if it is not given as a whole.
    pub(super) fn read<F: FileSystem>(fs: &F, name: &str) -> io::Result<Self> {
        match fs.read_all(name) {
            Err(error) if is_unreadable(&error) => {}
            bytes => return Ok(Self { bytes: bytes?, unreadable: Vec::new() }),
        }
        let file = fs.open_to_read(name)?;
        let length = fs.length(&file)?;
        let mut content = Self::default();
        for block in blocks(length) {
            match fs.read(&file, block.start, block.end - block.start) {
                Ok(bytes) => content.bytes.extend(bytes),
                Err(error) if is_unreadable(&error) => content.pass_over(block),
                Err(error) => return Err(error),
            }
        }
        Ok(content)
    }

    fn pass_over(&mut self, block: Range<u32>) {
        self.bytes.resize(self.bytes.len() + block.len(), 0);
        match self.unreadable.last_mut().filter(|last| last.end == block.start) {
            Some(last) => last.end = block.end,
            None => self.unreadable.push(block),
        }
    }
}

fn blocks(length: u32) -> impl Iterator<Item = Range<u32>> {
    let mut from = 0_u32;
    iter::from_fn(move || {
        let block = from..length.min(from.saturating_add(BLOCK));
        from = block.end;
        (!block.is_empty()).then_some(block)
    })
}
