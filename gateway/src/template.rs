//! The path templates of `google.api.http` rules: parsed at the start, and what their variables capture of a path.
//!
//! ```text
//! Template  = "/" Segments [ Verb ] ;
//! Segments  = Segment { "/" Segment } ;
//! Segment   = "*" | "**" | LITERAL | Variable ;
//! Variable  = "{" FieldPath [ "=" Segments ] "}" ;
//! FieldPath = IDENT { "." IDENT } ;
//! Verb      = ":" LITERAL ;
//! ```
//!
//! `*` is one segment that is not empty, `**` is all that follow, however many: it stands last. `{field}` is
//! `{field=*}`. A variable of exactly one segment is percent-decoded; in one of several segments the reserved
//! characters of RFC 6570 stay as they came, so that a `/` that was encoded is not taken for one that divides.

mod parser;

use std::{fmt, ops::Range};

use percent_encoding::percent_decode_str;

use self::parser::Parser;

/// What one path segment must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Segment {
    /// This text, percent-decoded.
    Literal(String),
    /// Anything but nothing.
    One,
    /// Whatever is left, this segment and all that follow.
    Rest,
}

/// A part of the path that is a field's value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Variable {
    /// The field's path, as written.
    pub(crate) field: String,
    segments: Range<usize>,
    takes_rest: bool,
}

/// A parsed template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template {
    text: String,
    segments: Vec<Segment>,
    variables: Vec<Variable>,
    verb: Option<String>,
}

/// Why a text is no template.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("the path template {template:?} is wrong at byte {at}: {reason}")]
pub(crate) struct TemplateError {
    template: String,
    at: usize,
    reason: &'static str,
}

/// What a variable captured is not UTF-8 once it is percent-decoded.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NotUtf8;

impl Template {
    /// Reads a template.
    pub(crate) fn parse(text: &str) -> Result<Self, TemplateError> {
        let mut parser = Parser::new(text);
        let verb = parser.template().map_err(|reason| TemplateError {
            template: text.to_owned(),
            at: parser.at,
            reason,
        })?;
        Ok(Self { text: text.to_owned(), segments: parser.segments, variables: parser.variables, verb })
    }

    /// What the path's segments must be, the variables resolved into what they match.
    pub(crate) fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The variables, from left to right.
    pub(crate) fn variables(&self) -> &[Variable] {
        &self.variables
    }

    /// What must follow the last segment after a colon.
    pub(crate) fn verb(&self) -> Option<&str> {
        self.verb.as_deref()
    }
}

impl fmt::Display for Template {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl Variable {
    /// Whether the segment with that index is a part of it.
    pub(crate) fn holds(&self, segment: usize) -> bool {
        self.segments.contains(&segment)
    }

    /// The variable's value in a path that the template matches, given in segments without the verb.
    pub(crate) fn capture(&self, path: &[&str]) -> Result<String, NotUtf8> {
        let end = if self.takes_rest { path.len() } else { self.segments.end };
        let captured = path.get(self.segments.start..end).unwrap_or_default();
        match captured {
            [segment] if !self.takes_rest && self.segments.len() == 1 => decode(segment).ok_or(NotUtf8),
            segments => decode_unreserved(&segments.join("/")).ok_or(NotUtf8),
        }
    }
}

/// Percent-decodes; `None` if what comes out is not UTF-8.
pub(crate) fn decode(text: &str) -> Option<String> {
    percent_decode_str(text).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

/// As [`decode`], but leaves the reserved characters of RFC 6570 encoded.
fn decode_unreserved(text: &str) -> Option<String> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let (byte, after) =
            encoded(rest).filter(|(byte, _)| !RESERVED.contains(byte)).unwrap_or((first, after));
        decoded.push(byte);
        rest = after;
    }
    String::from_utf8(decoded).ok()
}

