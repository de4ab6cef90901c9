use proptest::prelude::*;
use serde::de::IgnoredAny;

use super::*;

const DEPTH: usize = 100;

/// What a text is stored as, if it is JSON.
fn skipped(json: &str) -> Result<String, ReadError> {
    let mut reader = Reader::new(json, DEPTH);
    reader.skip()?;
    Ok(reader.end()?.unwrap_or_else(|| json.to_owned()))
}

#[test]
fn only_lone_surrogates_are_replaced() {
    for (json, text, stored) in [
        (r#""\ud83d\ude00 \u00e9""#, "\u{1f600} \u{e9}", r#""\ud83d\ude00 \u00e9""#),
        (r#""\ud83d""#, "\u{fffd}", r#""\ufffd""#),
        (r#""\uDE00\ud83d\ud83d\ude00x""#, "\u{fffd}\u{fffd}\u{1f600}x", r#""\ufffd\ufffd\ud83d\ude00x""#),
        (r#""\ud83d\u0041""#, "\u{fffd}A", r#""\ufffd\u0041""#),
        (r#""\\ud83d""#, "\\ud83d", r#""\\ud83d""#),
        (r#""\\\ud83d""#, "\\\u{fffd}", r#""\\\ufffd""#),
        (r#""\b\f\n\r\t\/\"""#, "\u{8}\u{c}\n\r\t/\"", r#""\b\f\n\r\t\/\"""#),
    ] {
        let mut reader = Reader::new(json, DEPTH);
        assert_eq!(reader.string().as_deref(), Ok(text), "{json}");
        assert_eq!(reader.end().unwrap().unwrap_or_else(|| json.to_owned()), stored);
        assert_eq!(skipped(json).unwrap(), stored);
    }
}

#[test]
fn only_numbers_that_nothing_can_hold_are_quoted() {
    let long = format!("-{}.5", "1".repeat(400));
    let quoted = format!("\"{long}\"");
    let plain = r#"{"a":123456789012345678901234567890,"b":1e308,"c":1e-400,"d":"1e400\"1e400"}"#;
    for (json, stored) in [
        (r#"{"a":1e400,"b":[-1E+999, 2]}"#, r#"{"a":"1e400","b":["-1E+999", 2]}"#),
        ("1e400", r#""1e400""#),
        (&long, &quoted),
        (plain, plain),
    ] {
        assert_eq!(skipped(json).as_deref(), Ok(stored));
    }
}

#[test]
fn what_is_no_json_is_refused_where_it_is_none() {
    for (json, error) in [
        ("", "a value was expected at line 1 column 1"),
        ("{", "a name in quotation marks was expected at line 1 column 2"),
        ("{}x", "the end was expected at line 1 column 3"),
        ("[1,]", "a value was expected at line 1 column 4"),
        ("{\"a\":1,}", "a name in quotation marks was expected at line 1 column 8"),
        ("{1e400:1}", "a name in quotation marks was expected at line 1 column 2"),
        ("{\"a\" 1}", "a `:` was expected at line 1 column 6"),
        ("[\n1\n2]", "a `,` or `]` was expected at line 3 column 1"),
        ("[01]", "a `,` or `]` was expected at line 1 column 3"),
        ("[1.e400]", "a digit was expected at line 1 column 4"),
        ("[1e]", "a digit was expected at line 1 column 4"),
        ("[-]", "a digit was expected at line 1 column 3"),
        ("[+inf]", "a value was expected at line 1 column 2"),
        ("[nul]", "a value was expected at line 1 column 2"),
        (r#""\x""#, "a character that can be escaped was expected at line 1 column 3"),
        (r#""\ud8""#, "the four hexadecimal digits of an escape was expected at line 1 column 3"),
        (r#""\u+123""#, "the four hexadecimal digits of an escape was expected at line 1 column 3"),
        ("\"a", "the end of a string was expected at line 1 column 3"),
        ("\"\\", "a character that can be escaped was expected at line 1 column 3"),
        ("\"a\nb\"", "a string without unescaped control characters was expected at line 1 column 3"),
        ("\u{a0}1", "a value was expected at line 1 column 1"),
    ] {
        let refused = skipped(json).unwrap_err().to_string();
        assert_eq!(refused, format!("cannot be read as JSON: {error}"), "{json}");
        assert!(serde_json::from_str::<IgnoredAny>(json).is_err(), "{json}");
    }
}

#[test]
fn only_brackets_outside_of_strings_nest() {
    let nests = |json: &str, depth| {
        let mut reader = Reader::new(json, depth);
        reader.skip().and_then(|()| reader.end()).map(drop)
    };
    assert_eq!(nests("[[]]", 2), Ok(()));
    assert_eq!(nests("[[{}]]", 2), Err(ReadError::TooDeep(2)));
    assert_eq!(nests(r#"["[[[[", "\"[[[[", "\\"]"#, 1), Ok(()));
    assert_eq!(nests("[[],[],[[]]]", 3), Ok(()));
    assert_eq!(nests(&"[".repeat(1_000_000), 100), Err(ReadError::TooDeep(100)));
}

#[test]
fn a_string_ends_at_the_first_byte_that_is_special_wherever_it_stands() {
    for length in 1..20 {
        for (at, byte) in (0..length).flat_map(|at| (0..=255).map(move |byte| (at, byte))) {
            let mut text = vec![b'x'; length];
            text[at] = byte;
            let Ok(text) = std::str::from_utf8(&text) else { continue };
            let is_special = matches!(byte, b'"' | b'\\' | 0..0x20);
            let found = Reader::new(text, DEPTH).special_from(0);
            assert_eq!(found, if is_special { at } else { length }, "{text:?}");
        }
    }
}

/// JSON, and what is nearly JSON.
fn texts() -> impl Strategy<Value = String> {
    let string = || any::<String>().prop_map(|text| serde_json::to_string(&text).unwrap());
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|bool| bool.to_string()),
        any::<i64>().prop_map(|number| number.to_string()),
        any::<f64>().prop_map(|number| format!("{number:e}")),
        string(),
        "\"(\\\\[ub\"\\\\/nrtx]|[0-9a-fA-F]{0,4}|d8)*\"",
        r"-?[0-9]{0,3}(\.[0-9]{0,2})?([eE][+-]?[0-9]{0,3})?",
    ];
    leaf.prop_recursive(4, 30, 5, move |inner| {
        let name = prop_oneof![string(), Just("\"a\"".to_owned())];
        let member = (name, inner.clone()).prop_map(|(name, value)| format!("{name} :{value}"));
        prop_oneof![
            prop::collection::vec(inner, 0..5).prop_map(|items| format!("[{}]", items.join(", "))),
            prop::collection::vec(member, 0..5).prop_map(|members| format!("{{{}}}", members.join(",\n"))),
        ]
    })
}

proptest! {
    #[test]
    fn it_takes_what_serde_takes(json in texts(), at: prop::sample::Index, put in prop::option::of(any::<char>())) {
        let mut changed = json.clone();
        if let Some(char) = put {
            changed.insert(changed.floor_char_boundary(at.index(changed.len() + 1)), char);
        }
        for json in [&json, &changed] {
            let read = skipped(json);
            let by_serde = serde_json::from_str::<IgnoredAny>(json);
            prop_assert_eq!(read.is_ok(), by_serde.is_ok(), "{} {:?} {:?}", json, read, by_serde);
            if let Ok(stored) = read {
                // Whoever reads it again can, and finds nothing to mend.
                prop_assert!(serde_json::from_str::<serde_json::Value>(&stored).is_ok(), "{}", stored);
                prop_assert_eq!(skipped(&stored), Ok(stored.clone()));
            }
        }
    }
}
