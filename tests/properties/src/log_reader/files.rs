//! Files of a log, as a few bytes say: bytes at random would hardly ever have a checksum that is right.

use std::collections::{BTreeMap, BTreeSet};

use mesher_common::id::EventId;
use mesher_writer::{
    admission::Fingerprint,
    log::{Log, Position, Record},
    row::LAYOUT,
};
use uuid::Uuid;

use super::{
    memory::{Files, Memory, index},
    oracle::{Found, Header, checksum, number, unknown_format},
};
use crate::samples::PROJECT;

/// The most files, and the most instructions: what is found with more is found with less.
const MAX_FILES: usize = 4;
const MAX_STEPS: usize = 40;

/// Bytes that are taken one after the other; zeros when there are no more.
#[derive(Clone, Copy, Debug)]
pub(super) struct Choices<'a>(&'a [u8]);

impl<'a> Choices<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    fn byte(&mut self) -> u8 {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *first
    }

    fn number(&mut self) -> usize {
        usize::from(u16::from_le_bytes([self.byte(), self.byte()]))
    }

    /// A place in a file, and now and then one far behind its end.
    fn offset(&mut self) -> u32 {
        match self.number() {
            0xffff => u32::MAX,
            number => u32::try_from(number).unwrap_or(u32::MAX),
        }
    }

    fn bytes(&mut self, length: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        taken
    }
}

/// A record with a row of so many bytes, of this layout or of another.
pub(super) fn record(number: u8, length: usize) -> Record {
    Record {
        project: PROJECT,
        id: EventId(Uuid::from_u128(number.into())),
        received_at: i64::from(number) * 1_000_000,
        id_given: number.is_multiple_of(2),
        fingerprint: Fingerprint::from_bytes([number; Fingerprint::LENGTH]),
        layout: if number.is_multiple_of(3) { 0 } else { LAYOUT },
        row: vec![number; length],
    }
}

/// Something that looks like a record, and whose checksum is right, around any body.
fn framed(body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes();
    let group = [0; 4];
    [b"MREC", &length, &group, &checksum(&[&length, &group, body]).to_le_bytes(), body].concat()
}

/// Files with anything in them.
pub(super) fn any(mut choices: Choices<'_>) -> Memory {
    let mut files = Files::new();
    let mut content = Vec::new();
    for _ in 0..MAX_STEPS {
        if choices.is_empty() || files.len() == MAX_FILES {
            break;
        }
        match choices.byte() % 12 {
            0 => content.extend(Header::default().encode()),
            // One that knows something of a segment: mostly of one that is there.
            1 => {
                let index = usize::from(choices.byte());
                let before = segment(choices.byte(), index % MAX_FILES);
                content.extend(Header { before, acknowledged: choices.offset() }.encode());
            }
            // A record that says that nothing, all, or so many bytes before it are acknowledged.
            step @ 2..=4 => {
                let length = choices.number() % 100;
                let record = record(choices.byte(), length);
                let group = match step {
                    2 => 0,
                    3 => u32::try_from(content.len()).unwrap_or(u32::MAX),
                    _ => choices.offset(),
                };
                record.encode_in_group(group, &mut content);
            }
            5 => {
                let length = usize::from(choices.byte());
                content.extend(choices.bytes(length));
            }
            6 => {
                let length = usize::from(choices.byte());
                content.extend(framed(choices.bytes(length)));
            }
            // A record in the row of another: it is found only if the outer one is damaged.
            7 => {
                let mut inner = Vec::new();
                record(choices.byte(), 3).encode(&mut inner);
                Record { row: inner, ..record(1, 0) }.encode(&mut content);
            }
            8 => {
                let keep = content.len().saturating_sub(usize::from(choices.byte()));
                content.truncate(keep);
            }
            9 => {
                let at = choices.number() % content.len().max(1);
                if let Some(byte) = content.get_mut(at) {
                    *byte ^= choices.byte();
                }
            }
            10 => content.extend(vec![0; usize::from(choices.byte())]),
            _ => {
                let name = name(choices.byte(), files.len());
                files.insert(name, std::mem::take(&mut content));
            }
        }
    }
    let last = name(0, files.len());
    files.insert(last, content);
    Memory::new(files)
}

/// The names of segments, with gaps, and now and then that of another file.
fn name(choice: u8, index: usize) -> String {
    match choice {
        255 => "notes.txt".to_owned(),
        254 => "00000000000000000001.log.old".to_owned(),
        _ => format!("{:020}.log", segment(choice, index)),
    }
}

fn segment(choice: u8, index: usize) -> u64 {
    index as u64 * 300 + u64::from(choice) + 1
}

/// Writes a log in groups, and tells what was written where.
pub(super) fn write(memory: &Memory, segment_bytes: u32, choices: &mut Choices<'_>) -> Vec<Found> {
    let mut written = Vec::new();
    let Ok((mut log, _)) = Log::open(memory.clone(), segment_bytes, |_| {}) else {
        panic!("an empty log is not opened")
    };
    for group in 0..=choices.byte() % 16 {
        let records: Vec<Record> = (0..=choices.byte() % 4)
            .map(|number| record(group * 4 + number, choices.number() % 700))
            .collect();
        let Ok(positions) = log.commit(&records) else { panic!("a group is not committed") };
        let begins = positions[0].offset;
        let found = positions.into_iter().zip(records);
        written.extend(found.map(|(position, record)| Found { position, record, group: begins }));
    }
    written
}

/// What was done to a log.
#[derive(Debug)]
pub(super) struct Mutated {
    pub(super) touched: Touched,
    /// Whether a header now names another format.
    pub(super) unknown_format: bool,
}

/// The bytes that are not any more what was written, by segment.
#[derive(Debug, Default)]
pub(super) struct Touched(BTreeMap<u64, BTreeSet<usize>>);

impl Touched {
    /// Whether a byte of a record was touched.
    pub(super) fn hits(&self, position: Position) -> bool {
        let from = index(position.offset);
        let bytes = from..from + index(position.length);
        self.0.get(&position.segment).is_some_and(|touched| touched.range(bytes).next().is_some())
    }
}

/// Changes bytes, zeroes some and cuts files off.
pub(super) fn mutate(memory: &Memory, choices: &mut Choices<'_>) -> Mutated {
    let before = memory.files();
    let mut files = memory.lock();
    for _ in 0..MAX_STEPS {
        if choices.is_empty() {
            break;
        }
        let which = usize::from(choices.byte()) % files.len().max(1);
        let Some(content) = files.values_mut().nth(which) else { break };
        let at = choices.number() % content.len().max(1);
        match choices.byte() % 8 {
            0 => content.truncate(at),
            1 => {
                let length = usize::from(choices.byte());
                content.iter_mut().skip(at).take(length).for_each(|byte| *byte = 0);
            }
            2 => {
                let length = usize::from(choices.byte());
                let bytes = choices.bytes(length);
                content.iter_mut().skip(at).zip(bytes).for_each(|(byte, other)| *byte = *other);
            }
            3 => content.extend(vec![0; usize::from(choices.byte())]),
            _ => {
                if let Some(byte) = content.get_mut(at) {
                    *byte ^= choices.byte();
                }
            }
        }
    }
    let mut touched = Touched::default();
    for (name, content) in &before {
        let now = &files[name];
        let changed = (0..content.len()).filter(|at| now.get(*at) != content.get(*at));
        if let Some(number) = number(name) {
            touched.0.insert(number, changed.collect());
        }
    }
    let unknown_format = unknown_format(&files).is_some();
    Mutated { touched, unknown_format }
}
