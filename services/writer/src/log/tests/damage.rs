//! What a disk does not give any more, or gives as something else.

use super::*;

/// The bytes of a record in its file.
fn bytes(position: Position) -> Range<usize> {
    position.offset as usize..(position.offset + position.length) as usize
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    #[test]
    fn a_block_that_cannot_be_read_costs_the_records_in_it_until_it_can_be(
        parts in prop::collection::vec((0..2200_usize, 1..200_usize), 1..4),
        has_next in any::<bool>(),
    ) {
        let fs = Simulated::default();
        let (mut log, ..) = open(fs.clone(), 1 << 20).unwrap();
        let records: Vec<Record> = (0..20).map(record).collect();
        let mut positions: Vec<Position> =
            records.chunks(4).flat_map(|group| log.commit(group).unwrap()).collect();
        if has_next {
            log.seal();
            positions.extend(log.commit(&[record(20)]).unwrap());
        }
        let before = fs.content(&name(1));
        for (from, length) in parts {
            let end = before.len().min(from + length);
            fs.make_unreadable(&name(1), from.min(end - 1)..end);
        }
        let is_left = |at: &Position| at.segment > 1 || fs.is_readable(&name(1), &bytes(*at));
        let (left, gone): (Vec<Position>, Vec<Position>) = positions.iter().copied().partition(is_left);
        for position in &gone {
            let error = Reader::new(&fs).read(*position).unwrap_err();
            prop_assert!(matches!(error, ReadError::Io(_)), "nothing is said about the record: {error}");
        }
        for _ in 0..2 {
            let (_, recovered, found) = open(fs.clone(), 1 << 20).unwrap();
            prop_assert_eq!(&found, &left);
            for at in &gone {
                let is_told = |damage: &Damage| {
                    damage.lost == Lost::Events
                        && damage.offset <= at.offset
                        && damage.offset + damage.length >= at.offset + at.length
                };
                prop_assert!(recovered.damage.iter().any(is_told), "{at:?}: {:?}", recovered.damage);
            }
            for Damage { offset, length, .. } in &recovered.damage {
                let part = *offset as usize..(offset + length) as usize;
                prop_assert!(!fs.is_readable(&name(1), &part), "{part:?} can be read");
            }
            prop_assert!(fs.content(&name(1)).starts_with(&before[..bytes(positions[19]).end]));
        }
        fs.make_readable();
        let (_, recovered, found) = open(fs, 1 << 20).unwrap();
        prop_assert_eq!(found, positions);
        prop_assert_eq!(recovered.damage, []);
    }
}

#[test]
fn a_segment_of_which_nothing_can_be_read_is_not_taken_for_one_that_was_only_begun() {
    let fs = Simulated::default();
    let (mut log, ..) = open(fs.clone(), SEGMENT).unwrap();
    let position = log.commit(&[record(0)]).unwrap()[0];
    let length = fs.content(&name(1)).len();
    fs.make_unreadable(&name(1), 0..length);
    let (mut log, recovered, found) = open(fs.clone(), SEGMENT).unwrap();
    assert_eq!(found, []);
    let rest = Position { segment: 1, offset: position.offset, length: size(length - HEADER).unwrap() };
    assert_eq!(recovered.damage, [header(), lost(rest)]);
    assert_eq!((recovered.segments[&1] as usize, recovered.torn_bytes), (length, 0));
    assert_eq!(log.commit(&[record(1)]).unwrap()[0].segment, 2);
}

#[test]
fn what_is_found_can_be_read_also_where_nothing_but_zeros_cannot() {
    let fs = Simulated::default();
    let (mut log, ..) = open(fs.clone(), SEGMENT).unwrap();
    let zeros = Record { row: vec![0; 200], ..record(0) };
    let positions = log.commit(&[zeros, record(1)]).unwrap();
    fs.make_unreadable(&name(1), 200..201);
    let (_, recovered, found) = open(fs, SEGMENT).unwrap();
    assert_eq!((found, recovered.damage), (vec![positions[1]], vec![lost(positions[0])]));
}

