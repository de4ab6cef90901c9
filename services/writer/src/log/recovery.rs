//! What of a log that was left behind is whole, lost or torn; what is torn at the end of a segment is cut off.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    io,
};

use mesher_common::id::ProjectId;

use self::scan::{Missing, Scan, scan};
use super::{
    OpenError, Position,
    content::Content,
    damaged::{self, MAX_KEPT},
    fs::FileSystem,
    segment::{HEADER, Header, name, number, size, unknown_format},
    settled,
};

mod scan;

/// What a log holds.
#[derive(Debug, Default)]
pub struct Recovered {
    /// How many records there are that are not noted as settled.
    pub unsettled: usize,
    /// How many more there are, which are noted as settled.
    pub settled: usize,
    /// The places where the disk did not keep what was written, or does not give it.
    pub damage: Vec<Damage>,
    /// How many bytes of groups that were never acknowledged are not whole.
    pub torn_bytes: u64,
    /// The segments that there are, and how many bytes each has.
    pub segments: BTreeMap<u64, u32>,
    /// The number of the last segment, also if it is only [kept](super::keep_damaged); 0 where there is none.
    pub last_segment: u64,
    /// How far the last segment that was kept is acknowledged for certain.
    pub(super) before: Header,
}

/// A record that was left behind; what else there is to it is read when it is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecoveredRecord {
    /// Where it is.
    pub position: Position,
    /// The project that it belongs to.
    pub project: ProjectId,
    /// When the writer took it in, in microseconds since 1970.
    pub received_at: i64,
}

/// A part of a segment that is not what was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Damage {
    /// The segment's number.
    pub segment: u64,
    /// Where it begins, in bytes.
    pub offset: u32,
    /// How many bytes it has.
    pub length: u32,
    /// What is lost by it.
    pub lost: Lost,
}

impl Damage {
    /// The name of the file that it is in.
    pub fn file(&self) -> String {
        name(self.segment)
    }

    /// The name that the file is [kept](super::keep_damaged) under once the rest of it is settled.
    pub fn kept_as(&self) -> String {
        damaged::kept_name(self.segment)
    }
}

/// What is lost by damage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// No event: it is where the segment says what it is.
    Header,
    /// No event: those that were there are noted as settled.
    Settled,
    /// Events, or parts of a group that was never acknowledged, where the disk does not give what could tell.
    Events,
}

/// Reads all segments, one after the other, and cuts off the torn tail of each. Gives the records that are not noted as
/// settled to `take`, in the order in which they were committed.
pub(super) fn recover<F: FileSystem>(
    fs: &F,
    mut take: impl FnMut(RecoveredRecord),
) -> Result<Recovered, OpenError> {
    let io = |source| OpenError::Io { directory: fs.directory(), source };
    let names = fs.list().map_err(io)?;
    let segments: BTreeSet<u64> = names.iter().filter_map(|name| number(name)).collect();
    let noted: BTreeSet<u64> = names.iter().filter_map(|name| settled::number(name)).collect();
    for segment in noted.difference(&segments) {
        // Another segment may get the number.
        settled::remove(fs, *segment).map_err(io)?;
    }
    let kept = names.iter().filter_map(|name| damaged::number(name));
    // A number is used once, also of what is only kept.
    let last_segment = segments.iter().copied().chain(kept).max().unwrap_or(0);
    let mut recovered = Recovered { last_segment, ..Recovered::default() };
    let mut scans = Vec::with_capacity(segments.len());
    // What segments say of those before them.
    let mut acknowledged = HashMap::new();
    for segment in segments {
        let content = Content::read(fs, &name(segment)).map_err(io)?;
        if let Some(found) = unknown_format(&content.bytes) {
            return Err(OpenError::UnknownFormat {
                directory: fs.directory(),
                segment: name(segment),
                found,
            });
        }
        if let Some(header) = Header::decode(&content.bytes) {
            let known = acknowledged.entry(header.before).or_insert(0);
            *known = header.acknowledged.max(*known);
        }
        let settled = if noted.contains(&segment) { settled::read(fs, segment) } else { HashSet::new() };
        let tell = |record: RecoveredRecord| {
            if settled.contains(&record.position.offset) {
                recovered.settled += 1;
            } else {
                recovered.unsettled += 1;
                take(record);
            }
        };
        scans.push(scan(content, segment, &settled, tell).map_err(io)?);
    }
    let unreadable = scans.iter().filter(|scan| scan.has_unreadable()).count();
    if unreadable > MAX_KEPT {
        // They would not all be kept, and what cannot be read now may be read later.
        return Err(OpenError::Unreadable { directory: fs.directory(), segments: unreadable });
    }
    for mut scan in scans {
        let said = acknowledged.get(&scan.segment).copied().unwrap_or(0);
        scan.acknowledged = scan.acknowledged.max(said);
        mend(fs, &scan, &mut recovered).map_err(io)?;
    }
    fs.sync_directory().map_err(io)?;
    Ok(recovered)
}

/// Tells what is torn in a segment from what is lost, and cuts off what is torn at its end.
fn mend<F: FileSystem>(fs: &F, scan: &Scan, recovered: &mut Recovered) -> io::Result<()> {
    let Scan { segment, acknowledged, .. } = *scan;
    let name = name(segment);
    if scan.was_only_begun() {
        recovered.torn_bytes += u64::from(scan.zeros);
        return fs.remove(&name);
    }
    // Whatever can be told of what is lost stays where it is.
    let is_cut = scan.has_torn_tail();
    recovered.segments.insert(segment, if is_cut { scan.end } else { scan.length });
    recovered.before = Header { before: segment, acknowledged };
    if !scan.has_header {
        recovered.damage.push(Damage { segment, offset: 0, length: size(HEADER)?, lost: Lost::Header });
    }
    for Missing { lost, is_settled, torn } in scan.missing() {
        if !lost.is_empty() {
            recovered.damage.push(Damage {
                segment,
                offset: lost.start,
                length: lost.end - lost.start,
                lost: if is_settled { Lost::Settled } else { Lost::Events },
            });
        }
        recovered.torn_bytes += u64::from(torn);
    }
    if is_cut {
        let mut file = fs.open(&name)?;
        fs.truncate(&mut file, scan.end)?;
        fs.sync(&mut file)?;
    } else {
        // Nothing is appended to it any more.
        fs.release(&name);
    }
    for part in scan.unsynced() {
        // The last group may have been written, and not synced, when the process was killed. Its records are given all the same,
        // and where one of them is a copy, the other copy goes.
        match fs.rewrite(&name, part) {
            // It is written over itself, for which some file systems need room all the same. Without any, nothing can be done about
            // it but to store the events soon.
            Err(error)
                if matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) =>
            {
                tracing::warn!(
                    directory = fs.directory(),
                    segment = name,
                    "there is no room to write the last group again"
                );
            }
            rewritten => rewritten?,
        }
    }
    Ok(())
}
