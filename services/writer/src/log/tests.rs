//! The log on a file system that fails and crashes.

mod damage;
mod model;

use mesher_common::id::{EventId, ProjectId};
use proptest::prelude::*;

use super::{
    fs::Directory,
    segment::HEADER,
    simulated::{Call, Choices, Simulated},
    *,
};
use crate::admission::Fingerprint;

const SEGMENT: u32 = 600;

fn record(number: u64) -> Record {
    Record {
        project: ProjectId(uuid::Uuid::nil()),
        id: EventId(uuid::Uuid::from_u128(number.into())),
        received_at: i64::try_from(number).unwrap(),
        id_given: number.is_multiple_of(2),
        fingerprint: Fingerprint::from_bytes([1; 17]),
        layout: 1,
        // Now and then with what looks like the beginning of a record in it.
        row: if number.is_multiple_of(3) { b"MREC\x30\0\0\0".repeat(3) } else { vec![7; 40] },
    }
}

/// The damage that has cost a record.
fn lost(Position { segment, offset, length }: Position) -> Damage {
    Damage { segment, offset, length, lost: Lost::Events }
}

/// The damage of the first segment's header.
fn header() -> Damage {
    Damage { segment: 1, offset: 0, length: size(HEADER).unwrap(), lost: Lost::Header }
}

/// Opens a log, and gives what was found of it, and where the records are.
fn open<F: FileSystem>(fs: F, segment_bytes: u32) -> Result<(Log<F>, Recovered, Vec<Position>), OpenError> {
    let mut found = Vec::new();
    let (log, recovered) = Log::open(fs, segment_bytes, |record| found.push(record.position))?;
    assert_eq!(recovered.unsettled, found.len());
    Ok((log, recovered, found))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    #[test]
    fn damage_costs_the_records_that_it_hits_and_no_others(offset in HEADER..2000_usize) {
        let fs = Simulated::default();
        let (mut log, ..) = open(fs.clone(), 1 << 20).unwrap();
        let records: Vec<Record> = (0..20).map(record).collect();
        let positions: Vec<Position> = records.chunks(4).flat_map(|group| log.commit(group).unwrap()).collect();
        let end = positions.last().map(|last| (last.offset + last.length) as usize).unwrap();
        let offset = offset.min(end - 1);
        fs.damage(&fs.names()[0], offset);
        let hit = positions.iter().position(|at| (at.offset + at.length) as usize > offset).unwrap();
        let left: Vec<Position> =
            positions.iter().enumerate().filter(|(index, _)| *index != hit).map(|(_, at)| *at).collect();
        let damage = lost(positions[hit]);

        // While the next segment is there, it is known how far this one was acknowledged.
        let copy = Simulated::default();
        copy.replace(&name(1), fs.content(&name(1)));
        log.seal();
        let next = log.commit(&[record(20)]).unwrap();
        copy.replace(&name(2), fs.content(&name(2)));
        let (_, recovered, found) = open(copy, 1 << 20).unwrap();
        prop_assert_eq!(found, [left.clone(), next].concat());
        prop_assert_eq!(recovered.damage, std::slice::from_ref(&damage));

        // Without it, the last group may as well have been torn.
        fs.remove(&name(2)).unwrap();
        let (_, recovered, found) = open(fs, 1 << 20).unwrap();
        prop_assert_eq!(found, left);
        let (gone, torn) = if hit < 16 { (vec![damage], 0) } else { (vec![], positions[hit].length) };
        prop_assert_eq!(recovered.damage, gone);
        prop_assert_eq!(recovered.torn_bytes, u64::from(torn));
    }
}

#[test]
fn a_hole_in_a_group_that_was_never_acknowledged_is_no_damage_now_or_later() {
    let fs = Simulated::default();
    let (mut log, ..) = open(fs.clone(), SEGMENT).unwrap();
    let first = log.commit(&[record(0)]).unwrap()[0];
    let torn = log.commit(&[record(1), record(2), record(4)]).unwrap();
    // The crash came before the second group was synced, and its middle was not written.
    let mut content = fs.content(&name(1));
    content[torn[1].offset as usize..][..torn[1].length as usize].fill(0);
    fs.replace(&name(1), content);
    let mut expected = vec![first, torn[0], torn[2]];
    for number in 5..8 {
        let (mut log, recovered, found) = open(fs.clone(), SEGMENT).unwrap();
        assert_eq!((found, recovered.damage), (expected.clone(), vec![]));
        assert_eq!(recovered.torn_bytes, u64::from(torn[1].length));
        // What comes later in other segments says nothing against it.
        expected.extend(log.commit(&[record(number)]).unwrap());
    }
}

#[test]
fn an_acknowledged_tail_that_is_gone_is_damage() {
    let fs = Simulated::default();
    let (mut log, ..) = open(fs.clone(), SEGMENT).unwrap();
    let positions = log.commit(&[record(0), record(1)]).unwrap();
    log.seal();
    log.commit(&[record(2)]).unwrap();
    let mut content = fs.content(&name(1));
    content.truncate(positions[1].offset as usize);
    fs.replace(&name(1), content);
    let (_, recovered, _) = open(fs, SEGMENT).unwrap();
    assert_eq!(recovered.damage, [lost(positions[1])]);
}

