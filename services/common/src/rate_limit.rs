//! How many are let through in what time: token buckets in memory.
//!
//! A bucket of tokens is full at first, fills evenly, and is empty when as many were taken as the limit has. What is known
//! of it is when it will be full again: a bucket that is full says nothing, and is forgotten.

use std::{
    collections::{BTreeSet, HashMap},
    fmt,
    hash::Hash,
    num::NonZeroU32,
    str::FromStr,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::time::Instant;

/// The most tokens of a bucket.
pub const MAX_COUNT: u32 = 1_000_000_000;
/// The longest that a bucket takes to fill.
pub const MAX_PERIOD: Duration = Duration::from_hours(24);
/// How many full buckets are forgotten each time that some tokens are taken. More than one, so that they become fewer.
const FORGOTTEN_AT_A_TIME: usize = 2;

/// So many at once, and so many in each period.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    count: NonZeroU32,
    period: Duration,
}

/// A limit is not one that there can be.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a rate limit has the form COUNT/PERIOD, such as 600/1m: from 1 to {MAX_COUNT}, in from 1s to 1day; or none"
)]
pub struct RateLimitError;

impl RateLimit {
    /// So many in each period of so many seconds; nothing where that is no limit that there can be: from 1 to a milliard, in
    /// from a second to a day.
    pub fn new(count: u32, period_seconds: u32) -> Option<Self> {
        Self::within(count, Duration::from_secs(period_seconds.into()))
    }

    fn within(count: u32, period: Duration) -> Option<Self> {
        let count = NonZeroU32::new(count)?;
        let allowed = count.get() <= MAX_COUNT && (Duration::from_secs(1)..=MAX_PERIOD).contains(&period);
        allowed.then_some(Self { count, period })
    }

    /// The limit in two columns of the database; neither has a value where there is no limit.
    pub fn from_columns(count: Option<i32>, period_seconds: Option<i32>) -> Option<Self> {
        Self::new(u32::try_from(count?).ok()?, u32::try_from(period_seconds?).ok()?)
    }

    /// How many at once, and in each period.
    pub fn count(&self) -> u32 {
        self.count.get()
    }

    /// How long a bucket takes to fill, in seconds.
    pub fn period_seconds(&self) -> u32 {
        u32::try_from(self.period.as_secs()).unwrap_or(u32::MAX)
    }

    /// How long it takes until so many tokens are there again.
    fn time_of(&self, tokens: u32) -> Duration {
        nanos(self.period.as_nanos() * u128::from(tokens) / u128::from(self.count.get()))
    }

    /// How long a bucket takes to fill under another limit, from which as many tokens are missing as take `missing` here. It is
    /// no emptier than empty.
    fn exchange(&self, missing: Duration, other: Self) -> Duration {
        let time = missing.as_nanos() * u128::from(self.count.get()) * other.period.as_nanos()
            / (self.period.as_nanos() * u128::from(other.count.get()));
        nanos(time).min(other.period)
    }

    /// How many tokens there are in a bucket that will be full after `missing`.
    fn tokens(&self, missing: Duration) -> u32 {
        let there = self.period.saturating_sub(missing).as_nanos();
        let tokens = there * u128::from(self.count.get()) / self.period.as_nanos();
        u32::try_from(tokens).unwrap_or(u32::MAX)
    }
}

impl fmt::Debug for RateLimit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

impl fmt::Display for RateLimit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let period = humantime::format_duration(self.period).to_string();
        write!(formatter, "{}/{}", self.count, period.replace(' ', ""))
    }
}

/// A limit as a setting: `COUNT/PERIOD`, or `none`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Setting(pub Option<RateLimit>);

impl FromStr for Setting {
    type Err = RateLimitError;

    fn from_str(text: &str) -> Result<Self, RateLimitError> {
        if text == "none" {
            return Ok(Self(None));
        }
        let (count, period) = text.split_once('/').ok_or(RateLimitError)?;
        let count = count.parse().map_err(|_| RateLimitError)?;
        let period = humantime::parse_duration(period).map_err(|_| RateLimitError)?;
        RateLimit::within(count, period).map(|limit| Self(Some(limit))).ok_or(RateLimitError)
    }
}

impl fmt::Display for Setting {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(limit) => limit.fmt(formatter),
            None => formatter.write_str("none"),
        }
    }
}

/// The buckets of those who have one each; a bounded number of them.
#[derive(Debug)]
pub struct Buckets<K> {
    kept: Mutex<Kept<K>>,
    most: usize,
}

