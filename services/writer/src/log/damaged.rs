//! Segments in which the disk has damaged events: they are kept when they would be removed, under another name, so that
//! somebody may look what else can be had of them. Nothing reads them here.

use std::{collections::BTreeSet, io};

use super::{fs::FileSystem, segment, settled};

/// The most that are kept of a log. After that the oldest go.
pub(super) const MAX_KEPT: usize = 4;
const SUFFIX: &str = ".damaged";

/// The file name under which a segment is kept.
pub(super) fn kept_name(segment: u64) -> String {
    format!("{segment:020}{SUFFIX}")
}

/// The segment that is kept under a file name.
pub(super) fn number(name: &str) -> Option<u64> {
    name.strip_suffix(SUFFIX).filter(|digits| digits.len() == 20)?.parse().ok()
}

/// Keeps segments whose other events are all settled under another name, and removes the oldest of those that were kept before
/// if they are too many; from whatever thread. One that cannot be kept is read again at the next start.
pub fn keep_damaged<F: FileSystem>(fs: &F, segments: &[u64]) -> io::Result<()> {
    for segment in segments {
        match fs.rename(&segment::name(*segment), &kept_name(*segment)) {
            // As when it was renamed before, and something failed after that.
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => settled::remove(fs, *segment)?,
        }
    }
    if let Err(error) = remove_oldest(fs) {
        tracing::warn!(directory = fs.directory(), %error, "the oldest of the damaged segments could not be removed");
    }
    fs.sync_directory()
}

fn remove_oldest<F: FileSystem>(fs: &F) -> io::Result<()> {
    let kept: BTreeSet<u64> = fs.list()?.iter().filter_map(|name| number(name)).collect();
    for oldest in kept.iter().take(kept.len().saturating_sub(MAX_KEPT)) {
        fs.remove(&kept_name(*oldest))?;
    }
    Ok(())
}