#[test]
fn where_more_cannot_be_read_than_would_be_kept_the_log_is_not_opened() {
    let fs = Simulated::default();
    let (mut log, ..) = open(fs.clone(), SEGMENT).unwrap();
    let mut positions = Vec::new();
    for number in 0..6 {
        positions.extend(log.commit(&[record(number)]).unwrap());
        log.seal();
    }
    for segment in 1..=4 {
        fs.make_unreadable(&name(segment), 100..101);
    }
    assert_eq!(open(fs.clone(), SEGMENT).unwrap().2, positions[4..]);
    fs.make_unreadable(&name(5), 100..101);
    let error = open(fs.clone(), SEGMENT).unwrap_err();
    assert!(matches!(error, OpenError::Unreadable { segments: 5, .. }), "{error}");
    fs.make_readable();
    assert_eq!(open(fs, SEGMENT).unwrap().2, positions);
}

#[test]
fn what_was_noted_as_settled_is_not_lost() {
    let fs = Simulated::default();
    let (mut log, ..) = open(fs.clone(), 1 << 20).unwrap();
    let positions = log.commit(&[1, 2, 4, 5, 7].map(record)).unwrap();
    log.commit(&[record(8)]).unwrap();
    // In the bodies of three neighbours, and of one that stands alone.
    for position in [positions[0], positions[1], positions[2], positions[4]] {
        fs.damage(&name(1), position.offset as usize + 70);
    }
    let all =
        |count| Position { length: positions[..count].iter().map(|at| at.length).sum(), ..positions[0] };
    let is = |lost, Position { segment, offset, length }| Damage { segment, offset, length, lost };
    let damage = |fs: &Simulated| open(fs.clone(), 1 << 20).unwrap().1.damage;
    assert_eq!(damage(&fs), [lost(all(3)), lost(positions[4])]);
    note(&fs, 1, &[positions[0].offset, positions[2].offset]).unwrap();
    assert_eq!(damage(&fs), [lost(all(3)), lost(positions[4])], "the second one is not settled");
    note(&fs, 1, &[positions[1].offset, positions[4].offset]).unwrap();
    assert_eq!(damage(&fs), [is(Lost::Settled, all(3)), is(Lost::Settled, positions[4])]);
    // Without its length it could be two of which only one is settled.
    fs.damage(&name(1), positions[4].offset as usize + 4);
    assert_eq!(damage(&fs), [is(Lost::Settled, all(3)), lost(positions[4])]);
}

/// A log with so many segments of a record each.
fn segments(fs: &Simulated, count: u64) -> Vec<u64> {
    let (mut log, ..) = open(fs.clone(), SEGMENT).unwrap();
    let mut segments = Vec::new();
    for number in 0..count {
        segments.push(log.commit(&[record(number)]).unwrap()[0].segment);
        log.seal();
    }
    segments
}

#[test]
fn of_damaged_segments_the_last_ones_are_kept_and_not_read() {
    let fs = Simulated::default();
    let first = segments(&fs, 3);
    let content = fs.content(&name(first[0]));
    note(&fs, first[0], &[24]).unwrap();
    keep_damaged(&fs, &first).unwrap();
    let kept = |segments: &[u64]| -> Vec<String> {
        segments.iter().map(|segment| damaged::kept_name(*segment)).collect()
    };
    assert_eq!(fs.names(), kept(&first), "without their notes");
    assert_eq!(fs.content(&kept(&first)[0]), content);
    let (_, recovered, found) = open(fs.clone(), SEGMENT).unwrap();
    assert_eq!((found, recovered.segments.len()), (vec![], 0));
    // A number of theirs would have one take the place of another.
    let more = segments(&fs, 3);
    assert_eq!(more, [4, 5, 6]);
    keep_damaged(&fs, &more).unwrap();
    assert_eq!(fs.names(), kept(&[3, 4, 5, 6]));
}

#[test]
fn a_segment_that_cannot_be_kept_is_kept_when_it_is_tried_again() {
    for (calls, seed) in (0..8).flat_map(|calls| (0..8).map(move |seed| (calls, seed))) {
        let fs = Simulated::default();
        let damaged = segments(&fs, 6);
        note(&fs, 1, &[24]).unwrap();
        fs.fail_after(calls);
        let is_kept = keep_damaged(&fs, &damaged[..1]).is_ok();
        fs.heal();
        if !is_kept {
            keep_damaged(&fs, &damaged[..1]).unwrap();
        }
        let fs = fs.crash(&mut Choices(seed));
        let (_, recovered, found) = open(fs.clone(), SEGMENT).unwrap();
        assert_eq!((found.len(), recovered.damage), (5, vec![]), "after {calls} calls");
        assert!(fs.names().contains(&damaged::kept_name(1)), "after {calls} calls");
    }
}
