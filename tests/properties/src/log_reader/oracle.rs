//! What is in the files of a log, by a reader that has nothing in common with the log's own: it looks at every byte, and
//! computes checksums bit by bit.

use std::{collections::HashMap, ops::Range};

use mesher_common::id::{EventId, ProjectId};
use mesher_writer::{
    admission::Fingerprint,
    log::{Position, Record},
};
use uuid::Uuid;

use super::memory::Files;

/// How a segment begins: this, the segment before (u64), what is acknowledged of that one (u32), and the checksum of both.
const MAGIC: [u8; 8] = *b"MSHRLOG\x03";
/// Where the number of the format is; 2 was the same but for that.
const FORMAT: usize = 7;
pub(super) const HEADER: u32 = 24;

/// Before a record's body: mark, length, group and checksum.
const FRAME: usize = 16;
/// The body without the row, and with the largest.
pub(super) const MIN_BODY: usize = 16 + 16 + 8 + 1 + 17 + 1;
const MAX_BODY: usize = MIN_BODY + 1024 * 1024 + 256 * 1024;

/// What is in one file.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) name: String,
    pub(super) number: u64,
    pub(super) length: u64,
    /// Where the zeros begin that it ends with.
    pub(super) zeros: u64,
    /// What it says of the segment before it, if its header is whole.
    pub(super) header: Option<Header>,
    pub(super) records: Vec<Found>,
    /// How many bytes are acknowledged, by what any record in it or any header says. It may have fewer than that.
    pub(super) acknowledged: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) before: u64,
    pub(super) acknowledged: u32,
}

/// A record, and where its group begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) position: Position,
    pub(super) record: Record,
    pub(super) group: u32,
}

impl Header {
    pub(super) fn encode(self) -> Vec<u8> {
        let (before, acknowledged) = (self.before.to_le_bytes(), self.acknowledged.to_le_bytes());
        let checksum = checksum(&[&before, &acknowledged]).to_le_bytes();
        [&MAGIC[..], &before, &acknowledged, &checksum].concat()
    }

    fn read(content: &[u8]) -> Option<Self> {
        let before = u64::from_le_bytes(content.get(8..16)?.try_into().ok()?);
        let header = Self { before, acknowledged: number_at(content, 16)? };
        let mut content = content.to_vec();
        if content[FORMAT] == 2 {
            content[FORMAT] = MAGIC[FORMAT];
        }
        content.starts_with(&header.encode()).then_some(header)
    }
}

impl Segment {
    /// Whether nothing speaks for it that it held anything: a crash came before its header was written, or a fault took all
    /// that could tell.
    pub(super) fn was_only_begun(&self) -> bool {
        self.header.is_none() && self.records.is_empty() && self.acknowledged == 0
    }

    /// Where the last record ends.
    pub(super) fn end(&self) -> u64 {
        let last = self.records.last().map(|found| found.position);
        last.map_or(HEADER.into(), |position| u64::from(position.offset) + u64::from(position.length))
    }

    /// What lies behind the header, and is no record: also what should be there, and is not.
    fn gaps(&self) -> Vec<Range<u64>> {
        let ends = self.records.iter().map(|Found { position, .. }| {
            let offset = u64::from(position.offset);
            (offset, offset + u64::from(position.length))
        });
        let last = self.length.max(self.acknowledged).max(self.end());
        let mut from = HEADER.into();
        let mut gaps = Vec::new();
        for (offset, end) in ends.chain([(last, last)]) {
            gaps.push(from..offset);
            from = end;
        }
        gaps.retain(|gap| !gap.is_empty());
        gaps
    }

    /// What was acknowledged, and is not there any more.
    pub(super) fn lost(&self) -> Vec<Range<u64>> {
        let header = self.header.is_none().then_some(0..u64::from(HEADER));
        let gaps = self.gaps().into_iter().map(|gap| gap.start..gap.end.min(self.acknowledged));
        let lost = header.into_iter().chain(gaps.filter(|gap| !gap.is_empty()));
        if self.was_only_begun() { Vec::new() } else { lost.collect() }
    }

    /// How many bytes there are that were never acknowledged, and are no record; nor the zeros behind all that was written.
    pub(super) fn torn_bytes(&self) -> u64 {
        if self.was_only_begun() {
            return self.zeros;
        }
        let torn = |gap: &Range<u64>| gap.start.max(self.acknowledged)..gap.end.min(self.zeros);
        self.gaps().iter().map(torn).map(|torn| torn.end.saturating_sub(torn.start)).sum()
    }

