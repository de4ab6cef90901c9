//! How deep JSON is nested, without a parser that could be driven too deep.

/// Whether arrays and objects are nested in each other deeper than `limit`. Looks only at brackets outside of
/// strings: what is no JSON is the parser's to refuse.
pub(super) fn exceeds(json: &[u8], limit: usize) -> bool {
    let mut depth = 0_usize;
    let mut in_string = false;
    let mut escaped = false;
    for byte in json {
        if in_string {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => in_string = false,
                _ => {}
            }
            continue;
        }
        match byte {
            b'"' => in_string = true,
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
