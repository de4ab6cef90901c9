//! Emptying segments: their events are carried forward to the end of the log.

use std::{collections::HashSet, time::Duration};

use tokio::time::Instant;

use super::{Done, Journal};
use crate::{
    engine::{
        carry::{Carried, CarryError, carry},
        segments::Segments,
    },
    log::{
        Log, Position,
        fs::{FileSystem, is_unreadable},
    },
};

/// How long cleaning waits when nothing can be gained.
const CLEAN_DELAY: Duration = Duration::from_secs(1);
/// The most segments that are left alone, for which others are emptied or dropped from. Where there are more the whole disk may be
/// at fault, and the log is not cleaned.
const MAX_RESTING: usize = 4;

/// A segment whose events were carried forward, or were not.
#[derive(Debug)]
pub(in crate::engine) struct Cleaned<F: FileSystem> {
    segment: u64,
    doomed: HashSet<Position>,
    carried: Carried,
    result: Result<(), CarryError>,
    log: Log<F>,
}

/// What became of the events of a segment that was to be emptied.
#[derive(Debug)]
pub(in crate::engine) struct Emptied {
    pub(in crate::engine) segment: u64,
    /// What was carried forward, and is safe in both places.
    pub(in crate::engine) carried: Carried,
    /// What is to be dropped, now that all others are safe; nothing if they are not.
    pub(in crate::engine) doomed: HashSet<Position>,
}

impl<F: FileSystem> Journal<F> {
    /// What there is to be cleaned, with the active segment, and how many bytes should be left in what does not
    /// [rest](Segments::rest), if the log is nearly full.
    pub(in crate::engine) fn to_clean(&self) -> Option<(&Segments, Option<u64>, u64)> {
        let now = Instant::now();
        // What is being removed may be enough.
        let log = self.log.as_ref().filter(|_| !self.is_failed() && self.removing.is_none())?;
        if !self.is_nearly_full() || self.clean_at.is_some_and(|at| now < at) {
            return None;
        }
        let resting = || self.segments.iter().filter(|(_, segment)| segment.rests(now));
        if resting().count() > MAX_RESTING {
            return None;
        }
        let active = log.active().map(|(segment, _)| segment);
        let kept = 3 * self.segment_bytes + resting().map(|(_, segment)| segment.bytes).sum::<u64>();
        Some((&self.segments, active, self.max_bytes.saturating_sub(kept)))
    }

    /// Begins to carry events of a segment forward, of which the `doomed` are to be dropped after that.
    pub(in crate::engine) fn clean(
        &mut self,
        segment: u64,
        events: Vec<Position>,
        doomed: HashSet<Position>,
    ) {
        if let Some(mut log) = self.take() {
            self.cleaning = true;
            let directory = self.directory.clone();
            self.jobs.spawn_blocking(move || {
                let (carried, result) = carry(&directory, &mut log, &events);
                Done::Cleaned(Cleaned { segment, doomed, carried, result, log })
            });
        }
    }

    /// Waits before it is cleaned again: nothing can be gained now.
    pub(in crate::engine) fn rest(&mut self) {
        self.clean_at = Some(Instant::now() + CLEAN_DELAY);
    }

    /// Takes the log back from cleaning.
    pub(in crate::engine) fn cleaned(&mut self, cleaned: Cleaned<F>) -> Emptied {
        let Cleaned { segment, doomed, carried, result, log } = cleaned;
        self.cleaning = false;
        if let Err(error) = &result {
            tracing::warn!(directory = ?self.directory, segment, %error, "a segment of the log could not be emptied");
        }
        match &result {
            // Others can be emptied.
            Err(CarryError::Read(error)) if is_unreadable(error) => self.segments.rest(segment),
            // It says nothing about the segment.
            Err(CarryError::Read(_) | CarryError::Write(_)) => self.rest(),
            // What is damaged, and in memory as well, stays until it is stored.
            Ok(()) if !carried.damaged.is_empty() => self.segments.rest(segment),
            Ok(()) => {}
        }
        self.take_back(log, None);
        for (_, to) in &carried.moved {
            self.segments.grow(*to);
        }
        Emptied { segment, carried, doomed: result.map_or_else(|_| HashSet::new(), |()| doomed) }
    }

    /// Notes that an event was carried forward, and is settled where it was.
    pub(in crate::engine) fn carried(&mut self, from: Position, to: Position) {
        self.settle(from);
        self.segments.add(to);
    }
}
