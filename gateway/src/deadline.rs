//! By when a request must be answered: the gateway's own limit, or the client's where that is sooner.

use std::{future::Future, time::Duration};

use http::{HeaderMap, HeaderValue};
use mesher_common::{
    status::{self, Violation},
    timeout,
};
use tokio::time::Instant;
use tonic::Status;

/// The client's limit in seconds.
const SECONDS: &str = "x-request-timeout";

/// See the [module](self).
#[derive(Clone, Copy, Debug)]
pub(crate) struct Deadline {
    at: Instant,
    limit: Duration,
}

impl Deadline {
    /// The deadline of a request with `headers` that begins now and may take `most`.
    pub(crate) fn new(headers: &HeaderMap, most: Duration) -> Result<Self, Status> {
        let seconds = read(headers, SECONDS, "is not a positive number of seconds", parse_seconds)?;
        let grpc =
            read(headers, timeout::HEADER, "is not a gRPC timeout, such as 500m or 10S", timeout::parse)?;
        let limit = [seconds, grpc].into_iter().flatten().fold(most, Duration::min);
        Ok(Self { at: Instant::now() + limit, limit })
    }

    /// The time that is left.
    pub(crate) fn remaining(&self) -> Duration {
        self.at.saturating_duration_since(Instant::now())
    }

    /// What `work` gives, if that is in time.
    pub(crate) async fn bound<T>(&self, work: impl Future<Output = T>) -> Result<T, Status> {
        tokio::time::timeout_at(self.at, work).await.map_err(|_| self.exceeded())
    }

    /// It was not in time.
    pub(crate) fn exceeded(&self) -> Status {
        status::deadline_exceeded(self.limit)
    }
}

fn read(
    headers: &HeaderMap,
    name: &str,
    wrong: &str,
    parse: impl Fn(&str) -> Option<Duration>,
) -> Result<Option<Duration>, Status> {
    let value = headers.get(name).map(HeaderValue::to_str);
    match value.map(|value| value.ok().and_then(&parse).filter(|limit| !limit.is_zero())) {
        None => Ok(None),
        Some(Some(limit)) => Ok(Some(limit)),
        Some(None) => Err(Violation::new(name, wrong).into()),
    }
}

fn parse_seconds(text: &str) -> Option<Duration> {
    Duration::try_from_secs_f64(text.parse().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::HeaderMap;

    use super::Deadline;

    fn limit(headers: &[(&'static str, &'static str)]) -> Option<Duration> {
        let headers: HeaderMap =
            headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        Deadline::new(&headers, Duration::from_secs(30)).ok().map(|deadline| deadline.limit)
    }

    #[test]
    fn the_soonest_limit_counts() {
        assert_eq!(limit(&[]), Some(Duration::from_secs(30)));
        assert_eq!(limit(&[("x-request-timeout", "2.5")]), Some(Duration::from_millis(2500)));
        assert_eq!(
            limit(&[("x-request-timeout", "2"), ("grpc-timeout", "500m")]),
            Some(Duration::from_millis(500))
        );
        assert_eq!(limit(&[("grpc-timeout", "99999999H")]), Some(Duration::from_secs(30)));
        assert_eq!(limit(&[("grpc-timeout", "1u")]), Some(Duration::from_micros(1)));
    }

    #[test]
    fn what_is_no_limit_is_refused() {
        for wrong in ["", "0", "-1", "x", "NaN", "inf", "1e99", "5s"] {
            assert_eq!(limit(&[("x-request-timeout", wrong)]), None, "{wrong:?}");
        }
        for wrong in ["", "S", "0S", "1", "1s", "-1S", "+1S", "100000000S", "1 S", "1ä"] {
            assert_eq!(limit(&[("grpc-timeout", wrong)]), None, "{wrong:?}");
        }
    }
}