#[test]
fn a_segment_that_is_cut_off_in_its_header_is_damaged_there_and_behind_it() {
    for length in 0..HEADER {
        let fs = Simulated::default();
        let (mut log, ..) = open(fs.clone(), SEGMENT).unwrap();
        let gone = log.commit(&[record(0)]).unwrap()[0];
        log.seal();
        let kept = log.commit(&[record(2)]).unwrap()[0];
        fs.replace(&name(1), fs.content(&name(1))[..length].to_vec());
        let (_, recovered, found) = open(fs, SEGMENT).unwrap();
        assert_eq!(recovered.damage, [header(), lost(gone)], "{length}");
        assert_eq!(found, [kept]);
    }
}

#[test]
fn a_segment_has_the_length_to_which_its_torn_tail_was_cut() {
    let fs = Simulated::default();
    let (mut log, ..) = open(fs.clone(), SEGMENT).unwrap();
    let position = log.commit(&[record(0)]).unwrap()[0];
    let end = position.offset + position.length;
    let mut content = fs.content(&name(1));
    content[end as usize..][..30].fill(1);
    fs.replace(&name(1), content);
    let (_, recovered, _) = open(fs.clone(), SEGMENT).unwrap();
    assert_eq!((recovered.segments[&1], recovered.torn_bytes), (end, 30));
    assert_eq!(fs.content(&name(1)).len(), end as usize);
}

#[test]
fn small_groups_are_written_over_zeros_and_large_ones_only_once() {
    let fs = Simulated::default();
    let (mut log, ..) = open(fs.clone(), 10 * GROWTH).unwrap();
    let length = |log: &Log<Simulated>| {
        let (segment, committed) = log.active().unwrap();
        (fs.content(&name(segment)).len(), committed as usize)
    };
    let mut grown = 0;
    let mut before = HEADER;
    for number in 0..20 {
        log.commit(&[record(number)]).unwrap();
        let (file, committed) = length(&log);
        assert!(committed <= file && file.is_multiple_of(GROWTH as usize));
        grown += usize::from(file != before);
        before = file;
    }
    assert_eq!(grown, before / GROWTH as usize);
    log.commit(&(20..24).map(record).collect::<Vec<_>>()).unwrap();
    let (file, committed) = length(&log);
    assert_eq!(file, committed, "nothing is written behind a large group");
    while length(&log).1 < 10 * GROWTH as usize {
        log.commit(&[record(30)]).unwrap();
    }
    let (file, committed) = length(&log);
    assert_eq!(file, committed, "a full segment has no zeros");
}

#[test]
fn a_disk_without_room_for_zeros_takes_records_to_its_last_bytes() {
    let fs = Simulated::default();
    let (mut log, ..) = open(fs.clone(), 10 * GROWTH).unwrap();
    let length = u32::try_from(record(1).length()).unwrap();
    fs.fill_up(HEADER + 3 * length as usize);
    for number in [1, 2, 4] {
        log.commit(&[record(number)]).unwrap();
    }
    log.commit(&[record(5)]).unwrap_err();
    let (_, recovered, found) = open(fs.kill(), 10 * GROWTH).unwrap();
    assert_eq!((found.len(), recovered.torn_bytes), (3, 0));
}

#[test]
fn a_disk_or_a_quota_without_room_to_write_the_last_group_again_keeps_nothing_from_being_given() {
    use io::ErrorKind::{PermissionDenied, QuotaExceeded, StorageFull};
    for (kind, is_opened) in [(StorageFull, true), (QuotaExceeded, true), (PermissionDenied, false)] {
        let fs = Simulated::default();
        let (mut log, ..) = open(fs.clone(), SEGMENT).unwrap();
        let position = log.commit(&[record(0)]).unwrap()[0];
        fs.fail_to_rewrite(kind);
        let opened = open(fs, SEGMENT).map(|(_, _, found)| found);
        assert_eq!(opened.ok(), is_opened.then(|| vec![position]), "{kind}");
    }
}

#[test]
fn what_a_failed_group_leaves_behind_is_no_damage() {
    for (seed, call) in (0..100).zip([Call::Truncate, Call::Sync].into_iter().cycle()) {
        let fs = Simulated::default();
        let (mut log, ..) = open(fs.clone(), SEGMENT).unwrap();
        log.commit(&[record(0)]).unwrap();
        fs.fail(Call::Sync);
        fs.fail(call);
        log.commit(&[record(1), record(2), record(3)]).unwrap_err();
        fs.heal();
        log.commit(&[record(4)]).unwrap();
        let (_, recovered, _) = open(fs.crash(&mut Choices(seed)), SEGMENT).unwrap();
        assert_eq!(recovered.damage, []);
    }
}

