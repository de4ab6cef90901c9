//! What Sentry's SDKs send.

/// An envelope with a header and with items of these types and payloads.
pub fn envelope(header: &str, items: &[(&str, &str)]) -> String {
    let items = items
        .iter()
        .map(|(kind, payload)| format!("{{\"type\":\"{kind}\",\"length\":{}}}\n{payload}\n", payload.len()));
    format!("{header}\n{}", items.collect::<String>())
}
