//! A segment's name, and how it begins.
//!
//! ```text
//! u8 × 8  magic          "MSHRLOG", and the number of the format
//! u64     before         the number of the segment before; 0 if there was none
//! u32     acknowledged   how many bytes of that one are acknowledged for certain
//! u32     checksum       CRC32C of before and acknowledged
//! ```
//!
//! Numbers are little-endian. Records follow, and zeros where there may be more.

use std::io;

/// The format of segments that this version writes; the last byte of the magic.
pub(super) const FORMAT: u8 = 3;
/// The one before, which this version reads as well: it is the same, but whoever writes it knows nothing of the notes beside a
/// segment, and would leave them for another segment with its number.
pub(super) const FORMAT_BEFORE: u8 = 2;
const MAGIC: [u8; 8] = [b'M', b'S', b'H', b'R', b'L', b'O', b'G', FORMAT];
/// How many bytes come before the first record.
pub(super) const HEADER: usize = MAGIC.len() + 16;
const SUFFIX: &str = ".log";

/// What a segment says of the one before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) before: u64,
    pub(super) acknowledged: u32,
}

impl Header {
    pub(super) fn encode(self) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(self.before.to_le_bytes());
        bytes.extend(self.acknowledged.to_le_bytes());
        bytes.extend(crc32c::crc32c(&bytes[MAGIC.len()..]).to_le_bytes());
        bytes
    }

    /// Reads the header that a segment begins with; `None` if it is damaged.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (magic, rest) = bytes.split_first_chunk::<8>()?;
        let (known, [format]) = magic.split_last_chunk::<1>()?;
        if known != &MAGIC[..7] || ![FORMAT, FORMAT_BEFORE].contains(format) {
            return None;
        }
        let (checked, _) = rest.split_first_chunk::<12>()?;
        let (before, rest) = rest.split_first_chunk::<8>()?;
        let (acknowledged, rest) = rest.split_first_chunk::<4>()?;
        let (checksum, _) = rest.split_first_chunk::<4>()?;
        let header =
            Self { before: u64::from_le_bytes(*before), acknowledged: u32::from_le_bytes(*acknowledged) };
        (crc32c::crc32c(checked) == u32::from_le_bytes(*checksum)).then_some(header)
    }
}

/// The format of a segment, if it is one that this version does not know. There is no format 0: a zero is what a crash
/// leaves of a header that was not synced.
pub(super) fn unknown_format(bytes: &[u8]) -> Option<u8> {
    let (known, [format]) = bytes.get(..MAGIC.len())?.split_last_chunk::<1>()?;
    (known == &MAGIC[..7] && ![0, FORMAT, FORMAT_BEFORE].contains(format)).then_some(*format)
}

/// The file name of a segment.
pub(super) fn name(segment: u64) -> String {
    format!("{segment:020}{SUFFIX}")
}

/// The segment that has a file name.
pub(super) fn number(name: &str) -> Option<u64> {
    name.strip_suffix(SUFFIX).filter(|digits| digits.len() == 20)?.parse().ok()
}

/// A length in a segment, which is far below 4 GiB.
pub(super) fn size(bytes: usize) -> io::Result<u32> {
    u32::try_from(bytes).map_err(|_| too_large())
}

/// No segment comes near this.
pub(super) fn too_large() -> io::Error {
    io::Error::new(io::ErrorKind::FileTooLarge, "a segment of more than 4 GiB")
}
