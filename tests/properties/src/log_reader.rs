//! The log's reader: whatever is in the files, it finds the records whose checksum is right, no others, and says of every
//! byte what became of it.

mod files;
mod memory;
mod oracle;

use std::ops::Range;

use mesher_writer::{
    admission::restore,
    log::{Log, OpenError, Position, Reader, Record, Recovered, RecoveredRecord},
    row::Column,
};

use self::{
    files::{Choices, Mutated},
    memory::{Files, Memory},
    oracle::{Found, HEADER, Header, Segment},
};

/// Small: a few records fill a segment.
const SEGMENT_BYTES: u32 = 2000;

/// What is found in a log.
#[derive(Debug)]
struct Opened {
    records: Vec<RecoveredRecord>,
    recovered: Recovered,
}

fn open(memory: &Memory) -> Result<(Log<Memory>, Opened), OpenError> {
    let mut records = Vec::new();
    let (log, recovered) = Log::open(memory.clone(), SEGMENT_BYTES, |record| records.push(record))?;
    assert_eq!(recovered.unsettled, records.len());
    Ok((log, Opened { records, recovered }))
}

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

/// Opens files of any content.
fn any_files(memory: &Memory) {
    let before = memory.files();
    match open(memory) {
        Ok((log, opened)) => opened_as_it_should(&before, memory, log, &opened),
        Err(error) => {
            let found = oracle::unknown_format(&before);
            let said = match error {
                OpenError::UnknownFormat { found, .. } => Some(found),
                OpenError::Io { .. } | OpenError::Unreadable { .. } => None,
            };
            assert!(said.is_some() && said == found, "{error}");
            assert!(memory.files() == before, "another version's log was changed");
        }
    }
}

/// Compares what was found, and what was left, with what a reader finds that goes byte by byte.
fn opened_as_it_should(before: &Files, memory: &Memory, mut log: Log<Memory>, opened: &Opened) {
    let segments = oracle::segments(before);
    assert_eq!(oracle::unknown_format(before), None, "a log of another version was opened");
    let found = records(&segments);
    for Found { position, record, .. } in &found {
        assert_eq!(Reader::new(memory).read(*position).ok().as_ref(), Some(record));
        restored_or_not(record);
    }
    every_byte_is_accounted_for(&segments, opened);
    only_what_was_torn_is_gone(before, &segments, &memory.files());
    reopens_as_it_is(memory, opened);

    let added = files::record(9, 40);
    let Ok(added_at) = log.commit(std::slice::from_ref(&added)) else {
        panic!("a log that was opened takes no record");
    };
    assert!(
        added_at[0].segment > opened.recovered.last_segment,
        "{added_at:?} is in a segment that was there"
    );
    // Were the new segment to say more, what was torn would be called lost from now on.
    let last = segments.iter().rfind(|segment| !segment.was_only_begun());
    let known = last.map(|last| (last.number, last.acknowledged));
    let now = oracle::segments(&memory.files());
    let header = now.iter().find(|segment| segment.number == added_at[0].segment).and_then(|new| new.header);
    assert_eq!(
        header.map(|Header { before, acknowledged }| (before, acknowledged.into())),
        Some(known.unwrap_or((0, 0)))
    );
    let added = Found { position: added_at[0], record: added, group: HEADER };
    assert_eq!(records(&now), [found, vec![added]].concat());
    let reopened = open_again(memory);
    every_byte_is_accounted_for(&now, &reopened);
    // A header may have been made up that says something of the new segment, too.
    let mut damage = reopened.recovered.damage;
    damage.retain(|damage| damage.segment != added_at[0].segment);
    assert_eq!(damage, opened.recovered.damage, "what comes later makes no damage of what was torn");
}

fn records(segments: &[Segment]) -> Vec<Found> {
    segments.iter().flat_map(|segment| segment.records.iter().cloned()).collect()
}

/// It may be refused: whose checksum is right need not be an event. If it is not, it can be looked at.
fn restored_or_not(record: &Record) {
    let Ok(event) = restore(record.clone()) else { return };
    assert_eq!((event.project_id, event.id), (record.project, record.id));
    assert_eq!((event.fingerprint, event.id_given), (record.fingerprint, record.id_given));
    assert_eq!(event.received_at.timestamp_micros(), record.received_at);
    assert!(!event.title().is_empty() && event.size() >= event.payload().len());
    for column in Column::ALL {
        let bytes = event.row.get(column).map_or(0, <[u8]>::len);
        assert!(event.row.text(column).is_none_or(|text| text.len() <= bytes));
        let _ = event.row.time(column);
    }
}

