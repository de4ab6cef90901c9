//! Giving back what a log no longer needs: off the shard's task, for nobody waits for it.

use std::{collections::BTreeMap, io};

use super::segments::Segment;
use crate::log::{self, fs::FileSystem};

/// What is settled was noted, and the segments of which all is were removed, or some of them were not.
#[derive(Debug)]
pub(super) struct Tidied {
    pub(super) segments: BTreeMap<u64, Segment>,
    pub(super) result: io::Result<()>,
}

/// Notes what is `settled`, by the segments that it is in, and removes `segments`, of which all is. Those in which events were
/// damaged are [kept](log::keep_damaged).
pub(super) fn tidy<F: FileSystem>(
    directory: &F,
    settled: &BTreeMap<u64, Vec<u32>>,
    segments: BTreeMap<u64, Segment>,
) -> Tidied {
    for (segment, offsets) in settled {
        if let Err(error) = log::note(directory, *segment, offsets) {
            tracing::debug!(?directory, %error, "what is settled of a segment could not be noted");
        }
    }
    let result = give_back(directory, &segments);
    Tidied { segments, result }
}

/// Removes segments of which nothing is needed any more, but for those in which events were damaged: they are kept.
pub(super) fn give_back<F: FileSystem>(directory: &F, segments: &BTreeMap<u64, Segment>) -> io::Result<()> {
    let numbers = |are_damaged: bool| -> Vec<u64> {
        let chosen = segments.iter().filter(|(_, segment)| segment.is_damaged == are_damaged);
        chosen.map(|(number, _)| *number).collect()
    };
    let (damaged, whole) = (numbers(true), numbers(false));
    let kept = if damaged.is_empty() { Ok(()) } else { log::keep_damaged(directory, &damaged) };
    let removed = if whole.is_empty() { Ok(()) } else { log::remove(directory, &whole) };
    kept.and(removed)
}
