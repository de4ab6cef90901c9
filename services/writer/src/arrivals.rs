//! When events arrived: no two of this process at the same microsecond, so that an id with its time names one event, and
//! the same pair in the table is that event and no other.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use chrono::{DateTime, TimeDelta, Utc};
use mesher_common::clock::Clock;

/// Gives out times of arrival; cheap to clone.
#[derive(Clone, Debug)]
pub struct Arrivals {
    clock: Clock,
    /// The first microsecond since 1970 that was not given out yet.
    free: Arc<AtomicI64>,
}

impl Arrivals {
    /// Times by `clock`, or a little later while more arrive than there are microseconds.
    pub fn new(clock: Clock) -> Self {
        Self { clock, free: Arc::default() }
    }

    /// The time of one event that arrives now.
    pub fn take_one(&self) -> DateTime<Utc> {
        self.first_of(1)
    }

    /// The times of `count` events that arrive now, one after the other.
    pub fn take(&self, count: usize) -> impl Iterator<Item = DateTime<Utc>> + Send + use<> {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        let first = self.first_of(count);
        (0..count).map(move |index| first + TimeDelta::microseconds(index))
    }

    fn first_of(&self, count: i64) -> DateTime<Utc> {
        let now = self.clock.now();
        let micros = now.timestamp_micros();
        let next = |free: i64| Some(free.max(micros).saturating_add(count));
        // The closure never gives None, and so this never fails.
        let free = self.free.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).unwrap_or(micros);
        now + TimeDelta::microseconds(free.max(micros) - micros)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_events_arrive_at_the_same_microsecond() {
        let still = DateTime::from_timestamp_micros(1_000_000).unwrap();
        let arrivals = Arrivals::new(Clock::from_fn(move || still));
        let times: Vec<i64> = [1, 3, 2]
            .into_iter()
            .flat_map(|count| arrivals.take(count))
            .map(|time| time.timestamp_micros())
            .collect();
        assert_eq!(times, (1_000_000..1_000_006).collect::<Vec<_>>());
    }
}
