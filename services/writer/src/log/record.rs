//! A record of the log: one event.
//!
//! ```text
//! u32  mark        "MREC": where a reader that lost its way looks for the next record
//! u32  length      of the body, in bytes
//! u32  group       where in the segment its group begins: everything before is acknowledged
//! u32  checksum    CRC32C of length, group and body
//!      body        project id (16), event id (16), received_at in µs since 1970 (i64), flags (u8), fingerprint (17),
//!                  layout of the row (u8), row
//! ```
//!
//! Numbers are little-endian. The row is what PostgreSQL gets, and ends with the event's JSON, compressed. The fingerprint is
//! not made again, because the rules that made it may have changed since.

use mesher_common::{
    id::{EventId, ProjectId},
    payload::MAX_EVENT_BYTES,
};
use uuid::Uuid;

use crate::admission::Fingerprint;

/// How a record begins.
pub(super) const MARK: [u8; 4] = *b"MREC";
/// Mark, length, group and checksum.
const FRAME: usize = 16;
/// What the body has before the row.
const HEAD: usize = 42 + Fingerprint::LENGTH;
/// More than the row of the largest event, should its payload not compress at all, with columns of some tens of kilobytes.
const MAX_BODY: usize = HEAD + MAX_EVENT_BYTES + MAX_EVENT_BYTES / 4;

const ID_GIVEN: u8 = 1;

/// Why bytes are no record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// It does not begin as a record does.
    #[error("no record begins here")]
    NoMark,
    /// Its length is none that a record can have.
    #[error("the length of the record is impossible")]
    Length,
    /// It is longer than what there is.
    #[error("the record is cut off")]
    CutOff,
    /// It is not what was written.
    #[error("the checksum of the record does not match")]
    Checksum,
}

/// An event in the log; `P` is what holds the row's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record<P = Vec<u8>> {
    /// The project that it belongs to.
    pub project: ProjectId,
    /// Its id.
    pub id: EventId,
    /// When the writer took it in, in microseconds since 1970.
    pub received_at: i64,
    /// Whether its sender gave its id.
    pub id_given: bool,
    /// What tells which issue it belongs to.
    pub fingerprint: Fingerprint,
    /// The layout of the row.
    pub layout: u8,
    /// The event's row, without its issue.
    pub row: P,
}

impl<P: AsRef<[u8]>> Record<P> {
    /// How many bytes it has in the log.
    pub fn length(&self) -> usize {
        FRAME + HEAD + self.row.as_ref().len()
    }

    /// Appends the record to `out`, as one of the first group.
    pub fn encode(&self, out: &mut Vec<u8>) {
        self.encode_in_group(0, out);
    }

    /// Appends the record to `out`, as one of the group that begins at `group`.
    pub fn encode_in_group(&self, group: u32, out: &mut Vec<u8>) {
        let row = self.row.as_ref();
        let length = u32::try_from(HEAD + row.len()).unwrap_or(u32::MAX).to_le_bytes();
        let group = group.to_le_bytes();
        out.extend(MARK);
        out.extend(length);
        out.extend(group);
        let checksum_at = out.len();
        out.extend([0; 4]);
        let body_at = out.len();
        out.extend(self.project.0.as_bytes());
        out.extend(self.id.0.as_bytes());
        out.extend(self.received_at.to_le_bytes());
        out.push(if self.id_given { ID_GIVEN } else { 0 });
        out.extend(self.fingerprint.as_bytes());
        out.push(self.layout);
        out.extend(row);
        let checksum = checksum(length, group, &out[body_at..]);
        out[checksum_at..body_at].copy_from_slice(&checksum.to_le_bytes());
    }
}

