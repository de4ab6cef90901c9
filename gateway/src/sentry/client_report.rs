//! Client reports: what an SDK dropped before it could send it, and why. They are the only trace of errors that never
//! arrive.

use std::borrow::Cow;

use serde::Deserialize;

/// The largest report.
const MAX_REPORT: usize = 100 << 10;

/// The most that is believed to have been dropped for one reason.
const MAX_QUANTITY: u64 = 1_000_000;

/// The reasons that SDKs are known to give.
const REASONS: [&str; 16] = [
    "backpressure",
    "before_send",
    "buffer_overflow",
    "cache_overflow",
    "event_processor",
    "ignored",
    "insufficient_data",
    "internal_sdk_error",
    "invalid",
    "network_error",
    "no_parent_span",
    "queue_overflow",
    "ratelimit_backoff",
    "sample_rate",
    "send_error",
    "too_large",
];

/// The categories of data that SDKs are known to name.
const CATEGORIES: [&str; 17] = [
    "attachment",
    "default",
    "error",
    "feedback",
    "internal",
    "log_byte",
    "log_item",
    "metric_bucket",
    "monitor",
    "profile",
    "profile_chunk",
    "replay",
    "security",
    "session",
    "span",
    "trace_metric",
    "transaction",
];

/// What stands for a reason or a category that is not known.
const OTHER: &str = "other";

#[derive(Deserialize)]
struct Report<'j> {
    #[serde(borrow, default)]
    discarded_events: Vec<DiscardedEvents<'j>>,
}

#[derive(Deserialize)]
struct DiscardedEvents<'j> {
    #[serde(borrow, default)]
    reason: Cow<'j, str>,
    #[serde(borrow, default)]
    category: Cow<'j, str>,
    #[serde(default)]
    quantity: u64,
}

/// How many of a category were dropped for a reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Dropped {
    /// One of a fixed set.
    pub(super) reason: &'static str,
    /// One of a fixed set.
    pub(super) category: &'static str,
    /// How many.
    pub(super) quantity: u64,
}

/// Reads a report; `None` if it is none.
pub(super) fn read(payload: &[u8]) -> Option<Vec<Dropped>> {
    // serde would read an array as well.
    if payload.len() > MAX_REPORT || !payload.trim_ascii_start().starts_with(b"{") {
        return None;
    }
    let report: Report = serde_json::from_slice(payload).ok()?;
    let dropped = |events: &DiscardedEvents| Dropped {
        reason: known(&REASONS, &events.reason),
        category: known(&CATEGORIES, &events.category),
        // More cannot have been dropped between two reports; it is one project's word for what all share a counter of.
        quantity: events.quantity.min(MAX_QUANTITY),
    };
    Some(report.discarded_events.iter().map(dropped).collect())
}

fn known(names: &[&'static str], name: &str) -> &'static str {
    names.iter().find(|known| **known == name).copied().unwrap_or(OTHER)
}

#[cfg(test)]
mod tests {
    use super::{Dropped, read};

    #[test]
    fn reasons_and_categories_are_of_a_fixed_set() {
        let report = br#"{"timestamp":"2026-01-01T00:00:00Z","discarded_events":[
            {"reason":"queue_overflow","category":"error","quantity":23},
            {"reason":"\u0000made up","category":"x","quantity":1},{}]}"#;
        let dropped = |reason, category, quantity| Dropped { reason, category, quantity };
        let expected = [
            dropped("queue_overflow", "error", 23),
            dropped("other", "other", 1),
            dropped("other", "other", 0),
        ];
        assert_eq!(read(report).unwrap(), expected);
        assert_eq!(read(b"{}").unwrap(), []);
    }

    #[test]
    fn what_is_no_report_is_not_counted() {
        let large = format!(r#"{{"discarded_events":[{}]}}"#, vec!["{}"; 100_000].join(","));
        for wrong in [&b""[..], b"[]", b"{", br#"{"discarded_events":[{"quantity":-1}]}"#, large.as_bytes()] {
            assert_eq!(read(wrong), None);
        }
    }
}
