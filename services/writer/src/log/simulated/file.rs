//! A file of which a crash keeps what was synced, and any of the rest.

use std::{collections::BTreeSet, io, ops::Range};

use rustix::io::Errno;

use super::Choices;

/// A crash keeps a block or loses it, and a disk gives it or does not.
pub(super) const BLOCK: usize = 64;

#[derive(Clone, Debug, Default)]
pub(super) struct File {
    pub(super) content: Vec<u8>,
    /// What was synced.
    pub(super) durable: Vec<u8>,
    /// What a failed sync covered: a system may think it clean, and no later sync writes it.
    pub(super) doubtful: Range<usize>,
    pub(super) named: bool,
    /// The blocks that the disk does not give.
    pub(super) unreadable: BTreeSet<usize>,
}

impl File {
    /// A file of which everything is synced.
    pub(super) fn synced(content: Vec<u8>) -> Self {
        Self { durable: content.clone(), content, named: true, ..Self::default() }
    }

    /// Changes a byte, synced.
    pub(super) fn damage(&mut self, offset: usize) {
        self.content[offset] ^= 0xff;
        self.durable = self.content.clone();
    }

    /// Where what differs from what was synced begins.
    pub(super) fn unsynced_from(&self) -> usize {
        self.content.iter().zip(&self.durable).take_while(|(now, before)| now == before).count()
    }

    /// Reads a part, unless the disk does not give a block of it.
    pub(super) fn read(&self, part: Range<usize>) -> io::Result<Vec<u8>> {
        let bytes = self.content.get(part.clone()).ok_or(io::ErrorKind::UnexpectedEof)?;
        if self.is_readable(&part) { Ok(bytes.to_vec()) } else { Err(Errno::IO.into()) }
    }

    pub(super) fn is_readable(&self, part: &Range<usize>) -> bool {
        part.is_empty()
            || self.unreadable.range(part.start / BLOCK..part.end.div_ceil(BLOCK)).next().is_none()
    }

    pub(super) fn crash(&mut self, choices: &mut Choices) {
        // That it grew or was cut off may be known or not.
        let (before, now) = (self.durable.len(), self.content.len());
        let length = if now < before && choices.below(2) == 0 {
            now
        } else {
            before + choices.below(now.saturating_sub(before) + 1)
        };
        let keeps_all = choices.below(3) == 0;
        let mut content = self.content.clone();
        // What was cut off is still there if that is forgotten.
        content.extend(self.durable.iter().skip(now));
        content.truncate(length);
        self.durable.resize(length, 0);
        for start in (0..length).step_by(BLOCK) {
            let block = start..length.min(start + BLOCK);
            if content[block.clone()] != self.durable[block.clone()] && !keeps_all && choices.below(2) == 0 {
                content[block.clone()].copy_from_slice(&self.durable[block.clone()]);
            }
            let lost = block.start.max(self.doubtful.start)..block.end.min(self.doubtful.end);
            if !lost.is_empty() && !keeps_all && choices.below(2) == 0 {
                content[lost].fill(0);
            }
        }
        let unreadable = std::mem::take(&mut self.unreadable);
        *self = Self { unreadable, ..Self::synced(content) };
    }
}
