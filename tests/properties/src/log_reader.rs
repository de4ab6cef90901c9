//! The log's reader: whatever is in the files, it finds the records whose checksum is right, no others, and says of every
//! byte what became of it.

mod files;
mod memory;
mod oracle;

use mesher_writer::{
    admission::restore,
    log::{Log, OpenError, Position, Record, Recovered, read},
};

use self::{
    files::{Choices, Mutated},
    memory::Memory,
    oracle::{HEADER, Segment},
};

/// Small: a few records fill a segment.
const SEGMENT_BYTES: u32 = 2000;

/// Takes `data` for instructions: to put files together, or to write a log and then change bytes of it.
pub fn log_reader(data: &[u8]) {
    let Some((first, rest)) = data.split_first() else { return };
    let choices = Choices::new(rest);
    if first % 2 == 0 {
        any_files(&files::any(choices));
    } else {
        changed_log(choices);
    }
}

/// Opens files of any content, and compares with what a reader finds that goes byte by byte.
fn any_files(memory: &Memory) {
    let before = memory.files();
    let (mut log, recovered) = match Log::open(memory.clone(), SEGMENT_BYTES) {
        Ok(opened) => opened,
        Err(error) => {
            let found = oracle::unknown_format(&before);
            let said = match error {
                OpenError::UnknownFormat { found, .. } => Some(found),
                OpenError::Io { .. } => None,
            };
            assert!(said.is_some() && said == found, "{error}");
            return;
        }
    };
    let segments: Vec<Segment> = oracle::segments(&before);
    let expected: Vec<(Position, Record)> =
        segments.iter().flat_map(|segment| segment.records.iter().cloned()).collect();
    let positions: Vec<Position> = recovered.records.iter().map(|record| record.position).collect();
    assert_eq!(positions, expected.iter().map(|(position, _)| *position).collect::<Vec<_>>());
    for ((position, record), found) in expected.iter().zip(&recovered.records) {
        assert_eq!(found.project, record.project);
        assert_eq!(read(memory, *position).ok().as_ref(), Some(record));
        // It may be refused: whose checksum is right need not be an event.
        let _ = restore(record.clone());
    }
    every_byte_is_accounted_for(&segments, &recovered);
    reopens_as_it_is(memory, &recovered);

    let added = files::record(9, 40);
    let Ok(added_at) = log.commit(std::slice::from_ref(&added)) else {
        panic!("a log that was opened takes no record");
    };
    assert!(added_at[0].segment > recovered.last_segment, "{added_at:?} is in a segment that was there");
    let reopened = open(memory);
    let found: Vec<Position> = reopened.records.iter().map(|record| record.position).collect();
    assert_eq!(found, [positions, added_at].concat());
}

/// Header, records, damage and torn tail of each segment are all that there is of it.
fn every_byte_is_accounted_for(segments: &[Segment], recovered: &Recovered) {
    let mut torn = 0;
    for segment in segments {
        let records = segment.records.iter().map(|(position, _)| u64::from(position.length));
        let damage = recovered
            .damage
            .iter()
            .filter(|damage| damage.segment == segment.name && (damage.offset > 0 || damage.length > HEADER))
            .map(|damage| u64::from(damage.length));
        let known: u64 = records.chain(damage).sum();
        let content = segment.length.saturating_sub(u64::from(HEADER));
        if recovered.segments.contains(&segment.number) {
            torn += content - known;
        } else {
            assert!(segment.records.is_empty() && !segment.has_header, "{} is gone", segment.name);
            torn += segment.length;
        }
    }
    assert_eq!(recovered.torn_bytes, torn);
    let last = segments.last();
    assert!(
        last.is_none_or(|last| recovered.last_segment == last.number),
        "the number of the last segment is not used again"
    );
}

/// What was cut off once is gone; the rest is found again.
fn reopens_as_it_is(memory: &Memory, recovered: &Recovered) {
    let again = open(memory);
    assert_eq!(again.records, recovered.records);
    assert_eq!(again.segments, recovered.segments);
    // Where the last segment was only begun, it is gone now, and the one before it has a tail that can be cut off.
    if again.last_segment == recovered.last_segment {
        assert_eq!(again.torn_bytes, 0);
        assert_eq!(again.damage, recovered.damage);
    }
}

fn open(memory: &Memory) -> Recovered {
    match Log::open(memory.clone(), SEGMENT_BYTES) {
        Ok((_, recovered)) => recovered,
        Err(error) => panic!("what was opened once is opened again: {error}"),
    }
}

/// Writes a log and changes bytes of it: what was not touched is found, where it was, and nothing else.
fn changed_log(mut choices: Choices<'_>) {
    let memory = Memory::default();
    let written = files::write(&memory, SEGMENT_BYTES, &mut choices);
    let Mutated { touched, unknown_format } = files::mutate(&memory, &mut choices);
    let opened = Log::open(memory.clone(), SEGMENT_BYTES);
    if unknown_format {
        assert!(matches!(opened, Err(OpenError::UnknownFormat { .. })), "{opened:?}");
        return;
    }
    let Ok((_, recovered)) = opened else { panic!("a changed log is not opened: {opened:?}") };
    let whole: Vec<&(Position, Record)> =
        written.iter().filter(|(position, _)| !touched.hits(*position)).collect();
    let found: Vec<Position> = recovered.records.iter().map(|record| record.position).collect();
    assert_eq!(found, whole.iter().map(|(position, _)| *position).collect::<Vec<_>>());
    for (position, record) in whole {
        assert_eq!(read(&memory, *position).ok().as_ref(), Some(record));
    }
    for (position, _) in written.iter().filter(|(position, _)| touched.hits(*position)) {
        assert!(read(&memory, *position).is_err(), "{position:?} is read although it was changed");
    }
    reopens_as_it_is(&memory, &recovered);
}