impl<'a> Record<&'a [u8]> {
    /// Reads the record that `bytes` begin with, and where its group begins.
    pub fn decode_with_group(bytes: &'a [u8]) -> Result<(Self, u32), RecordError> {
        let (group, body) = body(bytes)?;
        let cut_off = RecordError::CutOff;
        let (project, rest) = body.split_first_chunk::<16>().ok_or(cut_off)?;
        let (id, rest) = rest.split_first_chunk::<16>().ok_or(cut_off)?;
        let (received_at, rest) = rest.split_first_chunk::<8>().ok_or(cut_off)?;
        let (flags, rest) = rest.split_first().ok_or(cut_off)?;
        let (fingerprint, rest) = rest.split_first_chunk().ok_or(cut_off)?;
        let (layout, row) = rest.split_first().ok_or(cut_off)?;
        let record = Self {
            project: ProjectId(Uuid::from_bytes(*project)),
            id: EventId(Uuid::from_bytes(*id)),
            received_at: i64::from_le_bytes(*received_at),
            id_given: flags & ID_GIVEN != 0,
            fingerprint: Fingerprint::from_bytes(*fingerprint),
            layout: *layout,
            row,
        };
        Ok((record, group))
    }
}

impl Record {
    /// Reads the record that `bytes` begin with.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        let (record, _) = Record::decode_with_group(bytes)?;
        let Record { project, id, received_at, id_given, fingerprint, layout, row } = record;
        Ok(Self { project, id, received_at, id_given, fingerprint, layout, row: row.to_vec() })
    }
}

/// How many bytes the record has that `bytes` begin with, as it says itself; it may be damaged.
pub(super) fn framed_length(bytes: &[u8]) -> Option<usize> {
    let (length, _) = bytes.strip_prefix(&MARK)?.split_first_chunk::<4>()?;
    Some(FRAME + body_length(*length).ok()?)
}

/// The group and the body of the record that `bytes` begin with, checked.
fn body(bytes: &[u8]) -> Result<(u32, &[u8]), RecordError> {
    let (mark, rest) = bytes.split_first_chunk::<4>().ok_or(RecordError::CutOff)?;
    if *mark != MARK {
        return Err(RecordError::NoMark);
    }
    let (length, rest) = rest.split_first_chunk::<4>().ok_or(RecordError::CutOff)?;
    let (group, rest) = rest.split_first_chunk::<4>().ok_or(RecordError::CutOff)?;
    let (found, rest) = rest.split_first_chunk::<4>().ok_or(RecordError::CutOff)?;
    let body = rest.get(..body_length(*length)?).ok_or(RecordError::CutOff)?;
    if checksum(*length, *group, body) != u32::from_le_bytes(*found) {
        return Err(RecordError::Checksum);
    }
    Ok((u32::from_le_bytes(*group), body))
}

/// How many bytes a body has, if it can have so many.
fn body_length(length: [u8; 4]) -> Result<usize, RecordError> {
    let length = usize::try_from(u32::from_le_bytes(length)).map_err(|_| RecordError::Length)?;
    if (HEAD..=MAX_BODY).contains(&length) { Ok(length) } else { Err(RecordError::Length) }
}

fn checksum(length: [u8; 4], group: [u8; 4], body: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c_append(crc32c::crc32c(&length), &group), body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(row: &[u8]) -> Record {
        Record {
            project: ProjectId::new(),
            id: EventId::new(),
            received_at: -1,
            id_given: true,
            fingerprint: Fingerprint::from_bytes([9; 17]),
            layout: 1,
            row: row.to_vec(),
        }
    }

    #[test]
    fn a_record_comes_back_and_no_bit_of_it_can_change_unseen() {
        let record = record(b"the row");
        let mut bytes = Vec::new();
        record.encode_in_group(7, &mut bytes);
        bytes.extend(b"what comes behind it");
        assert_eq!(Record::decode(&bytes), Ok(record));
        assert_eq!(Record::decode_with_group(&bytes).unwrap().1, 7);
        for bit in 0..8 * (FRAME + HEAD + 7) {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(Record::decode(&changed).is_err(), "bit {bit}");
        }
        for length in 0..FRAME + HEAD + 7 {
            assert_eq!(Record::decode(&bytes[..length]), Err(RecordError::CutOff), "{length} bytes");
        }
    }
}
