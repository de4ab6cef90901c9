//! Where events are in a segment, in few bits for each.

/// Where an event is in its segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) offset: u32,
    pub(super) length: u32,
}

impl Place {
    pub(super) fn end(self) -> u32 {
        self.offset.saturating_add(self.length)
    }
}

/// Places one behind the other. Neighbours are about as long, and about as far from one another: both take as many bits as the
/// one that needs the most, counted from the one that needs the least.
#[derive(Debug)]
pub(super) struct Packed {
    len: usize,
    /// Where the first one begins.
    start: u32,
    /// What lies between two.
    gaps: Numbers,
    lengths: Numbers,
    words: Box<[u64]>,
}

impl Packed {
    /// Packs places of which none begins before the one in front of it ends.
    pub(super) fn of(places: &[Place]) -> Self {
        let gaps = places.windows(2).map(|pair| pair[1].offset - pair[0].end());
        let lengths = places.iter().map(|place| place.length);
        let mut packed = Self {
            len: places.len(),
            start: places.first().map_or(0, |place| place.offset),
            gaps: Numbers::of(gaps.clone()),
            lengths: Numbers::of(lengths.clone()),
            words: Box::default(),
        };
        let bits = places.len() * (packed.gaps.width + packed.lengths.width);
        packed.words = vec![0; bits.div_ceil(64)].into();
        let mut at = 0;
        // Behind the last one nothing follows.
        for (length, gap) in lengths.zip(gaps.chain([packed.gaps.least])) {
            packed.lengths.put(&mut packed.words, &mut at, length);
            packed.gaps.put(&mut packed.words, &mut at, gap);
        }
        packed
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// The places, in their order.
    pub(super) fn iter(&self) -> impl Iterator<Item = Place> {
        let (mut at, mut offset) = (0, self.start);
        (0..self.len).map(move |_| {
            let place = Place { offset, length: self.lengths.get(&self.words, &mut at) };
            offset = place.end().saturating_add(self.gaps.get(&self.words, &mut at));
            place
        })
    }

    /// How many bytes it takes beyond itself.
    #[cfg(test)]
    pub(super) fn memory(&self) -> usize {
        size_of_val(&*self.words)
    }
}

/// Numbers from `least` on, in `width` bits each, which are 32 at the most.
#[derive(Clone, Copy, Debug)]
struct Numbers {
    least: u32,
    width: usize,
}

impl Numbers {
    fn of(numbers: impl Iterator<Item = u32> + Clone) -> Self {
        let least = numbers.clone().min().unwrap_or(0);
        let range = numbers.max().unwrap_or(0) - least;
        Self { least, width: range.checked_ilog2().map_or(0, |highest| highest as usize + 1) }
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
        *at += self.width;
    }

    /// Reads one of them from the bits from `at` on.
    fn get(self, words: &[u64], at: &mut usize) -> u32 {
        let (word, shift) = split(*at);
        let half = |word: usize| words.get(word).copied().unwrap_or(0);
        let bits = half(word) >> shift | half(word + 1).unbounded_shl(64 - shift);
        *at += self.width;
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
            start in 0..u32::MAX / 2,
            gaps_and_lengths in prop::collection::vec((0..1_u32 << 20, 0..1_u32 << 20), 0..600),
        ) {
            let mut end = start;
            let places: Vec<Place> = gaps_and_lengths
                .into_iter()
                .map(|(gap, length)| {
                    let place = Place { offset: end + gap, length };
                    end = place.end();
                    place
                })
                .collect();
            let packed = Packed::of(&places);
            prop_assert_eq!(packed.len(), places.len());
            prop_assert_eq!(packed.iter().collect::<Vec<_>>(), places);
        }
    }

    #[test]
    fn places_that_are_all_alike_take_no_bits_and_the_widest_ones_all() {
        for (gap, length) in [(0, 0), (33_000, 1650)] {
            let places: Vec<Place> =
                (0..100).map(|index| Place { offset: index * (gap + length), length }).collect();
            let packed = Packed::of(&places);
            assert_eq!(packed.iter().collect::<Vec<_>>(), places);
            assert_eq!(packed.memory(), 0);
        }
        let places = [Place { offset: 0, length: 0 }, Place { offset: 0, length: u32::MAX }];
        assert_eq!(Packed::of(&places).iter().collect::<Vec<_>>(), places);
    }
}
