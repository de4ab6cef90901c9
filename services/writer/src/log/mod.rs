//! The log of a shard: what makes an acknowledged event survive.
//!
//! A directory of segments, `00000000000000000001.log` and so on. Records follow one another in groups, and a group
//! is acknowledged only after its `fdatasync` ([`Log::commit`]); a segment's directory entry is synced before anything in
//! it is acknowledged. A segment is removed when all of its events are settled, which its owner counts; until then it is
//! [noted](note) which of them are, so that a restart has little to do again.
//!
//! What is promised: after a crash at any point, [`Log::open`] gives every record of every acknowledged group of the
//! segments that were not removed, unless it was noted as settled, once and in order. A record that was never acknowledged may
//! come back too, once and in order: it was sent, and whoever sent it was told nothing. When the log is open, what
//! was given is synced, unless the disk had no room to write it again, which is warned of.
//!
//! A crash may tear the group that was being written, at its end or in the middle: a file system writes blocks in any order.
//! A fault of the disk may damage what was acknowledged, or keep blocks to itself. What was changed is told apart by how far
//! its segment is known to be acknowledged: each record says where its group begins, and each segment how far the one before
//! had come. What lies below is lost, which is reported and counted; what lies beyond was never promised, and is cut off or
//! passed over. A block that cannot be read is lost wherever it is, for a crash does not do that; it stays as it is.
//!
//! It cannot be told whether the last group of a segment was torn or damaged where the segment behind it does not say it: there
//! was none yet at some start, it was removed first, or its header is damaged, too. Nor can groups in front of it that the disk
//! gave back as zeros be told from what was never written.
//!
//! A failed write or sync leaves it unknown what is on the disk, so nothing is ever appended to that segment again: it is cut
//! back to its last acknowledged byte if the disk lets it, and the next group begins a new one. Zeros at the end of a segment
//! are what it grew by, and nothing was written there yet.
//!
//! Embedded stores such as redb, fjall and raft-engine keep an index, a memtable or a compaction, which a queue has no use
//! for: all that is needed is to append, to sync once for many, and to remove whole files.

mod content;
mod damaged;
pub mod fs;
mod read;
pub mod record;
mod recovery;
mod segment;
mod settled;

use std::{io, ops::Range};

pub use self::{
    damaged::keep_damaged,
    read::{ReadError, Reader},
    record::{Record, RecordError},
    recovery::{Damage, Lost, Recovered, RecoveredRecord},
    settled::note,
};
use self::{
    fs::FileSystem,
    segment::{Header, name, size},
};

/// Where a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Position {
    /// The number of its segment.
    pub segment: u64,
    /// Where it begins in the segment, in bytes.
    pub offset: u32,
    /// How many bytes it has, its frame included.
    pub length: u32,
}

/// Why a log cannot be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory or a segment in it cannot be read or written.
    #[error("the log in {directory} cannot be read or written")]
    Io {
        /// The directory.
        directory: String,
        /// What the system says.
        source: io::Error,
    },
    /// So much cannot be read that not all of it would be kept.
    #[error(
        "{segments} segments of the log in {directory} cannot be read, or not all of them: that is more than a bad block. \
         Start again when the disk gives them, or move them away: the events in them are lost then"
    )]
    Unreadable {
        /// The directory.
        directory: String,
        /// How many segments.
        segments: usize,
    },
    /// A segment was written by another version, or the byte that says so is damaged: it has no checksum.
    #[error(
        "{segment} in {directory} has the format {found}, and this version of Mesher knows only {before} and {known}: start \
         the version that wrote it. If none but this one ever ran here, byte 7 of the file is damaged: move the file away, \
         and what is in the others is stored",
        before = segment::FORMAT_BEFORE,
        known = segment::FORMAT
    )]
    UnknownFormat {
        /// The directory.
        directory: String,
        /// The segment's file name.
        segment: String,
        /// The format's number.
        found: u8,
    },
}

/// A log that is open for appending. Its calls block: they are made off the runtime's threads.
#[derive(Debug)]
pub struct Log<F: FileSystem> {
    fs: F,
    segment_bytes: u32,
    /// The number of the next segment.
    next: u64,
    active: Option<Active<F::File>>,
    /// What the next segment says of the one before it.
    before: Header,
    /// Whether the next segment grows by zeros: not when what was written last has failed, which may be for want of room.
    grows: bool,
    /// Where records are encoded, empty between groups.
    buffer: Vec<u8>,
}

/// About the most bytes that are written at once. In tests so few that most groups have several parts.
const BUFFER_BYTES: usize = if cfg!(test) { 256 } else { 256 * 1024 };
/// A segment grows by so many bytes, zeros at first. A group that is written over them leaves the file as long as it was and
/// its blocks where they are, so its sync has nothing to wait for but its own bytes: on ext4 it takes half the time.
const GROWTH: u32 = if cfg!(test) { 400 } else { 256 * 1024 };
/// What has more bytes takes long enough to be written once.
const MAX_OVER_ZEROS: usize = if cfg!(test) { 300 } else { 16 * 1024 };

#[derive(Debug)]
struct Active<T> {
    number: u64,
    file: T,
    /// Everything before is written, synced and acknowledged.
    length: u32,
    /// Where the zeros end that follow; beyond everything when there shall be no more.
    zeros: u32,
}

