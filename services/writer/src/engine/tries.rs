//! The waits between the tries of something that the database did not take in.

use std::time::Duration;

use mesher_common::db::DatabaseError;
use rand::{RngExt as _, rngs::StdRng};

use super::flush::Perseverance;

/// How long to wait before the second and the third try.
const RETRY_DELAYS: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(500)];
/// The longest wait between two tries, for events that the log keeps.
const MAX_RETRY_DELAY: Duration = Duration::from_secs(5);

/// See the [module](self).
pub(super) struct Tries<'a> {
    perseverance: &'a Perseverance,
    delays: std::array::IntoIter<Duration, 2>,
    longer: Duration,
}

impl<'a> Tries<'a> {
    pub(super) fn new(perseverance: &'a Perseverance) -> Self {
        Self { perseverance, delays: RETRY_DELAYS.into_iter(), longer: MAX_RETRY_DELAY / 8 }
    }

    /// Waits for the next try; false if there is no point in one.
    pub(super) async fn wait(&mut self, events: usize, error: &DatabaseError, random: &mut StdRng) -> bool {
        let (delay, closed) = match (self.delays.next(), self.perseverance) {
            // They are short enough to be had after the end has begun, too.
            (Some(delay), _) => (delay, None),
            (None, Perseverance::ThreeTries) => return false,
            (None, Perseverance::UntilClosed(closed)) => {
                self.longer = (self.longer * 2).min(MAX_RETRY_DELAY);
                // So that all shards, here and elsewhere, do not come back at once.
                (self.longer.mul_f64(random.random_range(0.5..=1.0)), Some(closed))
            }
        };
        tracing::warn!(events, error = error.cause(), ?delay, "a flush failed and is tried again");
        let wait = tokio::time::sleep(delay);
        match closed {
            None => {
                wait.await;
                true
            }
            Some(closed) => closed.run_until_cancelled(wait).await.is_some(),
        }
    }
}
