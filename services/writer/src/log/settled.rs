//! What of a segment is settled, noted beside it.
//!
//! ```text
//! u32      count       of the offsets
//! u32      checksum    CRC32C of the segment's number (u64), count and offsets
//! u32 × n  offsets     where in the segment the records begin
//! ```
//!
//! Numbers are little-endian. Without its notes a segment is stored again from its beginning after a crash, and all of it found
//! settled: they save work, and nothing depends on them. So they are not synced, and what cannot be read of them is as if it
//! had never been noted.

use std::{collections::HashSet, io};

use super::fs::FileSystem;

const SUFFIX: &str = ".settled";
/// Count and checksum.
const HEAD: usize = 8;

/// The file name of a segment's notes.
fn name(segment: u64) -> String {
    format!("{segment:020}{SUFFIX}")
}

/// The segment whose notes have a file name.
pub(super) fn number(name: &str) -> Option<u64> {
    name.strip_suffix(SUFFIX).filter(|digits| digits.len() == 20)?.parse().ok()
}

/// Notes where records of a segment begin that are settled, and never again of use; from whatever thread, but never while
/// the segment is being removed.
pub fn note<F: FileSystem>(fs: &F, segment: u64, offsets: &[u32]) -> io::Result<()> {
    let name = name(segment);
    let mut file = match fs.open(&name) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            fs.create(&name)?;
            fs.open(&name)?
        }
        other => other?,
    };
    let count = super::segment::size(offsets.len())?;
    let mut bytes = Vec::with_capacity(HEAD + 4 * offsets.len());
    bytes.extend(count.to_le_bytes());
    bytes.extend([0; 4]);
    for offset in offsets {
        bytes.extend(offset.to_le_bytes());
    }
    let checksum = checksum(segment, &bytes[..4], &bytes[HEAD..]);
    bytes[4..HEAD].copy_from_slice(&checksum.to_le_bytes());
    fs.append(&mut file, &bytes)
}

/// Removes a segment's notes, if there are any.
pub(super) fn remove<F: FileSystem>(fs: &F, segment: u64) -> io::Result<()> {
    match fs.remove(&name(segment)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Reads a segment's notes, and cuts off what is torn of them, so that others can follow.
pub(super) fn read<F: FileSystem>(fs: &F, segment: u64) -> HashSet<u32> {
    let mut offsets = HashSet::new();
    if let Err(error) = read_into(&mut offsets, fs, segment) {
        tracing::warn!(directory = fs.directory(), segment, %error, "what is settled of a segment cannot be read");
    }
    offsets
}

fn read_into<F: FileSystem>(offsets: &mut HashSet<u32>, fs: &F, segment: u64) -> io::Result<()> {
    let name = name(segment);
    let bytes = fs.read_all(&name)?;
    let mut rest = bytes.as_slice();
    while let Some((block, after)) = block(segment, rest) {
        offsets.extend(block.as_chunks().0.iter().copied().map(u32::from_le_bytes));
        rest = after;
    }
    if !rest.is_empty() {
        let mut file = fs.open(&name)?;
        fs.truncate(&mut file, super::segment::size(bytes.len() - rest.len())?)?;
    }
    Ok(())
}

/// The offsets of the block that `bytes` begin with, and what follows it.
fn block(segment: u64, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (count, rest) = bytes.split_first_chunk::<4>()?;
    let (found, rest) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u32::from_le_bytes(*count)).ok()?.checked_mul(4)?;
    let (offsets, rest) = rest.split_at_checked(length)?;
    (checksum(segment, count, offsets) == u32::from_le_bytes(*found)).then_some((offsets, rest))
}

/// With the segment's number, so that notes that came under another name are none.
fn checksum(segment: u64, count: &[u8], offsets: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c_append(crc32c::crc32c(&segment.to_le_bytes()), count), offsets)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::simulated::Simulated;

    #[test]
    fn what_is_torn_is_cut_off_and_notes_follow_it() {
        let fs = Simulated::default();
        note(&fs, 7, &[24, 900]).unwrap();
        let whole = fs.content(&name(7));
        note(&fs, 7, &[100, 2000, 3000]).unwrap();
        let both = fs.content(&name(7));
        for length in whole.len()..both.len() {
            fs.replace(&name(7), both[..length].to_vec());
            assert_eq!(read(&fs, 7), HashSet::from([24, 900]), "{length} bytes");
            note(&fs, 7, &[5]).unwrap();
            assert_eq!(read(&fs, 7), HashSet::from([5, 24, 900]), "{length} bytes");
        }
    }

    #[test]
    fn no_bit_of_them_can_change_unseen() {
        let fs = Simulated::default();
        note(&fs, 7, &[24, 900]).unwrap();
        let bytes = fs.content(&name(7));
        for bit in 0..8 * bytes.len() {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            fs.replace(&name(7), changed);
            assert_eq!(read(&fs, 7), HashSet::new(), "bit {bit}");
        }
        fs.replace(&name(8), bytes);
        assert_eq!(read(&fs, 8), HashSet::new(), "those of another segment");
    }
}
