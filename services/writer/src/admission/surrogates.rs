//! Lone surrogates: halves of a character, as JavaScript leaves them where a text was cut in the middle of an emoji. JSON
//! may hold them as escapes, Unicode text may not.

use std::borrow::Cow;

/// JSON in which each escape of a lone surrogate is one of U+FFFD, which stands for what cannot be told.
pub(super) fn replace(json: &[u8]) -> Cow<'_, [u8]> {
    let mut replaced = Cow::Borrowed(json);
    let mut at = 0;
    while let Some(found) = memchr::memchr(b'\\', &json[at..]) {
        let escape = at + found;
        at = match (unit(json, escape), unit(json, escape + 6)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => escape + 12,
            (Some(0xd800..=0xdfff), _) => {
                replaced.to_mut()[escape + 2..escape + 6].copy_from_slice(b"fffd");
                escape + 6
            }
            // Any other escape has at least two bytes, of which the second may be a backslash.
            _ => (escape + 2).min(json.len()),
        };
    }
    replaced
}

/// The number in the `\uXXXX` that begins at `at`, if one does.
fn unit(json: &[u8], at: usize) -> Option<u16> {
    let digits = json.get(at..at + 6)?.strip_prefix(b"\\u")?;
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::replace;

    #[test]
    fn only_lone_surrogates_are_replaced() {
        for (json, expected) in [
            (r#"{"a":"\ud83d\ude00 \u00e9"}"#, r#"{"a":"\ud83d\ude00 \u00e9"}"#),
            (r#""\ud83d""#, r#""\ufffd""#),
            (r#""\uDE00\ud83d\ud83d\ude00""#, r#""\ufffd\ufffd\ud83d\ude00""#),
            (r#""\\ud83d""#, r#""\\ud83d""#),
            (r#""\\\ud83d""#, r#""\\\ufffd""#),
            (r#""\ud8"#, r#""\ud8"#),
            ("\\", "\\"),
        ] {
            assert_eq!(std::str::from_utf8(&replace(json.as_bytes())).unwrap(), expected);
        }
    }
}
