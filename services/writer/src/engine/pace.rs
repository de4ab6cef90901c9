//! How soon a group of the log follows the one before.
//!
//! A sync costs about the same for one event as for a hundred. Where few arrive, each is synced at once. Where so many do that
//! some wait each time that a group is synced, small groups would follow each other without a pause, and keep the machine
//! busy with syncing alone: there a group waits for a moment, so that more share it.

use std::time::Duration;

use tokio::time::Instant;

/// How long after the one before a group begins while it is crowded.
const INTERVAL: Duration = Duration::from_millis(1);
/// In so many groups in a row events must have waited for the one before: by chance that happens now and then.
const IN_A_ROW: u32 = 3;
/// A group that has so many bytes is worth its sync.
const WORTHWHILE_BYTES: u64 = 256 * 1024;

/// See the [module](self).
#[derive(Debug, Default)]
pub(super) struct Pace {
    began_at: Option<Instant>,
    /// Whether a group was synced since it was last asked when the next one begins.
    has_ended: bool,
    in_a_row: u32,
}

impl Pace {
    /// Notes that a group is begun.
    pub(super) fn begin(&mut self, now: Instant) {
        self.began_at = Some(now);
    }

    /// Notes that a group was synced.
    pub(super) fn end(&mut self) {
        self.has_ended = true;
    }

    /// Whether others waited for the last group.
    pub(super) fn is_busy(&self) -> bool {
        self.in_a_row > 0
    }

    /// Until when the next group is to wait for more, of which so many bytes wait already.
    pub(super) fn wait(&mut self, waiting_bytes: u64, now: Instant) -> Option<Instant> {
        if std::mem::take(&mut self.has_ended) {
            self.in_a_row = if waiting_bytes > 0 { self.in_a_row.saturating_add(1) } else { 0 };
        }
        let is_crowded = self.in_a_row >= IN_A_ROW && (1..WORTHWHILE_BYTES).contains(&waiting_bytes);
        let until = self.began_at? + INTERVAL;
        (is_crowded && now < until).then_some(until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A group with so many bytes that wait when the one before is synced, which took so long: when it may begin, after that.
    fn group(pace: &mut Pace, now: &mut Instant, waiting: u64, took: Duration) -> Duration {
        pace.begin(*now);
        *now += took;
        pace.end();
        pace.wait(waiting, *now).map_or(Duration::ZERO, |until| until - *now)
    }

    #[test]
    fn a_group_waits_only_while_it_is_crowded_and_small_and_the_one_before_was_just_begun() {
        let (mut pace, mut now) = (Pace::default(), Instant::now());
        let sync = Duration::from_micros(300);
        let mut groups = |waiting, took| group(&mut pace, &mut now, waiting, took);
        assert_eq!([groups(0, sync), groups(9, sync), groups(9, sync)], [Duration::ZERO; 3]);
        let rest = INTERVAL.saturating_sub(sync);
        assert_eq!([groups(9, sync), groups(9, sync)], [rest; 2]);
        assert_eq!(groups(WORTHWHILE_BYTES, sync), Duration::ZERO, "it is worth its sync");
        assert_eq!(groups(9, INTERVAL), Duration::ZERO, "it waited long enough");
        assert_eq!(groups(9, sync), rest);
        assert_eq!([groups(0, sync), groups(9, sync)], [Duration::ZERO; 2], "nothing waited: it is over");
    }

    #[test]
    fn it_is_asked_more_than_once_about_the_same_group() {
        let (mut pace, mut now) = (Pace::default(), Instant::now());
        for _ in 0..2 {
            group(&mut pace, &mut now, 1, Duration::ZERO);
        }
        assert_eq!(pace.wait(1, now), None, "one group is not two");
        assert_eq!(group(&mut pace, &mut now, 1, Duration::ZERO), INTERVAL);
        assert_eq!(pace.wait(1, now + INTERVAL), None);
    }
}
