//! Waits for a condition, not for a time.

use std::{fmt::Debug, time::Duration};

use tokio::time::{Instant, sleep};

const PAUSE: Duration = Duration::from_millis(20);

/// What can be waited for: a `bool` until it is true, an `Option` until it is there, a `Result` until it is `Ok`.
pub trait Condition {
    /// What a fulfilled condition gives.
    type Value;

    /// The value, or what there was instead.
    #[expect(clippy::missing_errors_doc, reason = "the error is the condition that is not fulfilled yet")]
    fn fulfilled(self) -> Result<Self::Value, String>;
}

impl Condition for bool {
    type Value = ();

    fn fulfilled(self) -> Result<(), String> {
        if self { Ok(()) } else { Err("false".to_owned()) }
    }
}

impl<T> Condition for Option<T> {
    type Value = T;

    fn fulfilled(self) -> Result<T, String> {
        self.ok_or_else(|| "none".to_owned())
    }
}

impl<T, E: Debug> Condition for Result<T, E> {
    type Value = T;

    fn fulfilled(self) -> Result<T, String> {
        self.map_err(|error| format!("{error:?}"))
    }
}

/// Asks again and again until a condition is fulfilled, and gives its value.
///
/// `what` completes the sentence "… did not happen in time". A question that is not answered counts as well: it is
/// cut off at the timeout.
///
/// # Panics
/// If it is not fulfilled in time; says what the last answer was.
pub async fn eventually<C: Condition>(
    what: &str,
    timeout: Duration,
    mut condition: impl AsyncFnMut() -> C,
) -> C::Value {
    let deadline = Instant::now() + timeout;
    let mut last = "none yet".to_owned();
    loop {
        match tokio::time::timeout_at(deadline, condition()).await.map(Condition::fulfilled) {
            Ok(Ok(value)) => return value,
            Ok(Err(answer)) => last = answer,
            Err(_) => {}
        }
        assert!(
            Instant::now() < deadline,
            "{what} did not happen within {timeout:?}; the last answer: {last}"
        );
        sleep(PAUSE).await;
    }
}
