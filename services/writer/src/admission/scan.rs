//! What is to be known of JSON before it is parsed: how deep it is nested, without a parser that could be driven too deep, and
//! whether it may hold numbers that nothing can read.

/// The most characters of a number that is surely within all number types, when it has no exponent.
const MAX_PLAIN_NUMBER: usize = 300;

/// What [`scan`] sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Scanned {
    /// Whether arrays and objects are nested in each other deeper than the limit.
    pub(super) is_too_deep: bool,
    /// Whether a number has an exponent, or is very long.
    pub(super) has_odd_numbers: bool,
}

/// Looks only at what is outside of strings: what is no JSON is the parser's to refuse.
pub(super) fn scan(json: &[u8], limit: usize) -> Scanned {
    let mut depth = 0_usize;
    let mut has_odd_numbers = false;
    let mut rest = json;
    while let [byte, after @ ..] = rest {
        rest = after;
        match byte {
            b'"' => rest = after_string(rest),
            b'[' | b'{' => {
                depth += 1;
                if depth > limit {
                    return Scanned { is_too_deep: true, has_odd_numbers };
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            b'0'..=b'9' => {
                let length = number_length(rest);
                has_odd_numbers |=
                    length > MAX_PLAIN_NUMBER || rest[..length].iter().any(u8::is_ascii_alphabetic);
                rest = &rest[length..];
            }
            _ => {}
        }
    }
    Scanned { is_too_deep: false, has_odd_numbers }
}

/// What follows the string whose opening quote was just read.
fn after_string(mut rest: &[u8]) -> &[u8] {
    while let Some(at) = memchr::memchr2(b'"', b'\\', rest) {
        if rest[at] == b'"' {
            return &rest[at + 1..];
        }
        // An escape: whatever is escaped does not end the string.
        rest = rest.get(at + 2..).unwrap_or_default();
    }
    &[]
}

fn number_length(rest: &[u8]) -> usize {
    let of_number = |byte: &u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
    rest.iter().position(|byte| !of_number(byte)).unwrap_or(rest.len())
}

#[cfg(test)]
mod tests {
    use super::scan;

    fn is_too_deep(json: &[u8], limit: usize) -> bool {
        scan(json, limit).is_too_deep
    }

    #[test]
    fn only_brackets_outside_of_strings_nest() {
        assert!(!is_too_deep(b"[[]]", 2));
        assert!(is_too_deep(b"[[[]]]", 2));
        assert!(!is_too_deep(br#"["[[[[", "\"[[[[", "\\"]"#, 1));
        assert!(!is_too_deep(b"[[],[],[[]]]", 3));
        assert!(is_too_deep("[".repeat(10_000).as_bytes(), 100));
    }

    #[test]
    fn numbers_with_exponents_and_very_long_ones_are_odd() {
        let long = "1".repeat(400);
        for (json, expected) in [
            ("[1, -2.5, true, false, \"1e400\"]", false),
            ("[1e400]", true),
            ("-1E+5", true),
            (long.as_str(), true),
            ("\"\\", false),
        ] {
            assert_eq!(scan(json.as_bytes(), 100).has_odd_numbers, expected, "{json}");
        }
    }
}
