//! Giving back what a log no longer needs: off the shard's task, for nobody waits for it.

use std::{collections::BTreeMap, io};

use super::segments::Segment;
use crate::log::{self, fs::FileSystem};

/// What became of what was to be tidied.
#[derive(Debug, Default)]
pub(super) struct Tidied {
    /// The segments that could not be removed.
    pub(super) left: BTreeMap<u64, Segment>,
    /// Why one of them could not.
    pub(super) error: Option<io::Error>,
}

/// Notes what is `settled`, by the segments that it is in, and removes `segments`, of which all is.
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
    give_back(directory, segments)
}

/// Removes segments of which nothing is needed any more, but for those in which events were damaged: they are
/// [kept](log::keep_damaged).
pub(super) fn give_back<F: FileSystem>(directory: &F, segments: BTreeMap<u64, Segment>) -> Tidied {
    let mut tidied = Tidied::default();
    for (number, segment) in segments {
        let given_back = if segment.is_damaged {
            log::keep_damaged(directory, &[number])
        } else {
            log::remove(directory, &[number])
        };
        if let Err(error) = given_back {
            tidied.left.insert(number, segment);
            tidied.error = Some(error);
        }
    }
    tidied
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{engine::segments::Segments, log::simulated::Simulated};

    #[test]
    fn only_what_is_not_removed_is_left_to_be_tried_again() {
        for calls in 0..12 {
            let disk = Simulated::default();
            let mut found = Segments::default();
            (1..=4).for_each(|number| found.insert(number, 30));
            found.damage(2);
            for number in 1..=4 {
                disk.replace(&format!("{number:020}.log"), vec![0; 30]);
            }
            disk.fail_after(calls);
            let Tidied { left, error } = give_back(&disk, found.iter().collect());
            assert_eq!(left.len(), usize::from(error.is_some()), "after {calls} calls");
            let is_left = |number: &u64| disk.names().contains(&format!("{number:020}.log"));
            assert!((1..=4).filter(is_left).all(|number| left.contains_key(&number)), "after {calls} calls");
            assert!(give_back(&disk, left).error.is_none());
            assert_eq!(disk.names(), ["00000000000000000002.damaged"], "after {calls} calls");
        }
    }
}
