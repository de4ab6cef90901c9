//! What of a log that was left behind is whole, lost or torn; what is torn at the end of a segment is cut off.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    io,
    ops::Range,
};

use mesher_common::id::ProjectId;

use super::{
    OpenError, Position,
    fs::FileSystem,
    record::{MARK, Record},
    segment::{HEADER, Header, name, number, size, unknown_format},
    settled,
};

/// What a log holds.
#[derive(Debug, Default)]
pub struct Recovered {
    /// How many records there are that are not noted as settled.
    pub unsettled: usize,
    /// How many more there are, which are noted as settled.
    pub settled: usize,
    /// The places where the disk did not keep what was written.
    pub damage: Vec<Damage>,
    /// How many bytes of groups that were never acknowledged are not whole.
    pub torn_bytes: u64,
    /// The segments that there are, and how many bytes each has.
    pub segments: BTreeMap<u64, u32>,
    /// The number of the last segment; 0 where there is none.
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
    /// The segment's file name.
    pub segment: String,
    /// Where it begins, in bytes.
    pub offset: u32,
    /// How many bytes it has.
    pub length: u32,
}

/// What was found in a segment.
#[derive(Debug, Default)]
struct Scan {
    segment: u64,
    length: u32,
    /// Whether it begins as a segment does.
    has_header: bool,
    has_records: bool,
    /// Where the last good record ends.
    end: u32,
    /// Where the zeros begin that it ends with: it grows by zeros, and what is behind them was never written.
    zeros: u32,
    /// What lies between good records and is none.
    gaps: Vec<Range<u32>>,
    /// How many bytes are acknowledged for certain, by what its records say.
    acknowledged: u32,
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
    let mut recovered =
        Recovered { last_segment: segments.last().copied().unwrap_or(0), ..Recovered::default() };
    let mut scans = Vec::with_capacity(segments.len());
    // What segments say of those before them.
    let mut acknowledged = HashMap::new();
    for segment in segments {
        let bytes = fs.read_all(&name(segment)).map_err(io)?;
        if let Some(found) = unknown_format(&bytes) {
            return Err(OpenError::UnknownFormat {
                directory: fs.directory(),
                segment: name(segment),
                found,
            });
        }
        if let Some(header) = Header::decode(&bytes) {
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
        scans.push(scan(&bytes, segment, tell).map_err(io)?);
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
    let name = name(scan.segment);
    if !scan.has_header && !scan.has_records && scan.acknowledged == 0 {
        // A crash came while the segment was begun.
        recovered.torn_bytes += u64::from(scan.zeros);
        return fs.remove(&name);
    }
    // Whatever can be told of what is lost stays where it is.
    let is_cut = scan.end >= scan.acknowledged && scan.end < scan.length;
    recovered.segments.insert(scan.segment, if is_cut { scan.end } else { scan.length });
    recovered.before = Header { before: scan.segment, acknowledged: scan.acknowledged };
    if !scan.has_header {
        recovered.damage.push(Damage { segment: name.clone(), offset: 0, length: size(HEADER)? });
    }
    // It may be shorter than what was acknowledged, and even than its header, which is told already.
    let begin = if scan.has_header { scan.end } else { scan.end.max(size(HEADER)?) };
    let tail = begin..scan.zeros.max(scan.acknowledged).max(begin);
    for gap in scan.gaps.iter().chain([&tail]) {
        let lost = gap.start..gap.end.min(scan.acknowledged);
        if !lost.is_empty() {
            recovered.damage.push(Damage {
                segment: name.clone(),
                offset: lost.start,
                length: lost.end - lost.start,
            });
        }
        recovered.torn_bytes += u64::from(gap.end - gap.start.max(lost.end));
    }
    if is_cut {
        let mut file = fs.open(&name)?;
        fs.truncate(&mut file, scan.end)?;
        fs.sync(&mut file)?;
    } else {
        // Nothing is appended to it any more.
        fs.release(&name);
    }
    if scan.end > scan.acknowledged {
        // The last group may have been written, and not synced, when the process was killed. Its records are given all the same,
        // and where one of them is a copy, the other copy goes.
        match fs.rewrite(&name, scan.acknowledged..scan.end) {
            // It is written over itself, for which some file systems need room all the same. Without any, nothing can be done about
            // it but to store the events soon.
            Err(error) if error.kind() == io::ErrorKind::StorageFull => {
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

/// Reads a segment, and gives its records to `take`.
fn scan(bytes: &[u8], segment: u64, mut take: impl FnMut(RecoveredRecord)) -> io::Result<Scan> {
    let mut scan = Scan {
        segment,
        length: size(bytes.len())?,
        has_header: Header::decode(bytes).is_some(),
        end: size(HEADER.min(bytes.len()))?,
        zeros: size(bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1))?,
        ..Scan::default()
    };
    let mut at = HEADER;
    while at < bytes.len() {
        let Ok((record, group)) = Record::decode_with_group(&bytes[at..]) else {
            // The next place where a record may begin.
            match find(&bytes[at + 1..]) {
                Some(distance) => at += 1 + distance,
                None => break,
            }
            continue;
        };
        let (offset, length) = (size(at)?, size(record.length())?);
        if offset > scan.end {
            scan.gaps.push(scan.end..offset);
        }
        let position = Position { segment, offset, length };
        let Record { project, received_at, .. } = record;
        take(RecoveredRecord { position, project, received_at });
        scan.has_records = true;
        scan.acknowledged = scan.acknowledged.max(group);
        at += record.length();
        scan.end = size(at)?;
    }
    Ok(scan)
}

fn find(bytes: &[u8]) -> Option<usize> {
    bytes.windows(MARK.len()).position(|window| window == MARK)
}
