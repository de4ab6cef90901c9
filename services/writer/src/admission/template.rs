//! Messages that their senders left apart: a template such as `User %s is gone`, and the parameters that belong in it.

use std::borrow::Cow;

use super::{
    json::Json,
    shape::{json, scalar, text},
};

/// The most signs of placeholders that are looked at in a template, and the most bytes of what stands behind each: what a hostile
/// one costs grows with both.
const MAX_SIGNS: usize = 100;
/// The most parameters by name of which the right one is looked for: it is by one after the other.
const MAX_NAMED: usize = 200;
const MAX_PLACEHOLDER: usize = 100;

/// A template with its parameters, as far as there are any: a list for `%s` and its like or for `{}`, an object for `%(name)s`.
/// What has no parameter stays as it is. The first `limit` characters are as they should be; what is behind may not be.
pub(super) fn filled<'a>(template: &'a str, params: Option<&Json<'_>>, limit: usize) -> Cow<'a, str> {
    let has_params = match params {
        Some(Json::Array(list)) => !list.is_empty(),
        Some(Json::Object(members)) => (1..=MAX_NAMED).contains(&members.iter().take(MAX_NAMED + 1).count()),
        _ => false,
    };
    let Some(params) = params.filter(|_| has_params) else { return Cow::Borrowed(template) };
    // In a template of one kind the other's placeholders are text.
    let percent = fill(template, b'%', after_percent, params, limit);
    percent
        .or_else(|| fill(template, b'{', after_brace, params, limit))
        .map_or(Cow::Borrowed(template), Cow::Owned)
}

/// What stands behind the sign of a placeholder.
struct Placeholder<'t> {
    what: What<'t>,
    /// How many bytes that is.
    length: usize,
}

enum What<'t> {
    /// The next of the list.
    Next,
    /// That one of the list.
    At(usize),
    /// The member of that name.
    Named(&'t str),
    /// The sign itself, doubled.
    Sign,
}

/// The template with what there is for its placeholders of one kind; `None` if there is nothing.
fn fill(
    template: &str,
    sign: u8,
    placeholder: impl Fn(&str) -> Option<Placeholder<'_>>,
    params: &Json<'_>,
    limit: usize,
) -> Option<String> {
    let (list, members) = (params.as_array().unwrap_or_default(), params.as_object());
    let mut filled = String::new();
    let (mut rest, mut next, mut has_any) = (template, 0, false);
    for _ in 0..MAX_SIGNS {
        let Some(at) = memchr::memchr(sign, rest.as_bytes()) else { break };
        // A character has at most four bytes.
        if filled.len() > 4 * limit {
            break;
        }
        let (before, behind) = (&rest[..at], &rest[at + 1..]);
        filled.push_str(before);
        let found = placeholder(&behind[..behind.floor_char_boundary(MAX_PLACEHOLDER)]);
        let (param, length) = match &found {
            None => (None, 0),
            Some(Placeholder { what, length }) => {
                let param = match what {
                    What::Next => {
                        next += 1;
                        list.get(next - 1)
                    }
                    What::At(index) => list.get(*index),
                    What::Named(name) => members.and_then(|members| members.get(name)),
                    What::Sign => None,
                };
                (param, *length)
            }
        };
        match param {
            Some(param) => {
                has_any = true;
                let param = scalar(param, limit).unwrap_or_else(|| json(param).into());
                filled.push_str(&text(&param, limit));
            }
            None if matches!(found, Some(Placeholder { what: What::Sign, .. })) => {
                filled.push(char::from(sign));
            }
            None => filled.push_str(&rest[at..=at + length]),
        }
        rest = &behind[length..];
    }
    filled.push_str(rest);
    has_any.then_some(filled)
}

/// `%s`, `%5.1f`, `%(name)s`, `%%`.
fn after_percent(text: &str) -> Option<Placeholder<'_>> {
    if text.starts_with('%') {
        return Some(Placeholder { what: What::Sign, length: 1 });
    }
    let (what, rest) = match text.strip_prefix('(') {
        Some(named) => {
            let (name, rest) = named.split_once(')')?;
            (What::Named(name), rest)
        }
        None => (What::Next, text),
    };
    let rest = rest.trim_start_matches(|char: char| matches!(char, '0'..='9' | '.' | '-' | '+' | '#'));
    // Those of Python, PHP and Node.js. A blank is a flag, too, but "50 % daily" has no placeholder.
    rest.starts_with(['s', 'd', 'i', 'f', 'r', 'a', 'u', 'x', 'X', 'e', 'g', 'o', 'O', 'j'])
        .then(|| Placeholder { what, length: text.len() - rest.len() + 1 })
}

/// `{}`, `{0}`, `{name}`.
fn after_brace(text: &str) -> Option<Placeholder<'_>> {
    let (name, _) = text.split_once('}')?;
    let what = match name.parse() {
        _ if name.is_empty() => What::Next,
        Ok(index) => What::At(index),
        Err(_) => What::Named(name),
    };
    Some(Placeholder { what, length: name.len() + 1 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admission::parse;

    fn fill(template: &str, params: &str) -> String {
        let text = format!(r#"{{"logentry":{{"params":{params}}}}}"#);
        let Json::Object(event) = parse::parse(&text).unwrap().0 else { panic!("an event is an object") };
        let entry = event.get("logentry").and_then(Json::as_object).unwrap();
        filled(template, entry.get("params"), 100).into_owned()
    }

    #[test]
    fn parameters_stand_where_they_belong() {
        for (template, params, expected) in [
            ("User %s is gone", r#"["Ada"]"#, "User Ada is gone"),
            ("%d of %5.1f, %-3s|%r", "[1,2.5,true,null]", "1 of 2.5, true|null"),
            ("100%% of %s, 50 % daily", r#"[[1,{"a":"b"}]]"#, r#"100% of [1,{"a":"b"}], 50 % daily"#),
            ("%(name)s: %(count)d %(none)s", r#"{"name":"a","count":2}"#, "a: 2 %(none)s"),
            ("{} and {} and {0}", r#"["ä",2]"#, "ä and 2 and ä"),
            ("{who} is {what}", r#"{"who":"Ada"}"#, "Ada is {what}"),
            ("{} of %s", "[1]", "{} of 1"),
            ("%s and %s", r#"["%s"]"#, "%s and %s"),
        ] {
            assert_eq!(fill(template, params), expected, "{template}");
        }
    }

    #[test]
    fn without_parameters_a_template_stays_as_it_is() {
        for template in ["100%% of %s {} {0} {a} %", "%(", "{", "%(a", "ü%ü{ü"] {
            for params in ["null", "[]", "{}", "5", r#""x""#] {
                assert_eq!(fill(template, params), template);
            }
        }
        for template in ["100%", "%(a)", "{", "{a", "%ü", "{ü}", "%%"] {
            assert_eq!(fill(template, "[1]"), template);
        }
    }

    #[test]
    fn a_template_does_not_become_much_longer_than_its_limit() {
        let long = format!(r#"["{}"]"#, "x".repeat(1000));
        assert!(fill(&"{0}".repeat(10_000), &long).len() <= 30_000 + 500);
    }
}
