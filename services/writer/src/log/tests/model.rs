//! The log against a model, whatever it is asked to do and wherever it fails or crashes.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

fn number_of(record: &Record) -> u64 {
    u64::try_from(record.received_at).unwrap()
}

/// What a log is asked to do.
#[derive(Clone, Debug)]
enum Step {
    /// Commit so many records.
    Commit(usize),
    /// Remove the oldest segment that is not the active one.
    RemoveOldest,
    /// Note so many of the oldest records as settled.
    Settle(usize),
    /// Have a call fail after so many.
    FailAfter(usize),
    /// Have all calls of a kind fail, or the disk fill up.
    Fail(Call),
    FillUp(usize),
    Heal,
    /// Have the disk not give some blocks of a file that is there, by a seed, or all of them again.
    MakeUnreadable(u64),
    MakeReadable,
    /// Crash and open again; the seed decides what is left.
    Crash(u64),
    /// Only the process dies.
    Kill,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        8 => (1..6_usize).prop_map(Step::Commit),
        2 => Just(Step::RemoveOldest),
        3 => (1..6_usize).prop_map(Step::Settle),
        2 => (0..8_usize).prop_map(Step::FailAfter),
        1 => proptest::sample::select(&Call::CHANGES[..]).prop_map(Step::Fail),
        1 => (0..300_usize).prop_map(Step::FillUp),
        2 => Just(Step::Heal),
        1 => any::<u64>().prop_map(Step::MakeUnreadable),
        1 => Just(Step::MakeReadable),
        2 => any::<u64>().prop_map(Step::Crash),
        1 => Just(Step::Kill),
    ]
}

/// The records that were acknowledged by their segments, with their offsets, and how many were sent.
#[derive(Debug, Default)]
struct Model {
    acknowledged: BTreeMap<u64, Vec<(u64, u32)>>,
    sent: u64,
    /// Those that were noted as settled, as long as no note failed.
    settled: Vec<u64>,
    has_failed: bool,
    /// Whether some blocks cannot be read: those of notes may be among them.
    is_unreadable: bool,
    /// Those that were ever noted as settled, whether or not the notes were kept.
    noted: BTreeSet<u64>,
}

impl Model {
    /// What is given once is safe: its other copies, if it has any, may be removed.
    fn is_given(&mut self, fs: &Simulated, found: &[Position]) {
        for position in found {
            let number = number_of(&Reader::new(fs).read(*position).unwrap());
            let of_segment = self.acknowledged.entry(position.segment).or_default();
            if !self.noted.contains(&number) && !of_segment.contains(&(number, position.offset)) {
                of_segment.push((number, position.offset));
            }
        }
    }

    /// Fails unless what was recovered is what was acknowledged, in order, and nothing that was never sent or twice.
    fn check(&self, fs: &Simulated, recovered: &Recovered, found: &[Position]) {
        for Damage { segment, offset, length, .. } in &recovered.damage {
            let part = *offset as usize..(offset + length) as usize;
            let is_readable = fs.is_readable(&name(*segment), &part);
            assert!(!is_readable, "a crash tears what was not acknowledged, it does not damage");
        }
        let found: Vec<u64> =
            found.iter().map(|position| number_of(&Reader::new(fs).read(*position).unwrap())).collect();
        assert!(found.is_sorted_by(|a, b| a < b), "in order and once: {found:?}");
        assert!(found.iter().all(|number| *number < self.sent));
        for (segment, of_segment) in &self.acknowledged {
            for (number, offset) in of_segment {
                let part = *offset as usize..*offset as usize + record(*number).length();
                let is_lost = !found.contains(number);
                // Zeros that a record ends with cannot be told from those behind it.
                let is_told = || {
                    recovered.damage.iter().any(|damage| {
                        let told = damage.offset as usize..(damage.offset + damage.length) as usize;
                        damage.segment == *segment && told.contains(&part.start)
                    })
                };
                let may_be = || !fs.is_readable(&name(*segment), &part) && is_told();
                assert!(!is_lost || may_be(), "{number} was acknowledged, and is lost: {found:?}");
            }
        }
        if !self.has_failed && !self.is_unreadable {
            for number in &self.settled {
                assert!(!found.contains(number), "{number} is settled, and was noted to be: {found:?}");
            }
        }
    }
}