    /// How many bytes are left of it when the log was opened: only a tail without anything that was acknowledged goes.
    pub(super) fn left(&self) -> u64 {
        if self.acknowledged > self.end() { self.length } else { self.length.min(self.end()) }
    }
}

/// The format that the header of a segment names, if there is none such.
pub(super) fn unknown_format(files: &Files) -> Option<u8> {
    let segments = files.iter().filter(|(name, _)| number(name).is_some());
    let formats = segments
        .filter(|(_, content)| content.starts_with(&MAGIC[..FORMAT]))
        .filter_map(|(_, content)| content.get(FORMAT));
    // Format 1 was one once. A zero is what a crash leaves.
    formats.copied().find(|format| *format == 1 || *format > 3)
}

/// The number in the name of a segment.
pub(super) fn number(name: &str) -> Option<u64> {
    name.strip_suffix(".log").filter(|digits| digits.len() == 20)?.parse().ok()
}

/// The segments among `files`, in their order.
pub(super) fn segments(files: &Files) -> Vec<Segment> {
    let found = files.iter().filter_map(|(name, content)| Some((name, number(name)?, content)));
    let mut segments: Vec<Segment> = found
        .map(|(name, number, content)| Segment {
            name: name.clone(),
            number,
            length: content.len() as u64,
            zeros: content.iter().rposition(|byte| *byte != 0).map_or(0, |last| last as u64 + 1),
            header: Header::read(content),
            records: records(number, content),
            acknowledged: 0,
        })
        .collect();
    let mut acknowledged = HashMap::<u64, u64>::new();
    for segment in &segments {
        let by_header = segment.header.map(|header| (header.before, header.acknowledged));
        let by_records = segment.records.iter().map(|found| (segment.number, found.group));
        for (number, bytes) in by_header.into_iter().chain(by_records) {
            let known = acknowledged.entry(number).or_default();
            *known = (*known).max(bytes.into());
        }
    }
    for segment in &mut segments {
        segment.acknowledged = acknowledged.get(&segment.number).copied().unwrap_or(0);
    }
    segments
}

fn records(segment: u64, content: &[u8]) -> Vec<Found> {
    let mut records = Vec::new();
    let mut at = MAGIC.len() + 16;
    while at < content.len() {
        match record(&content[at..]) {
            Some((record, group, length)) => {
                let (Ok(offset), Ok(size)) = (u32::try_from(at), u32::try_from(length)) else {
                    panic!("a file of more than 4 GiB");
                };
                records.push(Found { position: Position { segment, offset, length: size }, record, group });
                at += length;
            }
            None => at += 1,
        }
    }
    records
}

/// The record that `bytes` begin with, where its group begins, and how many bytes it has.
fn record(bytes: &[u8]) -> Option<(Record, u32, usize)> {
    let length = usize::try_from(number_at(bytes, 4)?).ok()?;
    let whole = bytes.starts_with(b"MREC") && (MIN_BODY..=MAX_BODY).contains(&length);
    let body = bytes.get(FRAME..FRAME + length).filter(|_| whole)?;
    (number_at(bytes, 12)? == checksum(&[&bytes[4..12], body])).then_some(())?;
    let part = |from: usize, to: usize| body.get(from..to);
    let record = Record {
        project: ProjectId(Uuid::from_slice(part(0, 16)?).ok()?),
        id: EventId(Uuid::from_slice(part(16, 32)?).ok()?),
        received_at: i64::from_le_bytes(part(32, 40)?.try_into().ok()?),
        id_given: part(40, 41)?[0] & 1 == 1,
        fingerprint: Fingerprint::from_bytes(part(41, 58)?.try_into().ok()?),
        layout: part(58, 59)?[0],
        row: part(59, length)?.to_vec(),
    };
    Some((record, number_at(bytes, 8)?, FRAME + length))
}

fn number_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

/// CRC32C: the polynomial of Castagnoli, reflected.
pub(super) fn checksum(parts: &[&[u8]]) -> u32 {
    let mut remainder = u32::MAX;
    for byte in parts.iter().copied().flatten() {
        remainder ^= u32::from(*byte);
        for _ in 0..8 {
            remainder = (remainder >> 1) ^ (0x82f6_3b78 & (remainder & 1).wrapping_neg());
        }
    }
    !remainder
}
