//! Taking a batch of events apart, without reading the events: each one's JSON stays the bytes that were sent.

use std::fmt;

use bytes::Bytes;
use mesher_common::status::{self, Violation};
use serde::de::{Deserializer as _, SeqAccess, Visitor};
use serde_json::value::RawValue;
use tonic::Status;

/// The most events in a batch.
const MAX_EVENTS: usize = 1000;

/// The events in `body`: the elements of a JSON array, or one a line. An element or line that is no event has its
/// own answer, from the writer; what is neither an array nor lines of JSON has none.
///
/// A body whose first line begins with `[` is an array, unless it says of itself that it is `lines`.
pub(crate) fn split(lines: bool, body: &Bytes) -> Result<Vec<Bytes>, Status> {
    let array = !lines && body.trim_ascii_start().starts_with(b"[");
    let events = if array { elements(body)? } else { in_lines(body)? };
    match events.len() {
        0 => Err(Violation::new("events", format!("is empty: give 1 to {MAX_EVENTS}")).into()),
        1..=MAX_EVENTS => Ok(events),
        _ => Err(Violation::new("events", format!("has more than {MAX_EVENTS}")).into()),
    }
}

/// The elements of an array; one more than are allowed, if there are more.
fn elements(body: &Bytes) -> Result<Vec<Bytes>, Status> {
    let mut json = serde_json::Deserializer::from_slice(body);
    let mut events = Vec::new();
    let read = json.deserialize_seq(Elements { body, events: &mut events }).and_then(|()| json.end());
    match read {
        Err(error) if events.len() <= MAX_EVENTS => {
            Err(status::malformed(format!("the body is not JSON: {error}")))
        }
        _ => Ok(events),
    }
}

struct Elements<'a> {
    body: &'a Bytes,
    events: &'a mut Vec<Bytes>,
}

impl<'de> Visitor<'de> for Elements<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        while self.events.len() <= MAX_EVENTS {
            match elements.next_element::<&RawValue>()? {
                // It is borrowed from the body, or it could not be read as this type.
                Some(event) => self.events.push(self.body.slice_ref(event.get().as_bytes())),
                None => return Ok(()),
            }
        }
        Ok(())
    }
}

fn in_lines(body: &Bytes) -> Result<Vec<Bytes>, Status> {
    let lines = body.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
    let events: Vec<Bytes> = lines.take(MAX_EVENTS + 1).map(|line| body.slice_ref(line)).collect();
    // Usually the first line is JSON, and the others are not looked at.
    let read = |line: &Bytes| serde_json::from_slice::<&RawValue>(line).map(drop);
    if !events.iter().any(|line| read(line).is_ok())
        && let Some(Err(error)) = events.first().map(read)
    {
        return Err(status::malformed(format!(
            "the body is neither a JSON array nor lines of JSON: {error}"
        )));
    }
    Ok(events)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use tonic_types::StatusExt as _;

    use super::split;

    fn events(lines: bool, body: &str) -> Vec<String> {
        let events = split(lines, &Bytes::copy_from_slice(body.as_bytes())).unwrap();
        events.into_iter().map(|event| String::from_utf8(event.to_vec()).unwrap()).collect()
    }

    fn reason(lines: bool, body: &[u8]) -> String {
        split(lines, &Bytes::copy_from_slice(body)).unwrap_err().get_details_error_info().unwrap().reason
    }

    #[test]
    fn events_keep_the_bytes_that_they_came_in() {
        let first = r#"{ "a":1e400, "a" : "\ud800" }"#;
        assert_eq!(
            events(false, &format!(" [ {first} ,null,[2], \"x\" ]\n")),
            [first, "null", "[2]", "\"x\""]
        );
        assert_eq!(events(false, &format!("{first}\r\n\n  {{}} ")), [first, "{}"]);
        let deep = "[".repeat(10_000) + &"]".repeat(10_000);
        assert_eq!(events(false, &format!("[{deep}]")), [deep.as_str()]);
        assert_eq!(events(true, &format!("{deep}\n{{}}")), [deep.as_str(), "{}"]);
    }

    #[test]
    fn a_line_that_is_no_json_does_not_refuse_its_neighbours() {
        assert_eq!(events(false, "{\"a\":\n{}"), ["{\"a\":", "{}"]);
    }

    #[test]
    fn what_is_no_batch_is_refused() {
        for wrong in ["x", "<xml/>", "[", "[{}", "[{},]", "[{}] x", "[}", "{\"a\"", "\u{feff}[]"] {
            assert_eq!(reason(false, wrong.as_bytes()), "MALFORMED_REQUEST", "{wrong:?}");
        }
        assert_eq!(reason(false, b"[\"\xff\"]"), "MALFORMED_REQUEST");
        for wrong in ["", " \n\n", "[]"] {
            assert_eq!(reason(false, wrong.as_bytes()), "INVALID_FIELD", "{wrong:?}");
        }
    }

    #[test]
    fn a_batch_has_a_thousand_events_at_the_most() {
        let array = |count: usize| format!("[{}]", vec!["{}"; count].join(","));
        let lines = |count: usize| vec!["{}"; count].join("\n");
        assert_eq!(events(false, &array(1000)).len(), 1000);
        assert_eq!(events(false, &lines(1000)).len(), 1000);
        for count in [1001, 100_000] {
            assert_eq!(reason(false, array(count).as_bytes()), "INVALID_FIELD");
            assert_eq!(reason(true, lines(count).as_bytes()), "INVALID_FIELD");
        }
    }
}
