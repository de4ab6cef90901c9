//! Events' times and places, in about nine bytes each.

use std::iter;

use prost::encoding::{decode_varint, encode_varint};

use crate::log::Position;

/// Times and places of events. What each has more, or less, than the one before is mostly little, and written as Protocol
/// Buffers write a `sint64`.
#[derive(Debug, Default)]
pub(super) struct Compact {
    len: usize,
    bytes: Vec<u8>,
    last: [u64; 4],
}

impl Compact {
    /// Adds an event that was received so many microseconds after 1970.
    pub(super) fn push(&mut self, received_at: i64, position: Position) {
        let Position { segment, offset, length } = position;
        let next = [received_at.cast_unsigned(), segment, offset.into(), length.into()];
        for (last, next) in self.last.iter().zip(next) {
            encode_varint(zigzag(next.wrapping_sub(*last).cast_signed()), &mut self.bytes);
        }
        self.last = next;
        self.len += 1;
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The events, in the order in which they were added.
    pub(super) fn into_iter(self) -> impl Iterator<Item = (i64, Position)> {
        let mut bytes = std::io::Cursor::new(self.bytes);
        let mut next = [0_u64; 4];
        iter::from_fn(move || {
            for value in &mut next {
                // The only error is that there are no more.
                let more = unzigzag(decode_varint(&mut bytes).ok()?);
                *value = value.wrapping_add(more.cast_unsigned());
            }
            let [received_at, segment, offset, length] = next;
            let position = Position { segment, offset: low(offset), length: low(length) };
            Some((received_at.cast_signed(), position))
        })
    }
}

/// Small numbers for what is near to zero on either side.
fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)).cast_unsigned()
}

fn unzigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
}

/// What came from so many bits.
#[expect(clippy::cast_possible_truncation, reason = "nothing is cut off from what was a u32")]
fn low(number: u64) -> u32 {
    number as u32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn all_of_them_come_back(
            events in prop::collection::vec((any::<i64>(), any::<u64>(), any::<u32>(), any::<u32>()), 0..100),
        ) {
            let events: Vec<(i64, Position)> = events
                .into_iter()
                .map(|(received_at, segment, offset, length)| (received_at, Position { segment, offset, length }))
                .collect();
            let mut compact = Compact::default();
            for (received_at, position) in &events {
                compact.push(*received_at, *position);
            }
            prop_assert_eq!(compact.len(), events.len());
            prop_assert_eq!(compact.into_iter().collect::<Vec<_>>(), events);
        }
    }

    #[test]
    fn an_event_takes_few_bytes() {
        // Those of one of twenty projects that send in turn, 1,000 events in a second.
        let mut compact = Compact::default();
        for number in 0..100_000 {
            let at = 20 * 1600 * u64::from(number);
            let (segment, offset) = (at >> 25, low(at % (1 << 25)));
            compact
                .push(i64::from(number) * 20_000, Position { segment, offset, length: 1500 + number % 200 });
        }
        assert!(compact.bytes.len() < 10 * 100_000, "{} bytes", compact.bytes.len());
    }
}
