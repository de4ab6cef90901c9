//! Native crashes. Of one, the SDKs for native code and for Electron send a minidump, and an event that has everything but
//! what happened: that is in the minidump, which is not kept. The writer takes in no event that says nothing, and an SDK
//! that is refused throws the crash away; so it is said what is known.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

/// The `attachment_type` of a minidump.
pub(super) const ATTACHMENT_TYPE: &str = "event.minidump";

/// What is added to an event that says nothing: a member, the last one, for of those with the same name the last one counts.
const CRASHED: &str = r#""logentry":{"formatted":"Native crash (its minidump is not kept)"}"#;

/// What an event says, as far as it is not null.
#[derive(Deserialize)]
struct Said<'j> {
    #[serde(borrow, default)]
    message: Option<&'j RawValue>,
    #[serde(borrow, default)]
    logentry: Option<&'j RawValue>,
    #[serde(borrow, default)]
    exception: Option<&'j RawValue>,
    #[serde(borrow, default)]
    stacktrace: Option<&'j RawValue>,
    #[serde(borrow, default)]
    threads: Option<&'j RawValue>,
}

/// An event that came with a minidump, with a message if it says nothing by itself. All else in it stays as it was.
pub(super) fn explained(event: Bytes) -> Bytes {
    let text = event.trim_ascii();
    // serde would read an array as well; what is no event is for the writer to say.
    let Some(members) = text.strip_prefix(b"{").and_then(|text| text.strip_suffix(b"}")) else {
        return event;
    };
    let Ok(Said { message, logentry, exception, stacktrace, threads }) = serde_json::from_slice(text) else {
        return event;
    };
    let is_said = |part: Option<&RawValue>| part.is_some_and(|json| !is_empty(json.get()));
    if [message, logentry, exception, stacktrace, threads].into_iter().any(is_said) {
        return event;
    }
    let comma: &[u8] = if members.trim_ascii().is_empty() { b"" } else { b"," };
    [b"{", members, comma, CRASHED.as_bytes(), b"}"].concat().into()
}

/// Whether JSON is there but says nothing: so the writer sees it.
fn is_empty(json: &str) -> bool {
    let text: String = json.chars().filter(|character| !character.is_whitespace()).take(20).collect();
    matches!(text.as_str(), r#""""# | "{}" | "[]" | r#"{"values":[]}"# | r#"{"values":null}"#)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn explain(event: &str) -> String {
        let explained = explained(Bytes::copy_from_slice(event.as_bytes()));
        String::from_utf8(explained.to_vec()).unwrap()
    }

    #[test]
    fn an_event_that_says_nothing_gets_a_message_and_is_the_same_otherwise() {
        for (event, begins) in [
            (
                r#"{"level":"fatal","platform":"native","n":1e400}"#,
                r#"{"level":"fatal","platform":"native","n":1e400,"#,
            ),
            (" {\"a\" : [ ] }\n", "{\"a\" : [ ] ,"),
            (
                r#"{"message":"","logentry":null,"exception":null}"#,
                r#"{"message":"","logentry":null,"exception":null,"#,
            ),
            ("{ }", "{ "),
            (
                r#"{"exception":{"values":[ ]},"logentry":{},"threads":[]}"#,
                r#"{"exception":{"values":[ ]},"logentry":{},"threads":[],"#,
            ),
        ] {
            assert_eq!(explain(event), format!("{begins}{CRASHED}}}"));
        }
    }

    #[test]
    fn what_says_something_and_what_is_no_event_stay_as_they_are() {
        for event in [
            r#"{"message":"m"}"#,
            r#"{"logentry":{"formatted":"m"}}"#,
            r#" {"exception":{"values":[{"type":"T"}]}} "#,
            r#"{"stacktrace":{"frames":[{}]}}"#,
            r#"{"threads":[{}]}"#,
            "",
            "[]",
            "[null,null,null,null,null]",
            "{",
            "{]}",
            r#"{"a":}"#,
        ] {
            assert_eq!(explain(event), event);
        }
    }
}
