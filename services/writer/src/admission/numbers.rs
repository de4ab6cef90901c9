//! Numbers beyond all floating-point numbers, such as `1e400`: JSON may hold them, and hardly anything can read them.

use serde::de::IgnoredAny;

/// JSON in which each number that is too large for any number type is a string of the same digits; `None` if there is no
/// such number. What is no JSON is the parser's to refuse.
pub(super) fn quote_too_large(json: &[u8]) -> Option<Vec<u8>> {
    let mut quoted = Vec::new();
    let (mut copied, mut at) = (0, 0);
    while at < json.len() {
        at = match json[at] {
            b'"' => end_of_string(json, at),
            b'-' | b'0'..=b'9' => {
                let end = end_of_number(json, at);
                if is_too_large(&json[at..end]) && !is_name(&json[end..]) {
                    quoted.extend_from_slice(&json[copied..at]);
                    quoted.push(b'"');
                    quoted.extend_from_slice(&json[at..end]);
                    quoted.push(b'"');
                    copied = end;
                }
                end
            }
            _ => at + 1,
        };
    }
    if copied == 0 {
        return None;
    }
    quoted.extend_from_slice(&json[copied..]);
    Some(quoted)
}

/// The place behind the string that begins at `at`.
fn end_of_string(json: &[u8], mut at: usize) -> usize {
    at += 1;
    while let Some(byte) = json.get(at) {
        at += match byte {
            b'"' => return at + 1,
            b'\\' => 2,
            _ => 1,
        };
    }
    json.len()
}

fn end_of_number(json: &[u8], at: usize) -> usize {
    let of_number = |byte: &u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
    json[at..].iter().position(|byte| !of_number(byte)).map_or(json.len(), |length| at + length)
}

/// Whether it is a number of JSON, whose grammar is stricter than Rust's, and no type holds it.
fn is_too_large(number: &[u8]) -> bool {
    let value = std::str::from_utf8(number).ok().and_then(|number| number.parse::<f64>().ok());
    value.is_some_and(f64::is_infinite) && serde_json::from_slice::<IgnoredAny>(number).is_ok()
}

/// Whether what stands before `rest` would be a member's name in quotes: without, it is no JSON, and must not become any.
fn is_name(rest: &[u8]) -> bool {
    rest.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b':')
}

#[cfg(test)]
mod tests {
    use super::quote_too_large;

    #[test]
    fn only_numbers_that_nothing_can_hold_are_quoted() {
        for (json, expected) in [
            (r#"{"a":1e400,"b":[-1E+999, 2]}"#, Some(r#"{"a":"1e400","b":["-1E+999", 2]}"#)),
            ("1e400", Some(r#""1e400""#)),
            (r#"{"a\"1e400":"1e400","b":"\\"}"#, None),
            (r#"{"a":123456789012345678901234567890,"b":1e308,"c":1e-400}"#, None),
            (r#"{"a":1e"#, None),
            // What is no JSON does not become any.
            ("{1e400:1}", None),
            ("{1e400 : 1}", None),
            ("[01e400, 1.e400, +inf]", None),
            ("\"\\", None),
            ("", None),
        ] {
            let quoted = quote_too_large(json.as_bytes()).map(|json| String::from_utf8(json).unwrap());
            assert_eq!(quoted.as_deref(), expected, "{json}");
        }
    }
}
