//! Events as the log has them: compressed, so that no store can compress them again.

/// The sizes lie between these, evenly: 1300 bytes in the middle, as that of an event with its stack trace is.
const SMALLEST: usize = 300;
const LARGEST: usize = 2300;

/// Makes payloads, the same in every run.
#[derive(Debug)]
pub struct Payloads(u64);

impl Payloads {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// One more.
    pub fn next(&mut self) -> Vec<u8> {
        let length = SMALLEST + usize::try_from(self.number()).unwrap_or(0) % (LARGEST - SMALLEST + 1);
        let mut payload = Vec::with_capacity(length + 8);
        while payload.len() < length {
            payload.extend(self.number().to_le_bytes());
        }
        payload.truncate(length);
        payload
    }

    /// SplitMix64.
    fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}
