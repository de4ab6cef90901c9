//! Reading a log that was left behind.

use mesher_common::id::ProjectId;

use super::{
    FORMAT, MAGIC, OpenError, Position,
    fs::FileSystem,
    name, number,
    record::{MARK, Record},
    size,
};

/// What a log holds.
#[derive(Debug, Default)]
pub struct Recovered {
    /// The records, in the order in which they were committed.
    pub records: Vec<RecoveredRecord>,
    /// The places where the disk did not keep what was written.
    pub damage: Vec<Damage>,
    /// How many bytes of unfinished groups were cut off.
    pub torn_bytes: u64,
    /// The segments that there are.
    pub segments: Vec<u64>,
    /// The number of the last segment; 0 where there is none.
    pub last_segment: u64,
}

/// A record that was left behind; what else there is to it is read when it is needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecoveredRecord {
    /// Where it is.
    pub position: Position,
    /// The project that it belongs to.
    pub project: ProjectId,
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

/// Reads all segments, and cuts off the torn tail of each.
pub(super) fn recover<F: FileSystem>(fs: &F) -> Result<Recovered, OpenError> {
    let io = |source| OpenError::Io { directory: fs.directory(), source };
    let mut segments: Vec<u64> = fs.list().map_err(io)?.iter().filter_map(|name| number(name)).collect();
    segments.sort_unstable();
    let mut recovered =
        Recovered { last_segment: segments.last().copied().unwrap_or(0), ..Recovered::default() };
    for segment in segments {
        let name = name(segment);
        let bytes = fs.read_all(&name).map_err(io)?;
        let header = &bytes[..bytes.len().min(MAGIC.len())];
        if let Some(found) = unknown_format(header) {
            return Err(OpenError::UnknownFormat { directory: fs.directory(), segment: name, found });
        }
        let before = recovered.records.len();
        let end = scan(&bytes, segment, &mut recovered).map_err(io)?;
        if header != MAGIC {
            if recovered.records.len() == before {
                // A crash came while the segment was begun: nothing in it was acknowledged.
                recovered.torn_bytes += bytes.len() as u64;
                fs.remove(&name).map_err(io)?;
                continue;
            }
            recovered.damage.push(Damage {
                segment: name.clone(),
                offset: 0,
                length: size(MAGIC.len()).map_err(io)?,
            });
        }
        recovered.segments.push(segment);
        if end < bytes.len() && segment != recovered.last_segment {
            // Its tail was cut off when the next one was begun: this is something else, and whatever can be told of it
            // stays where it is.
            let (offset, length) = (size(end).map_err(io)?, size(bytes.len() - end).map_err(io)?);
            recovered.damage.push(Damage { segment: name, offset, length });
        } else if end < bytes.len() {
            recovered.torn_bytes += (bytes.len() - end) as u64;
            let mut file = fs.open(&name).map_err(io)?;
            fs.truncate(&mut file, size(end).map_err(io)?).map_err(io)?;
            fs.sync(&mut file).map_err(io)?;
        }
    }
    fs.sync_directory().map_err(io)?;
    Ok(recovered)
}

/// The format of a segment's header, if it is one that this version does not know. There is no format 0: a zero is what a
/// crash leaves of a header that was not synced.
fn unknown_format(header: &[u8]) -> Option<u8> {
    let (known, [format]) = header.split_last_chunk::<1>()?;
    (known == &MAGIC[..7] && *format != 0 && *format != FORMAT).then_some(*format)
}

/// Reads the records of a segment. Gives where the last good one ends; what follows is torn.
fn scan(bytes: &[u8], segment: u64, recovered: &mut Recovered) -> std::io::Result<usize> {
    let mut end = MAGIC.len();
    let mut at = end;
    while at < bytes.len() {
        let Ok(record) = Record::decode(&bytes[at..]) else {
            // The next place where a record may begin. What lies between is damaged if there is a good one, and torn if
            // there is none.
            match find(&bytes[at + 1..]) {
                Some(distance) => at += 1 + distance,
                None => break,
            }
            continue;
        };
        if at > end {
            let damage = Damage { segment: name(segment), offset: size(end)?, length: size(at - end)? };
            recovered.damage.push(damage);
        }
        let length = record.length();
        let position = Position { segment, offset: size(at)?, length: size(length)? };
        recovered.records.push(RecoveredRecord { position, project: record.project });
        at += length;
        end = at;
    }
    Ok(end)
}

fn find(bytes: &[u8]) -> Option<usize> {
    bytes.windows(MARK.len()).position(|window| window == MARK)
}

/// The format is part of the magic; that the two agree is checked here, where both are used.
const _: () = assert!(MAGIC[7] == FORMAT);