/// The buckets that are not known to be full.
#[derive(Debug)]
struct Kept<K> {
    /// When each will be full, and the limit that it was used under.
    full_at: HashMap<K, (Instant, RateLimit)>,
    /// The same by time: whichever is full first in front.
    by_time: BTreeSet<(Instant, K)>,
}

impl<K: Clone + Eq + Hash + Ord> Buckets<K> {
    /// At most so many. Where there would be more, the one that is the fullest is taken for full: of all that could be
    /// forgotten, it is the least.
    pub fn new(most: usize) -> Self {
        Self {
            kept: Mutex::new(Kept { full_at: HashMap::new(), by_time: BTreeSet::new() }),
            most: most.max(1),
        }
    }

    /// Takes as many tokens of the bucket of `key` as there are at `now`, and `wanted` at the most; how many it took.
    pub fn take(&self, key: &K, limit: RateLimit, wanted: u32, now: Instant) -> u32 {
        let mut kept = self.kept();
        kept.forget(now, FORGOTTEN_AT_A_TIME);
        let missing = kept.missing(key, limit, now);
        let taken = limit.tokens(missing).min(wanted);
        if taken > 0 {
            kept.set(key, limit, now, missing + limit.time_of(taken));
            while kept.full_at.len() > self.most {
                kept.forget_fullest();
            }
        }
        taken
    }

    /// Puts tokens back that were taken.
    pub fn put_back(&self, key: &K, limit: RateLimit, tokens: u32, now: Instant) {
        let mut kept = self.kept();
        let missing = kept.missing(key, limit, now);
        // What was rounded down when they were taken is not to be missing now.
        let time = limit.time_of(tokens) + Duration::from_nanos(1);
        kept.set(key, limit, now, missing.saturating_sub(time));
    }

    /// After how long a token will be there; zero if there is one.
    pub fn wait(&self, key: &K, limit: RateLimit, now: Instant) -> Duration {
        let missing = self.kept().missing(key, limit, now);
        // The time of one token is rounded down everywhere else.
        let one = limit.time_of(1) + Duration::from_nanos(1);
        if limit.tokens(missing) > 0 { Duration::ZERO } else { (missing + one).saturating_sub(limit.period) }
    }

    /// How many are not known to be full.
    pub fn len(&self) -> usize {
        self.kept().full_at.len()
    }

    /// Whether all are known to be full.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn kept(&self) -> MutexGuard<'_, Kept<K>> {
        // Nothing that is done under the lock leaves it half done.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Clone + Eq + Hash + Ord> Kept<K> {
    /// How long it takes until the bucket is full.
    fn missing(&self, key: &K, limit: RateLimit, now: Instant) -> Duration {
        let Some((full_at, before)) = self.full_at.get(key) else { return Duration::ZERO };
        let missing = full_at.saturating_duration_since(now);
        if *before == limit { missing } else { before.exchange(missing, limit) }
    }

    fn set(&mut self, key: &K, limit: RateLimit, now: Instant, missing: Duration) {
        let full_at = now + missing;
        let before = if missing.is_zero() {
            self.full_at.remove(key)
        } else {
            self.by_time.insert((full_at, key.clone()));
            self.full_at.insert(key.clone(), (full_at, limit))
        };
        if let Some((before, _)) = before.filter(|(before, _)| missing.is_zero() || *before != full_at) {
            self.by_time.remove(&(before, key.clone()));
        }
    }

    /// Forgets some of those that are full.
    fn forget(&mut self, now: Instant, most: usize) {
        for _ in 0..most {
            match self.by_time.first() {
                Some((full_at, _)) if *full_at <= now => self.forget_fullest(),
                _ => return,
            }
        }
    }

    fn forget_fullest(&mut self) {
        if let Some((_, key)) = self.by_time.pop_first() {
            self.full_at.remove(&key);
        }
    }
}

