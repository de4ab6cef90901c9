//! What is counted of each segment of a log.

use std::{collections::BTreeMap, time::Duration};

use tokio::time::Instant;

use crate::log::{Log, Position, fs::FileSystem};

/// How long a segment is left alone that could not be emptied.
const REST: Duration = Duration::from_mins(1);

/// A segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Segment {
    /// How many of its events are not settled.
    pub(super) unsettled: u64,
    /// How many bytes it has on disk.
    pub(super) bytes: u64,
    /// Whether the disk has damaged events in it.
    pub(super) is_damaged: bool,
    /// Until when it is not tried to empty it; set when that failed.
    rests_until: Option<Instant>,
}

impl Segment {
    /// Whether it is left alone because it could not be emptied.
    pub(super) fn rests(&self, now: Instant) -> bool {
        self.rests_until.is_some_and(|until| now < until)
    }
}

/// The segments of a log, by their numbers.
#[derive(Debug, Default)]
pub(super) struct Segments {
    segments: BTreeMap<u64, Segment>,
}

impl Segments {
    /// A segment that is there, although nothing of it may be of use.
    pub(super) fn insert(&mut self, segment: u64, bytes: u64) {
        self.segments.insert(segment, Segment { bytes, ..Segment::default() });
    }

    /// Notes a segment that was begun, or tried to be; 0 is none.
    pub(super) fn begin(&mut self, segment: u64) {
        if segment > 0 {
            self.segments.entry(segment).or_default();
        }
    }

    /// Notes an event that is there.
    pub(super) fn add(&mut self, position: Position) {
        self.grow(position);
        self.segments.entry(position.segment).or_default().unsettled += 1;
    }

    /// Notes that a segment has an event, which may be settled.
    pub(super) fn grow(&mut self, position: Position) {
        let segment = self.segments.entry(position.segment).or_default();
        segment.bytes = segment.bytes.max(u64::from(position.offset) + u64::from(position.length));
    }

    /// Notes that an event is settled.
    pub(super) fn settle(&mut self, position: Position) {
        if let Some(segment) = self.segments.get_mut(&position.segment) {
            segment.unsettled = segment.unsettled.saturating_sub(1);
        }
    }

    /// Notes that the disk has damaged events in a segment.
    pub(super) fn damage(&mut self, segment: u64) {
        if let Some(segment) = self.segments.get_mut(&segment) {
            segment.is_damaged = true;
        }
    }

    /// Notes that a segment cannot be emptied now.
    pub(super) fn rest(&mut self, segment: u64) {
        if let Some(segment) = self.segments.get_mut(&segment) {
            segment.rests_until = Some(Instant::now() + REST);
        }
    }

    /// Whether a segment is there, and not about to be removed.
    pub(super) fn contains(&self, segment: u64) -> bool {
        self.segments.contains_key(&segment)
    }

    /// How many bytes all have.
    pub(super) fn bytes(&self) -> u64 {
        self.segments.values().map(|segment| segment.bytes).sum()
    }

    /// The segments, the oldest first.
    pub(super) fn iter(&self) -> impl DoubleEndedIterator<Item = (u64, Segment)> {
        self.segments.iter().map(|(number, segment)| (*number, *segment))
    }

    /// Takes the segments without an unsettled event, but for the active one while it has less than `seal_bytes`.
    pub(super) fn take_settled<F: FileSystem>(
        &mut self,
        log: &mut Log<F>,
        seal_bytes: u32,
    ) -> BTreeMap<u64, Segment> {
        let is_settled = |segment: &Segment| segment.unsettled == 0;
        if let Some((active, bytes)) = log.active()
            && bytes >= seal_bytes
            && self.segments.get(&active).is_some_and(is_settled)
        {
            log.seal();
        }
        let active = log.active().map(|(segment, _)| segment);
        self.segments
            .extract_if(.., |number, segment| is_settled(segment) && Some(*number) != active)
            .collect()
    }

    /// Takes segments back that could not be removed.
    pub(super) fn put_back(&mut self, segments: BTreeMap<u64, Segment>) {
        self.segments.extend(segments);
    }
}