/// Header, records, what is lost and what is torn of each segment are all that there is of it.
fn every_byte_is_accounted_for(segments: &[Segment], opened: &Opened) {
    let Opened { records: found, recovered } = opened;
    let expected = records(segments);
    let positions: Vec<Position> = expected.iter().map(|found| found.position).collect();
    assert_eq!(positions, positions_of(opened));
    for (Found { record, .. }, found) in expected.iter().zip(found) {
        assert_eq!((found.project, found.received_at), (record.project, record.received_at));
    }
    let mut reported = 0;
    for segment in segments {
        let of_it = recovered.damage.iter().filter(|damage| damage.segment == segment.number);
        let damage: Vec<Range<u64>> = of_it
            .map(|damage| damage.offset.into()..u64::from(damage.offset) + u64::from(damage.length))
            .collect();
        reported += damage.len();
        assert_eq!(damage, segment.lost(), "lost of {}", segment.name);
    }
    assert_eq!(reported, recovered.damage.len(), "{:?} is of no segment", recovered.damage);
    assert_eq!(recovered.torn_bytes, segments.iter().map(Segment::torn_bytes).sum::<u64>());
    let kept = segments.iter().filter(|segment| !segment.was_only_begun());
    let kept: Vec<(u64, u64)> = kept.map(|segment| (segment.number, segment.left())).collect();
    let said = recovered.segments.iter().map(|(number, length)| (*number, u64::from(*length)));
    assert_eq!(said.collect::<Vec<_>>(), kept);
    let last = segments.last().map_or(0, |last| last.number);
    assert_eq!(recovered.last_segment, last, "the number of the last segment is not used again");
}

/// Nothing is changed but torn tails, which are cut off, and segments that were only begun, which are removed.
fn only_what_was_torn_is_gone(before: &Files, segments: &[Segment], after: &Files) {
    let mut expected = before.clone();
    for segment in segments {
        if segment.was_only_begun() {
            expected.remove(&segment.name);
        } else if let Some(content) = expected.get_mut(&segment.name) {
            content.truncate(usize::try_from(segment.left()).unwrap_or(usize::MAX));
        }
    }
    let lengths = |files: &Files| -> Vec<(String, usize)> {
        files.iter().map(|(name, content)| (name.clone(), content.len())).collect()
    };
    assert_eq!(lengths(after), lengths(&expected));
    assert!(*after == expected, "what was left was changed");
}

/// What was cut off once is gone; the rest is found again, however often.
fn reopens_as_it_is(memory: &Memory, opened: &Opened) {
    let left = memory.files();
    let again = open_again(memory);
    assert_eq!(again.records, opened.records);
    assert_eq!(again.recovered.damage, opened.recovered.damage);
    assert!(again.recovered.segments.keys().eq(opened.recovered.segments.keys()));
    every_byte_is_accounted_for(&oracle::segments(&left), &again);
    assert!(memory.files() == left, "what was left is cut again");
}

fn open_again(memory: &Memory) -> Opened {
    match open(memory) {
        Ok((_, opened)) => opened,
        Err(error) => panic!("what was opened once is opened again: {error}"),
    }
}

fn positions_of(opened: &Opened) -> Vec<Position> {
    opened.records.iter().map(|record| record.position).collect()
}

/// Writes a log and changes bytes of it: what was not touched is found, where it was, and nothing else.
fn changed_log(mut choices: Choices<'_>) {
    let memory = Memory::default();
    let written = files::write(&memory, SEGMENT_BYTES, &mut choices);
    is_as_written(&oracle::segments(&memory.files()), &written);
    let Mutated { touched, unknown_format } = files::mutate(&memory, &mut choices);
    let before = memory.files();
    let opened = open(&memory);
    if unknown_format {
        assert!(matches!(opened, Err(OpenError::UnknownFormat { .. })), "{opened:?}");
        return;
    }
    let Ok((log, opened)) = opened else { panic!("a changed log is not opened: {opened:?}") };
    let (hit, whole): (Vec<&Found>, Vec<&Found>) =
        written.iter().partition(|found| touched.hits(found.position));
    assert_eq!(positions_of(&opened), whole.iter().map(|found| found.position).collect::<Vec<_>>());
    for Found { position, record, .. } in &whole {
        assert_eq!(Reader::new(&memory).read(*position).ok().as_ref(), Some(record));
    }
    for Found { position, .. } in &hit {
        assert!(
            Reader::new(&memory).read(*position).is_err(),
            "{position:?} is read although it was changed"
        );
        // Whatever was written behind its group, and is whole, tells that it was acknowledged.
        let is_behind = |other: &&Found| {
            other.position.segment == position.segment && other.group >= position.offset + position.length
        };
        let reported = opened.recovered.damage.iter().any(|damage| {
            damage.segment == position.segment
                && damage.offset <= position.offset
                && damage.offset + damage.length >= position.offset + position.length
        });
        assert!(reported || !whole.iter().any(is_behind), "{position:?} is lost, and it is not said");
    }
    opened_as_it_should(&before, &memory, log, &opened);
}

/// A log that nothing went wrong with has its records, in their groups, and each segment knows all of the one before.
fn is_as_written(segments: &[Segment], written: &[Found]) {
    assert_eq!(records(segments), written);
    let mut before = Header::default();
    for segment in segments {
        assert_eq!(segment.header, Some(before), "the header of {}", segment.name);
        let Ok(end) = u32::try_from(segment.end()) else { panic!("{} is too long", segment.name) };
        before = Header { before: segment.number, acknowledged: end };
    }
}