impl<F: FileSystem> Log<F> {
    /// Opens the log in the directory of `fs`, and gives `take` each record in it that is not noted as settled, in the order
    /// in which they were committed. A new segment is begun when the last one has `segment_bytes`.
    pub fn open(
        fs: F,
        segment_bytes: u32,
        take: impl FnMut(RecoveredRecord),
    ) -> Result<(Self, Recovered), OpenError> {
        let recovered = recovery::recover(&fs, take)?;
        let next = recovered.last_segment + 1;
        let log = Self {
            fs,
            segment_bytes,
            next,
            active: None,
            before: recovered.before,
            grows: true,
            buffer: Vec::new(),
        };
        Ok((log, recovered))
    }

    /// Appends records and syncs them, and says where each is. After an error none of them may be acknowledged; the next
    /// call begins a new segment, and so finds out whether the disk takes anything again.
    pub fn commit<P: AsRef<[u8]>>(&mut self, records: &[Record<P>]) -> io::Result<Vec<Position>> {
        // Until it is known to have gone well.
        let grows = std::mem::replace(&mut self.grows, false);
        let mut active = match self.active.take() {
            Some(active) if active.length < self.segment_bytes => active,
            _ => self.begin(grows)?,
        };
        let start = active.length;
        let (appended, positions) = self.append(&mut active, records);
        let end = positions.last().map_or(start, |last| last.offset + last.length);
        let synced = appended.and_then(|()| {
            self.grow(&mut active, start..end);
            self.fs.sync(&mut active.file)
        });
        if let Err(error) = synced {
            // What of it reached the disk is unknown. None of it was acknowledged, and none of it should come back; if it
            // cannot be cut off now, recovery takes what is whole of it for what it is, and the table for once only.
            if self.fs.truncate(&mut active.file, start).is_ok() {
                let _ = self.fs.sync(&mut active.file);
            }
            return Err(error);
        }
        self.grows = true;
        active.length = end;
        self.before = Header { before: active.number, acknowledged: active.length };
        self.active = Some(active);
        Ok(positions)
    }

    /// Appends records, and says where each is; after an error what there is of them is of no use.
    fn append<P: AsRef<[u8]>>(
        &mut self,
        active: &mut Active<F::File>,
        records: &[Record<P>],
    ) -> (io::Result<()>, Vec<Position>) {
        let group = active.length;
        let mut offset = group;
        let mut written = group;
        let mut positions = Vec::with_capacity(records.len());
        let mut bytes = std::mem::take(&mut self.buffer);
        let mut append = || {
            for (index, record) in records.iter().enumerate() {
                let before = bytes.len();
                record.encode_in_group(group, &mut bytes);
                let length = size(bytes.len() - before)?;
                positions.push(Position { segment: active.number, offset, length });
                offset = offset.checked_add(length).ok_or_else(segment::too_large)?;
                if bytes.len() >= BUFFER_BYTES || index + 1 == records.len() {
                    self.fs.write(&mut active.file, written, &bytes)?;
                    written += size(bytes.len())?;
                    bytes.clear();
                }
            }
            Ok(())
        };
        let appended = append();
        bytes.clear();
        bytes.shrink_to(2 * BUFFER_BYTES);
        self.buffer = bytes;
        (appended, positions)
    }

    /// Writes zeros behind a group that came to where the last ones end, if that is worth it.
    fn grow(&self, active: &mut Active<F::File>, group: Range<u32>) {
        let end = group.end;
        let grown = end.checked_next_multiple_of(GROWTH).unwrap_or(end).min(self.segment_bytes);
        if end <= active.zeros || group.len() > MAX_OVER_ZEROS || grown <= end {
            return;
        }
        let zeros = vec![0; (end..grown).len()];
        active.zeros = grown;
        if self.fs.write(&mut active.file, end, &zeros).is_err() {
            // A disk that is nearly full has no room for them, and may have some for records.
            let _ = self.fs.truncate(&mut active.file, end);
            active.zeros = u32::MAX;
        }
    }

    /// The segment that records are appended to, which must not be removed, and how many bytes it has.
    pub fn active(&self) -> Option<(u64, u32)> {
        self.active.as_ref().map(|active| (active.number, active.length))
    }

    /// How many bytes a segment has before a new one is begun.
    pub fn segment_bytes(&self) -> u32 {
        self.segment_bytes
    }

    /// The segment that was begun last, or tried to be; 0 if there was never one.
    pub fn newest(&self) -> u64 {
        self.next - 1
    }

    /// Begins a new segment with the next group, so that the one before can be removed.
    pub fn seal(&mut self) {
        self.active = None;
    }

    fn begin(&mut self, grows: bool) -> io::Result<Active<F::File>> {
        let number = self.next;
        // A number is used once, also when its segment could not be begun.
        self.next += 1;
        let mut file = self.fs.create(&name(number))?;
        self.fs.write(&mut file, 0, &self.before.encode())?;
        self.fs.sync(&mut file)?;
        self.fs.sync_directory()?;
        // Only now, so that nothing is set aside for a segment that was not begun.
        self.fs.reserve(&file, self.segment_bytes);
        let length = size(segment::HEADER)?;
        self.before = Header { before: number, acknowledged: length };
        Ok(Active { number, file, length, zeros: if grows { length } else { u32::MAX } })
    }
}

/// Removes segments whose events are all settled; from whatever thread. One that is not removed is read again at the next
/// start, and its events are found settled.
pub fn remove<F: FileSystem>(fs: &F, segments: &[u64]) -> io::Result<()> {
    let mut result = Ok(());
    for segment in segments {
        // Without its notes a segment would be stored again; without their segment they are of no use.
        let removed = match fs.remove(&name(*segment)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => settled::remove(fs, *segment),
        };
        result = removed.and(result);
    }
    result.and(fs.sync_directory())
}

#[cfg(test)]
pub(crate) mod simulated;
#[cfg(test)]
mod tests;
