//! Looking through a segment for its records, and for what lies between them.

use std::{collections::HashSet, io, ops::Range};

use super::super::{
    Position, RecoveredRecord,
    content::Content,
    record::{MARK, Record, framed_length},
    segment::{HEADER, Header, size},
};

/// What was found in a segment.
#[derive(Debug, Default)]
pub(super) struct Scan {
    pub(super) segment: u64,
    pub(super) length: u32,
    /// Whether it begins as a segment does.
    pub(super) has_header: bool,
    pub(super) has_records: bool,
    /// Where the last good record ends.
    pub(super) end: u32,
    /// Where the zeros begin that it ends with: it grows by zeros, and what is behind them was never written.
    pub(super) zeros: u32,
    /// What lies between good records and is none.
    gaps: Vec<Gap>,
    /// How far behind the last good record there is nothing but records that are noted as settled.
    settled_to: u32,
    /// How many bytes are acknowledged for certain, by what its records say.
    pub(super) acknowledged: u32,
    /// What the disk does not give, in its order.
    unreadable: Vec<Range<u32>>,
}

/// A part of a segment where no good record is.
#[derive(Clone, Debug)]
struct Gap {
    part: Range<u32>,
    /// How far there is nothing but records that are noted as settled.
    settled_to: u32,
}

/// What is not as it was written, or never was written to its end.
#[derive(Debug)]
pub(super) struct Missing {
    /// What was acknowledged, or cannot be told from that.
    pub(super) lost: Range<u32>,
    /// Whether all records in it are noted as settled.
    pub(super) is_settled: bool,
    /// How many bytes behind it were never acknowledged.
    pub(super) torn: u32,
}

/// Looks through a segment of which the records at `settled` are settled, and gives its records to `take`.
pub(super) fn scan(
    content: Content,
    segment: u64,
    settled: &HashSet<u32>,
    mut take: impl FnMut(RecoveredRecord),
) -> io::Result<Scan> {
    let Content { bytes, unreadable } = content;
    let mut scan = Scan {
        segment,
        length: size(bytes.len())?,
        has_header: Header::decode(&bytes).is_some(),
        end: size(HEADER.min(bytes.len()))?,
        zeros: size(bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1))?,
        unreadable,
        ..Scan::default()
    };
    let mut at = HEADER;
    while at < bytes.len() {
        let found = Record::decode_with_group(&bytes[at..]).ok();
        let Some((record, group)) = found.filter(|(record, _)| scan.is_readable(at, record.length())) else {
            // The next place where a record may begin.
            match find(&bytes[at + 1..]) {
                Some(distance) => at += 1 + distance,
                None => break,
            }
            continue;
        };
        let (offset, length) = (size(at)?, size(record.length())?);
        if offset > scan.end {
            let settled_to = settled_to(&bytes[..at], scan.end, settled);
            scan.gaps.push(Gap { part: scan.end..offset, settled_to });
        }
        let position = Position { segment, offset, length };
        let Record { project, received_at, .. } = record;
        take(RecoveredRecord { position, project, received_at });
        scan.has_records = true;
        scan.acknowledged = scan.acknowledged.max(group);
        at += record.length();
        scan.end = size(at)?;
    }
    scan.settled_to = settled_to(&bytes, scan.end, settled);
    Ok(scan)
}

fn find(bytes: &[u8]) -> Option<usize> {
    bytes.windows(MARK.len()).position(|window| window == MARK)
}

/// How far from `from` on there is nothing but records that are noted as settled, by the lengths that they still tell.
fn settled_to(bytes: &[u8], from: u32, settled: &HashSet<u32>) -> u32 {
    let mut to = from;
    while settled.contains(&to)
        && let Some(rest) = usize::try_from(to).ok().and_then(|at| bytes.get(at..))
        && let Some(length) = framed_length(rest).filter(|length| *length <= rest.len())
        && let Some(end) = size(length).ok().and_then(|length| to.checked_add(length))
    {
        to = end;
    }
    to
}

impl Scan {
    /// Whether nothing speaks for it that it ever held anything: a crash came while it was begun.
    pub(super) fn was_only_begun(&self) -> bool {
        !self.has_header && !self.has_records && self.acknowledged == 0 && self.unreadable.is_empty()
    }

    /// Whether there is something at its end that was never acknowledged, and is no record.
    pub(super) fn has_torn_tail(&self) -> bool {
        self.end >= self.acknowledged && self.end < self.length && self.unreadable_end() <= self.end
    }

    /// Whether the disk does not give all of it.
    pub(super) fn has_unreadable(&self) -> bool {
        !self.unreadable.is_empty()
    }

    /// What of the records that are good may not be synced: all of it can be read.
    pub(super) fn unsynced(&self) -> Vec<Range<u32>> {
        let mut parts = Vec::new();
        let mut from = self.acknowledged.min(self.end);
        for unreadable in self.unreadable.iter().chain([&(self.end..self.end)]) {
            parts.push(from..unreadable.start.min(self.end));
            from = from.max(unreadable.end);
        }
        parts.retain(|part| !part.is_empty());
        parts
    }

    /// What is lost behind the header, and what is torn.
    pub(super) fn missing(&self) -> impl Iterator<Item = Missing> {
        // It may be shorter than what was acknowledged, and even than its header.
        let header = u32::try_from(HEADER).unwrap_or(u32::MAX);
        let begin = if self.has_header { self.end } else { self.end.max(header) };
        let end = self.zeros.max(self.acknowledged).max(self.unreadable_end()).max(begin);
        let tail = Gap { part: begin..end, settled_to: self.settled_to };
        self.gaps.iter().cloned().chain([tail]).map(|gap| self.missing_in(&gap))
    }

    fn missing_in(&self, Gap { part, settled_to }: &Gap) -> Missing {
        let is_unreadable = self.unreadable.iter().any(|other| is_touched(part, other));
        // What of it is acknowledged is known by what stands behind it: not what, of all of it, cannot be read.
        let end = if is_unreadable { part.end } else { part.end.min(self.acknowledged) };
        let lost = part.start..end.max(part.start);
        let torn = part.end.min(self.zeros).saturating_sub(lost.end.max(part.start));
        Missing { is_settled: lost.end <= *settled_to, torn, lost }
    }

    fn is_readable(&self, at: usize, length: usize) -> bool {
        let part = u32::try_from(at).unwrap_or(u32::MAX)..u32::try_from(at + length).unwrap_or(u32::MAX);
        !self.unreadable.iter().any(|other| is_touched(&part, other))
    }

    fn unreadable_end(&self) -> u32 {
        self.unreadable.last().map_or(0, |last| last.end)
    }
}

/// Whether two parts have bytes in common.
fn is_touched(part: &Range<u32>, other: &Range<u32>) -> bool {
    part.start.max(other.start) < part.end.min(other.end)
}