/// Has the disk not give some blocks of a file.
fn make_unreadable(fs: &Simulated, choices: &mut Choices) {
    let names = fs.names();
    if !names.is_empty() {
        let name = &names[choices.below(names.len())];
        let from = choices.below(fs.content(name).len() + 1);
        fs.make_unreadable(name, from..from + 1 + choices.below(100));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    #[test]
    fn what_was_acknowledged_comes_back_once_and_in_order(steps in proptest::collection::vec(step(), 1..40)) {
        let mut fs = Simulated::default();
        let mut model = Model::default();
        let (mut log, ..) = open(fs.clone(), SEGMENT).unwrap();
        for step in steps.into_iter().chain([Step::Crash(7), Step::MakeReadable, Step::Crash(8)]) {
            match step {
                Step::Commit(count) => {
                    let numbers: Vec<u64> = (model.sent..).take(count).collect();
                    model.sent += count as u64;
                    let records: Vec<Record> = numbers.iter().map(|number| record(*number)).collect();
                    if let Ok(positions) = log.commit(&records) {
                        for (number, position) in numbers.into_iter().zip(positions) {
                            let of_segment = model.acknowledged.entry(position.segment).or_default();
                            of_segment.push((number, position.offset));
                        }
                    }
                }
                Step::RemoveOldest => {
                    let active = log.active().map(|(segment, _)| segment);
                    let oldest = model.acknowledged.keys().next().copied();
                    if let Some(oldest) = oldest.filter(|oldest| Some(*oldest) != active) {
                        // Its events are settled: whether or not it comes back, nothing is lost.
                        model.acknowledged.remove(&oldest);
                        let _ = remove(&fs, &[oldest]);
                    }
                }
                Step::Settle(count) => {
                    if let Some((segment, records)) = model.acknowledged.iter_mut().next() {
                        let (settled, offsets): (Vec<u64>, Vec<u32>) =
                            records.drain(..count.min(records.len())).unzip();
                        model.has_failed |= note(&fs, *segment, &offsets).is_err();
                        model.noted.extend(&settled);
                        model.settled.extend(settled);
                    }
                }
                Step::FailAfter(calls) => fs.fail_after(calls),
                Step::Fail(call) => fs.fail(call),
                Step::FillUp(room) => fs.fill_up(room),
                Step::Heal => fs.heal(),
                Step::MakeUnreadable(seed) => {
                    model.is_unreadable = true;
                    make_unreadable(&fs, &mut Choices(seed));
                }
                Step::MakeReadable => {
                    model.is_unreadable = false;
                    // What was torn of notes that could not be read was not cut off.
                    model.has_failed = true;
                    fs.make_readable();
                }
                Step::Crash(_) | Step::Kill => {
                    fs = match step {
                        Step::Crash(seed) => {
                            // Notes are not synced.
                            model.has_failed = true;
                            fs.crash(&mut Choices(seed))
                        }
                        _ => fs.kill(),
                    };
                    let opened = open(fs.clone(), SEGMENT).or_else(|error| {
                        assert!(matches!(error, OpenError::Unreadable { .. }), "{error}");
                        fs.make_readable();
                        open(fs.clone(), SEGMENT)
                    });
                    let (reopened, recovered, found) = opened.unwrap();
                    model.check(&fs, &recovered, &found);
                    model.is_given(&fs, &found);
                    model.settled.clear();
                    model.has_failed = false;
                    log = reopened;
                }
            }
        }
    }
}
