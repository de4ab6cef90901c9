//! How deep JSON is nested, without a parser that could be driven too deep.

/// Whether arrays and objects are nested in each other deeper than `limit`. Looks only at brackets outside of
/// strings: what is no JSON is the parser's to refuse.
pub(super) fn exceeds(json: &[u8], limit: usize) -> bool {
    let mut depth = 0_usize;
    let mut rest = json.iter();
    while let Some(byte) = rest.next() {
        match byte {
            b'"' => rest = after_string(rest.as_slice()).iter(),
            b'[' | b'{' => {
                depth += 1;
                if depth > limit {
                    return true;
                }
            }
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
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

#[cfg(test)]
mod tests {
    use super::exceeds;

    #[test]
    fn only_brackets_outside_of_strings_nest() {
        assert!(!exceeds(b"[[]]", 2));
        assert!(exceeds(b"[[[]]]", 2));
        assert!(!exceeds(br#"["[[[[", "\"[[[[", "\\"]"#, 1));
        assert!(!exceeds(b"[[],[],[[]]]", 3));
        assert!(exceeds("[".repeat(10_000).as_bytes(), 100));
    }
}