#[test]
fn a_format_of_another_version_is_refused() {
    let fs = Simulated::default();
    let (mut log, ..) = open(fs.clone(), SEGMENT).unwrap();
    let first = log.commit(&[record(1)]).unwrap();
    log.seal();
    let second = log.commit(&[record(2)]).unwrap();
    fs.damage(&name(1), 7);
    let error = open(fs.clone(), SEGMENT).unwrap_err();
    assert!(matches!(error, OpenError::UnknownFormat { .. }), "{error}");
    for part in [&name(1), "knows only 2 and 3", "byte 7 of the file is damaged: move the file away"] {
        assert!(error.to_string().contains(part), "{error}");
    }
    fs.rename(&name(1), "elsewhere").unwrap();
    assert_eq!(open(fs.clone(), SEGMENT).unwrap().2, second);
    // Somebody mends it.
    fs.damage("elsewhere", 7);
    fs.rename("elsewhere", &name(1)).unwrap();
    assert_eq!(open(fs, SEGMENT).unwrap().2, [first, second].concat());
}

#[test]
fn what_the_system_says_stands_in_an_error_once() {
    let fs = Simulated::default();
    fs.fail(Call::Look);
    let error = format!("{:#}", anyhow::Error::from(open(fs, SEGMENT).unwrap_err()));
    assert_eq!(error, "the log in simulated cannot be read or written: simulated failure");
}

#[test]
fn a_log_of_the_format_before_is_read() {
    let fs = Simulated::default();
    let (mut log, ..) = open(fs.clone(), SEGMENT).unwrap();
    let position = log.commit(&[record(1)]).unwrap()[0];
    let mut content = fs.content(&name(1));
    content[7] = segment::FORMAT_BEFORE;
    fs.replace(&name(1), content);
    let (_, recovered, found) = open(fs, SEGMENT).unwrap();
    assert_eq!((found[0], recovered.damage), (position, vec![]));
}

#[test]
fn a_damaged_header_costs_no_record() {
    for offset in (0..7).chain(8..HEADER) {
        let fs = Simulated::default();
        let (mut log, ..) = open(fs.clone(), SEGMENT).unwrap();
        let position = log.commit(&[record(1)]).unwrap()[0];
        fs.damage(&name(1), offset);
        let (_, recovered, found) = open(fs, SEGMENT).unwrap();
        assert_eq!(found[0], position);
        assert_eq!(recovered.damage, [header()]);
    }
}

#[test]
fn after_a_failure_the_next_group_begins_a_new_segment() {
    let fs = Simulated::default();
    let (mut log, ..) = open(fs.clone(), SEGMENT).unwrap();
    let first = log.commit(&[record(0)]).unwrap()[0];
    fs.fail_after(1);
    log.commit(&[record(1)]).unwrap_err();
    let third = log.commit(&[record(2)]).unwrap()[0];
    assert!(third.segment > first.segment);
    let length = fs.content(&name(third.segment)).len();
    assert_eq!(length, (third.offset + third.length) as usize, "there may be no room for zeros");
    let (.., found) = open(fs, SEGMENT).unwrap();
    assert_eq!(found, [first, third], "what failed was cut off");
}

#[test]
fn it_works_on_a_real_directory() {
    let directory = std::env::temp_dir().join(format!("mesher-log-{}", uuid::Uuid::now_v7()));
    let fs = Directory::create(&directory).unwrap();
    let (mut log, ..) = open(fs.clone(), SEGMENT).unwrap();
    for number in 0..30 {
        log.commit(&[record(number)]).unwrap();
    }
    drop(log);
    let last = directory.join(fs.list().unwrap().into_iter().max().unwrap());
    let before = std::fs::read(&last).unwrap();
    let (log, recovered, found) = open(fs.clone(), SEGMENT).unwrap();
    let end = found.last().map(|last| last.offset + last.length).unwrap();
    assert_eq!(std::fs::read(last).unwrap(), before[..end as usize], "what is written again is where it was");
    let found: Vec<Record> = found.iter().map(|position| Reader::new(&fs).read(*position).unwrap()).collect();
    assert_eq!(found, (0..30).map(record).collect::<Vec<_>>());
    drop(log);
    let mut segments: Vec<u64> = recovered.segments.into_keys().collect();
    let length = std::fs::metadata(directory.join(name(segments[0]))).unwrap().len();
    assert_eq!(u64::from(fs.length(&fs.open_to_read(&name(segments[0])).unwrap()).unwrap()), length);
    keep_damaged(&fs, &segments.split_off(1)).unwrap();
    remove(&fs, &segments).unwrap();
    assert_eq!(open(fs.clone(), SEGMENT).unwrap().2, []);
    let kept = fs.list().unwrap();
    assert_eq!(kept.len(), 4);
    for name in kept {
        assert!(name.ends_with(".damaged"));
        fs.remove(&name).unwrap();
    }
    std::fs::remove_dir(directory).unwrap();
}