/// The byte that is percent-encoded at the beginning of `text`, and what follows.
fn encoded(text: &[u8]) -> Option<(u8, &[u8])> {
    match text {
        [b'%', high, low, after @ ..] => Some((hex(*high)? * 16 + hex(*low)?, after)),
        _ => None,
    }
}

/// The reserved characters of RFC 3986, which RFC 6570 takes over.
const RESERVED: &[u8] = b":/?#[]@!$&'()*+,;=";

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::{NotUtf8, Segment, Template};

    fn parse(text: &str) -> Template {
        Template::parse(text).unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn the_whole_grammar_is_read() {
        let template = parse("/v1/{parent=orgs/*/projects/*}/files/{file.path=**}:read");
        let literal = |text: &str| Segment::Literal(text.to_owned());
        let expected = [
            literal("v1"),
            literal("orgs"),
            Segment::One,
            literal("projects"),
            Segment::One,
            literal("files"),
            Segment::Rest,
        ];
        assert_eq!(template.segments(), expected);
        assert_eq!(template.verb(), Some("read"));
        let fields: Vec<_> = template.variables().iter().map(|variable| variable.field.as_str()).collect();
        assert_eq!(fields, ["parent", "file.path"]);
        assert_eq!(parse("/{a}").segments(), parse("/{a=*}").segments());
        assert_eq!(parse("/a%20b").segments(), [literal("a b")]);
    }

    #[test]
    fn what_is_no_template_is_refused() {
        for wrong in [
            "",
            "v1",
            "/",
            "/v1/",
            "//a",
            "/v1//a",
            "/{",
            "/{}",
            "/{a",
            "/{a=}",
            "/{a={b}}",
            "/{a=*/{b}}",
            "/{a}}",
            "/{a}b",
            "/a{b}",
            "/**/a",
            "/{a=**}/b",
            "/{a=**/b}",
            "/***",
            "/*a",
            "/a:",
            "/a:b:c",
            "/a:b/c",
            "/a b",
            "/a?b",
            "/a#b",
            "/ä",
            "/{a}/{a}",
            "/{1a}",
            "/{a.}",
            "/{.a}",
            "/{a..b}",
            "/%ff",
            "/{a-b}",
        ] {
            assert!(Template::parse(wrong).is_err(), "{wrong:?}");
        }
        let error = Template::parse("/v1/{a=*/{b}}").unwrap_err().to_string();
        assert!(error.contains("/v1/{a=*/{b}}") && error.contains("byte 9"), "{error}");
    }

    #[test]
    fn variables_capture_what_the_specification_says() {
        for (template, path, expected) in [
            ("/v1/{a}", &["v1", "x"][..], Ok("x")),
            ("/v1/{a}", &["v1", "x%2Fy%3az%20"], Ok("x/y:z ")),
            ("/v1/{a}", &["v1", "x+y"], Ok("x+y")),
            ("/v1/{a}", &["v1", "%e4%b8%96"], Ok("世")),
            ("/v1/{a}", &["v1", "%ff"], Err(NotUtf8)),
            ("/v1/{a}", &["v1", "100%"], Ok("100%")),
            ("/v1/{a=shelves/*}", &["v1", "shelves", "x%2Fy%20z"], Ok("shelves/x%2Fy z")),
            ("/v1/{a=**}", &["v1"], Ok("")),
            ("/v1/{a=**}", &["v1", "x%2fy"], Ok("x%2fy")),
            ("/v1/{a=**}", &["v1", "x", "", "%41%3A%25%zz%"], Ok("x//A%3A%%zz%")),
            ("/v1/{a=b/**}", &["v1", "b"], Ok("b")),
            ("/v1/{a=b/**}", &["v1", "b", "c", "d"], Ok("b/c/d")),
            ("/v1/{a=b/**}", &["v1", "b", "%ff"], Err(NotUtf8)),
        ] {
            let template = parse(template);
            let captured = template.variables()[0].capture(path);
            assert_eq!(captured.as_deref(), expected.as_ref().copied(), "{template} {path:?}");
        }
    }
}