fn nanos(nanos: u128) -> Duration {
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn limit(text: &str) -> RateLimit {
        text.parse::<Setting>().unwrap().0.unwrap()
    }

    #[test]
    fn a_limit_is_so_many_in_a_period() {
        for (text, shown) in
            [("600/1m", "600/1m"), ("5/90s", "5/1m30s"), ("1/1day", "1/1day"), ("none", "none")]
        {
            assert_eq!(text.parse::<Setting>().unwrap().to_string(), shown);
        }
        for wrong in [
            "",
            "1",
            "0/1s",
            "-1/1s",
            "1/0s",
            "1/500ms",
            "1/2days",
            "1000000001/1s",
            "x/1s",
            "1/x",
            "1/1s/1s",
        ] {
            assert_eq!(wrong.parse::<Setting>(), Err(RateLimitError), "{wrong}");
        }
    }

    #[test]
    fn a_bucket_is_full_at_first_and_fills_evenly() {
        let (buckets, limit, start) = (Buckets::new(10), limit("10/1m"), Instant::now());
        assert_eq!(buckets.take(&"a", limit, 4, start), 4);
        assert_eq!(buckets.take(&"a", limit, 100, start), 6);
        assert_eq!(buckets.take(&"a", limit, 1, start), 0);
        assert_eq!(buckets.take(&"b", limit, 1, start), 1, "another has a bucket of its own");
        let wait = buckets.wait(&"a", limit, start);
        assert!((6 * SECOND..7 * SECOND).contains(&wait), "{wait:?}");
        assert_eq!(buckets.take(&"a", limit, 1, start + 5 * SECOND), 0);
        assert_eq!(buckets.take(&"a", limit, 9, start + wait), 1);
        // It never has more than the limit.
        assert_eq!(buckets.take(&"a", limit, 100, start + 1000 * SECOND), 10);
    }

    #[test]
    fn tokens_that_are_put_back_can_be_taken_again_and_no_more() {
        let (buckets, limit, start) = (Buckets::new(10), limit("3/10s"), Instant::now());
        assert_eq!(buckets.take(&1, limit, 3, start), 3);
        buckets.put_back(&1, limit, 2, start);
        assert_eq!(buckets.take(&1, limit, 3, start), 2);
        buckets.put_back(&1, limit, 100, start);
        assert!(buckets.is_empty(), "it is full");
        assert_eq!(buckets.take(&1, limit, 100, start), 3);
    }

    #[test]
    fn a_limit_that_changes_counts_from_then_on() {
        let (buckets, start) = (Buckets::new(10), Instant::now());
        assert_eq!(buckets.take(&1, limit("2/1day"), 2, start), 2);
        assert_eq!(buckets.take(&1, limit("100/1s"), 1000, start), 98, "two were taken");
        assert_eq!(buckets.take(&1, limit("100/1s"), 1000, start + SECOND / 2), 50);
        assert_eq!(buckets.take(&1, limit("10/10s"), 1000, start + SECOND / 2), 0, "more were taken");
        let wait = buckets.wait(&1, limit("10/10s"), start + SECOND / 2);
        assert!((SECOND..SECOND * 11 / 10).contains(&wait), "it is no emptier than empty: {wait:?}");
    }

    #[test]
    fn full_buckets_are_forgotten_and_there_are_never_more_than_allowed() {
        let (buckets, limit, start) = (Buckets::new(100), limit("2/10s"), Instant::now());
        for key in 0..1000 {
            assert_eq!(buckets.take(&key, limit, 1, start), 1);
        }
        assert_eq!(buckets.len(), 100);
        // Those that have the most left make room.
        for key in 2000..2099 {
            assert_eq!(buckets.take(&key, limit, 2, start), 2);
        }
        assert_eq!(buckets.take(&3000, limit, 1, start), 1);
        assert_eq!(buckets.take(&2000, limit, 1, start), 0, "an empty one is kept");
        // Each call forgets some: soon there is one left, of whoever calls.
        for call in 0..100 {
            buckets.take(&1, limit, 1, start + (1000 + call) * SECOND);
        }
        assert_eq!(buckets.len(), 1);
    }

    proptest! {
        /// In no time are more let through than the limit has, and what the time brings.
        #[test]
        fn nobody_gets_more_than_the_limit(
            count in 1..1000_u32,
            seconds in 1..100_u32,
            calls in prop::collection::vec((0..2_000_000_000_u64, 1..50_u32), 1..200),
        ) {
            let limit = RateLimit::new(count, seconds).unwrap();
            let (buckets, start) = (Buckets::new(2), Instant::now());
            let (mut now, mut total) = (start, 0_u64);
            for (pause, wanted) in calls {
                now += Duration::from_nanos(pause);
                let wait = buckets.wait(&(), limit, now);
                let taken = buckets.take(&(), limit, wanted, now);
                prop_assert_eq!(taken == 0, wait > Duration::ZERO);
                total += u64::from(taken);
                let elapsed = now.duration_since(start).as_secs_f64();
                let allowed = f64::from(count) * (1.0 + elapsed / f64::from(seconds));
                #[expect(clippy::cast_precision_loss, reason = "there are few")]
                let total = total as f64;
                prop_assert!(total <= allowed + 1e-3 * allowed + 1e-6, "{total} of {allowed}");
            }
        }
    }
}
