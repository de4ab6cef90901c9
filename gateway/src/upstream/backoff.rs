//! Pauses that grow, and differ from one gateway to the next.

use std::time::Duration;

use rand::RngExt as _;

/// Pauses that double from a first one to a last one; each is drawn from its second half.
#[derive(Clone, Copy, Debug)]
pub(super) struct Backoff {
    pause: Duration,
    most: Duration,
}

impl Backoff {
    /// Pauses from the first to the last of these.
    pub(super) fn new([pause, most]: [Duration; 2]) -> Self {
        Self { pause, most }
    }

    /// The next pause.
    pub(super) fn next(&mut self) -> Duration {
        let pause = self.pause;
        self.pause = (pause * 2).min(self.most);
        pause.mul_f64(rand::rng().random_range(0.5..=1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_last() {
        let [first, last] = [100, 1000].map(Duration::from_millis);
        let mut backoff = Backoff::new([first, last]);
        for most in [100, 200, 400, 800, 1000, 1000] {
            let most = Duration::from_millis(most);
            let pause = backoff.next();
            assert!(pause >= most / 2 && pause <= most, "{pause:?}");
        }
    }
}
