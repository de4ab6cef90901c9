//! Where events are in the log, in few bits for each.

/// Where an event is in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// How many segments it is behind the one that its run counts from.
    pub(super) step: u32,
    pub(super) offset: u32,
    pub(super) length: u32,
}

impl Place {
    /// Where it ends in its segment.
    fn end(self) -> u32 {
        self.offset.saturating_add(self.length)
    }

    /// Whether it is behind another one in the same segment.
    fn is_behind(self, other: Self) -> bool {
        self.step == other.step && self.offset >= other.end()
    }
}

/// Places. Neighbours are about as long, and mostly one behind the other and about as far from one another: both take as many
/// bits as the one that needs the most, counted from the one that needs the least. Only those are told in full that are
/// the first ones of a segment, or in front of the one before.
#[derive(Debug)]
pub(super) struct Packed {
    len: usize,
    full: Box<[Full]>,
    /// What lies between two in one segment.
    gaps: Numbers,
    lengths: Numbers,
    words: Box<[u64]>,
}

/// A place that is told in full.
#[derive(Clone, Copy, Debug)]
struct Full {
    index: usize,
    step: u32,
    offset: u32,
}

impl Packed {
    /// Packs places.
    pub(super) fn of(places: &[Place]) -> Self {
        // None for what is told in full.
        let gap = |(index, place): (usize, &Place)| {
            let before = index.checked_sub(1).and_then(|before| places.get(before));
            before.filter(|before| place.is_behind(**before)).map(|before| place.offset - before.end())
        };
        let gaps = places.iter().enumerate().map(gap);
        let full = |(index, place): (usize, &Place)| {
            let Place { step, offset, .. } = *place;
            gap((index, place)).is_none().then_some(Full { index, step, offset })
        };
        let lengths = places.iter().map(|place| place.length);
        let mut packed = Self {
            len: places.len(),
            full: places.iter().enumerate().filter_map(full).collect(),
            gaps: Numbers::of(gaps.clone().flatten()),
            lengths: Numbers::of(lengths.clone()),
            words: Box::default(),
        };
        let bits = places.len() * usize::from(packed.gaps.width + packed.lengths.width);
        packed.words = vec![0; bits.div_ceil(64)].into();
        let mut at = 0;
        for (gap, length) in gaps.zip(lengths) {
            packed.gaps.put(&mut packed.words, &mut at, gap.unwrap_or(packed.gaps.least));
            packed.lengths.put(&mut packed.words, &mut at, length);
        }
        packed
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The places, in their order.
    pub(super) fn iter(&self) -> impl Iterator<Item = Place> {
        let mut full = self.full.iter().peekable();
        let (mut at, mut step, mut end) = (0, 0, 0_u32);
        (0..self.len).map(move |index| {
            let gap = self.gaps.get(&self.words, &mut at);
            let length = self.lengths.get(&self.words, &mut at);
            let mut offset = end.saturating_add(gap);
            if let Some(full) = full.next_if(|full| full.index == index) {
                (step, offset) = (full.step, full.offset);
            }
            let place = Place { step, offset, length };
            end = place.end();
            place
        })
    }

    /// Whether there is one in this segment.
    pub(super) fn is_in(&self, step: u32) -> bool {
        // The first one of each segment is told in full.
        self.full.iter().any(|full| full.step == step)
    }

    /// How many bytes it takes beyond itself.
    #[cfg(test)]
    pub(super) fn memory(&self) -> usize {
        size_of_val(&*self.words) + size_of_val(&*self.full)
    }
}

/// Numbers from `least` on, in `width` bits each, which are 32 at the most.
#[derive(Clone, Copy, Debug)]
struct Numbers {
    least: u32,
    width: u8,
}

impl Numbers {
    fn of(numbers: impl Iterator<Item = u32> + Clone) -> Self {
        let least = numbers.clone().min().unwrap_or(0);
        let range = numbers.max().unwrap_or(0) - least;
        let zeros = range.leading_zeros();
        Self { least, width: u8::try_from(u32::BITS - zeros).unwrap_or(32) }
    }

    /// Writes one of them to the bits from `at` on, which are zeros.
    fn put(self, words: &mut [u64], at: &mut usize, number: u32) {
        let (word, shift) = split(*at);
        let bits = u64::from(number - self.least);
        // What is shifted out of a word begins the next one.
        let halves = [bits << shift, bits.unbounded_shr(64 - shift)];
        for (word, half) in words.iter_mut().skip(word).zip(halves) {
            *word |= half;
        }
        *at += usize::from(self.width);
    }

    /// Reads one of them from the bits from `at` on.
    fn get(self, words: &[u64], at: &mut usize) -> u32 {
        let (word, shift) = split(*at);
        let half = |word: usize| words.get(word).copied().unwrap_or(0);
        let bits = half(word) >> shift | half(word + 1).unbounded_shl(64 - shift);
        *at += usize::from(self.width);
        self.least + u32::try_from(bits & ((1 << self.width) - 1)).unwrap_or(u32::MAX)
    }
}

/// The word that a bit is in, and its place there.
fn split(bit: usize) -> (usize, u32) {
    #[expect(clippy::cast_possible_truncation, reason = "below 64")]
    let shift = (bit % 64) as u32;
    (bit / 64, shift)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn places_come_back(
            steps in prop::collection::vec((0..30_u8, 0..1_u32 << 20, 0..1_u32 << 20), 0..600),
        ) {
            let mut last = Place { step: 0, offset: 7, length: 0 };
            let places: Vec<Place> = steps
                .into_iter()
                .map(|(way, gap, length)| {
                    last = match way {
                        0 => Place { step: last.step + 1, offset: gap, length },
                        1 => Place { step: last.step / 2, offset: gap, length },
                        2 => Place { step: last.step, offset: last.offset / 2, length },
                        _ => Place { step: last.step, offset: last.end() + gap, length },
                    };
                    last
                })
                .collect();
            let packed = Packed::of(&places);
            prop_assert_eq!(packed.len(), places.len());
            for step in 0..10 {
                prop_assert_eq!(packed.is_in(step), places.iter().any(|place| place.step == step));
            }
            prop_assert_eq!(packed.iter().collect::<Vec<_>>(), places);
        }
    }

    #[test]
    fn places_that_are_all_alike_take_no_bits_and_the_widest_ones_all() {
        for (gap, length) in [(0, 0), (33_000, 1650)] {
            let places: Vec<Place> =
                (0..100).map(|index| Place { step: 3, offset: index * (gap + length), length }).collect();
            let packed = Packed::of(&places);
            assert_eq!(packed.iter().collect::<Vec<_>>(), places);
            assert_eq!(packed.memory(), size_of::<Full>());
        }
        let places = [
            Place { step: 0, offset: 0, length: 0 },
            Place { step: 0, offset: 0, length: u32::MAX },
            Place { step: u32::MAX, offset: 0, length: 0 },
            Place { step: u32::MAX, offset: u32::MAX, length: 9 },
        ];
        assert_eq!(Packed::of(&places).iter().collect::<Vec<_>>(), places);
    }
}
