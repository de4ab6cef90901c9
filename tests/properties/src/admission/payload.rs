//! What may become of the JSON that was sent, by a reader that has nothing in common with admission's own.

use serde_json::Value;

/// Whether `kept` is `sent` but for what Unicode and numbers cannot hold: in place of lone surrogates there is U+FFFD, and
/// numbers that are too large for any type are in quotes. That nothing else of that kind is left is the parser's to say.
pub(super) fn is_what_was_sent(sent: &[u8], kept: &[u8]) -> bool {
    let (mut sent, mut kept) = (sent, kept);
    let mut in_string = false;
    while !sent.is_empty() {
        let length = if in_string { escape(sent) } else { number(sent) }.max(1);
        let (piece, after) = sent.split_at(length);
        in_string ^= piece == b"\"";
        let quoted;
        let expected: &[u8] = if kept.starts_with(piece) {
            piece
        } else if in_string && is_lone_surrogate(piece, after) {
            b"\\ufffd"
        } else if is_too_large(piece) {
            quoted = [b"\"", piece, b"\""].concat();
            &quoted
        } else {
            return false;
        };
        let Some(rest) = kept.strip_prefix(expected) else { return false };
        (sent, kept) = (after, rest);
    }
    kept.is_empty()
}

/// How many bytes the escape that a text begins with has; 0 if it begins with none.
fn escape(text: &[u8]) -> usize {
    match text {
        [b'\\', b'u', ..] => text.len().min(6),
        [b'\\', ..] => text.len().min(2),
        _ => 0,
    }
}

/// How many bytes the number that a text begins with has; 0 if it begins with none.
fn number(text: &[u8]) -> usize {
    text.iter().take_while(|byte| b"+-.0123456789Ee".contains(byte)).count()
}

/// Whether `piece` is the escape of half a character that is not whole with what comes `after` it. Were it the second half
/// of one, the first would be left alone, which is no JSON.
fn is_lone_surrogate(piece: &[u8], after: &[u8]) -> bool {
    let is_low = |text: &[u8]| unit(text).is_some_and(|unit| (0xdc00..=0xdfff).contains(&unit));
    let is_high = unit(piece).is_some_and(|unit| (0xd800..=0xdbff).contains(&unit));
    is_low(piece) || (is_high && !is_low(after))
}

fn unit(text: &[u8]) -> Option<u32> {
    let digits = text.get(..6)?.strip_prefix(b"\\u")?;
    u32::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

/// Whether it is a number as JSON writes them, and the parser has none for it.
fn is_too_large(piece: &[u8]) -> bool {
    let is_number = matches!(piece, [b'-' | b'0'..=b'9', ..]);
    is_number && serde_json::from_slice::<Value>(piece).is_err()
}

#[cfg(test)]
mod tests {
    use super::is_what_was_sent;

    #[test]
    fn nothing_else_may_change() {
        for (sent, kept, expected) in [
            (r#"{"a":1}"#, r#"{"a":1}"#, true),
            (r#"{"a":1}"#, r#"{"a":1"#, false),
            (r#"{"a":1}"#, r#"{"a":1}}"#, false),
            (r#"{"a":1}"#, r#"{"a":"1"}"#, false),
            (r#"{"a":1e400}"#, r#"{"a":"1e400"}"#, true),
            (r#"{"a":1e400}"#, r#"{"a":"1e401"}"#, false),
            (r#"{"a":-1E+400,"b":2}"#, r#"{"a":"-1E+400","b":2}"#, true),
            (r#"{"a":"1e400"}"#, r#"{"a":""1e400""}"#, false),
            (r#""\ud800\ud83d\ude00\udc00""#, r#""\ufffd\ud83d\ude00\ufffd""#, true),
            (r#""\ud83d\ude00""#, r#""\ufffd\ufffd""#, false),
            (r#""\\ud800""#, r#""\\ufffd""#, false),
            (r#""\"1\ud800""#, r#""\"1\ufffd""#, true),
            (r#""\u0041""#, r#""\ufffd""#, false),
        ] {
            assert_eq!(is_what_was_sent(sent.as_bytes(), kept.as_bytes()), expected, "{sent} {kept}");
        }
    }
}
