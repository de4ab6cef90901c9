//! What is in the files of a log, by a reader that has nothing in common with the log's own: it looks at every byte, and
//! computes checksums bit by bit.

use mesher_common::id::{EventId, ProjectId};
use mesher_writer::{
    admission::Fingerprint,
    log::{Position, Record},
};
use uuid::Uuid;

use super::memory::Files;

/// How a segment begins, and how many bytes that has.
pub(super) const MAGIC: [u8; 8] = *b"MSHRLOG\x01";
pub(super) const HEADER: u32 = 8;

/// The body without the payload, and with the largest.
const MIN_BODY: usize = 16 + 16 + 8 + 1 + 17;
const MAX_BODY: usize = MIN_BODY + 1024 * 1024 + 128 * 1024;

/// What is in one file.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) name: String,
    pub(super) number: u64,
    pub(super) length: u64,
    pub(super) has_header: bool,
    pub(super) records: Vec<(Position, Record)>,
}

/// The format that the header of a segment names, if there is none such.
pub(super) fn unknown_format(files: &Files) -> Option<u8> {
    let segments = files.iter().filter(|(name, _)| number(name).is_some());
    let formats = segments
        .filter(|(_, content)| content.starts_with(&MAGIC[..7]))
        .filter_map(|(_, content)| content.get(7));
    formats.copied().find(|format| *format > 1)
}

/// The number in the name of a segment.
pub(super) fn number(name: &str) -> Option<u64> {
    name.strip_suffix(".log").filter(|digits| digits.len() == 20)?.parse().ok()
}

/// The segments among `files`, in their order.
pub(super) fn segments(files: &Files) -> Vec<Segment> {
    let segments = files.iter().filter_map(|(name, content)| {
        let number = number(name)?;
        Some(Segment {
            name: name.clone(),
            number,
            length: u64::try_from(content.len()).ok()?,
            has_header: content.starts_with(&MAGIC),
            records: records(number, content),
        })
    });
    segments.collect()
}

fn records(segment: u64, content: &[u8]) -> Vec<(Position, Record)> {
    let mut records = Vec::new();
    let mut at = MAGIC.len();
    while at < content.len() {
        match record(&content[at..]) {
            Some((record, length)) => {
                let (Ok(offset), Ok(size)) = (u32::try_from(at), u32::try_from(length)) else {
                    panic!("a file of more than 4 GiB");
                };
                records.push((Position { segment, offset, length: size }, record));
                at += length;
            }
            None => at += 1,
        }
    }
    records
}

/// The record that `bytes` begin with, and how many bytes it has.
fn record(bytes: &[u8]) -> Option<(Record, usize)> {
    let number = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let length = usize::try_from(number(4)?).ok()?;
    let whole = bytes.starts_with(b"MREC") && (MIN_BODY..=MAX_BODY).contains(&length);
    let body = bytes.get(12..12 + length).filter(|_| whole)?;
    (number(8)? == checksum(&[&bytes[4..8], body])).then_some(())?;
    let part = |from: usize, to: usize| body.get(from..to);
    let record = Record {
        project: ProjectId(Uuid::from_slice(part(0, 16)?).ok()?),
        id: EventId(Uuid::from_slice(part(16, 32)?).ok()?),
        received_at: i64::from_le_bytes(part(32, 40)?.try_into().ok()?),
        id_given: part(40, 41)?[0] & 1 == 1,
        fingerprint: Fingerprint::from_bytes(part(41, 58)?.try_into().ok()?),
        payload: part(58, length)?.to_vec(),
    };
    Some((record, 12 + length))
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
