//! Taking out of texts what differs from event to event: what is left is the same for all events of a kind.

use std::sync::LazyLock;

use regex_automata::{Input, meta::Regex};

/// What is replaced in the texts that people wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Url,
    Email,
    Uuid,
    Date,
    Address,
    Quoted,
    Hex,
    /// The hash of a bundler at the end of a file's name.
    Hash,
    Path,
    Number,
}

impl Kind {
    fn placeholder(self) -> &'static str {
        match self {
            Self::Url => "<url>",
            Self::Email => "<email>",
            Self::Uuid => "<uuid>",
            Self::Date => "<date>",
            Self::Address => "<address>",
            Self::Quoted => "<quoted>",
            Self::Hex | Self::Hash => "<hex>",
            Self::Path => "<path>",
            Self::Number => "<number>",
        }
    }
}

// To a pattern an underscore is a letter; here it is no part of what it stands beside: "order_0195f3a2".
const UUID: &str = r"(?:(?-u:\b)|_)[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}(?:(?-u:\b)|_)";
const HEX: [&str; 2] = [r"(?:(?-u:\b)|_)0[xX][0-9A-Fa-f]+", r"(?:(?-u:\b)|_)[0-9A-Fa-f]{8,}(?:(?-u:\b)|_)"];

/// Where several match at the same place, the first of them is taken.
const IN_TEXT: [(Kind, &str); 19] = [
    (Kind::Url, r#"[A-Za-z][A-Za-z0-9+.-]*://[^\t\n\r "'<>()\[\]{}]+"#),
    (Kind::Email, r"[0-9A-Za-z._%+-]+@[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)+"),
    (Kind::Uuid, UUID),
    // RFC 3339 and its relatives.
    (
        Kind::Date,
        r"[0-9]{4}[-/][0-9]{2}[-/][0-9]{2}(?:[T ][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:[.,][0-9]+)?)?(?: ?(?:Z|UTC|GMT|[+-][0-9]{2}:?[0-9]{2}))?)?",
    ),
    // RFC 2822, as HTTP and mail have it, and what ctime writes.
    (
        Kind::Date,
        r"(?:(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun),? )?[0-9]{1,2} (?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]* [0-9]{4}(?: [0-9]{2}:[0-9]{2}(?::[0-9]{2})?)?(?: (?:Z|UTC|GMT|[+-][0-9]{4}))?",
    ),
    (
        Kind::Date,
        r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun) (?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) +[0-9]{1,2} [0-9]{2}:[0-9]{2}:[0-9]{2}(?: [A-Z]{3,4})? [0-9]{4}",
    ),
    (Kind::Date, r"(?-u:\b)[0-9]{1,2}[/.][0-9]{1,2}[/.][0-9]{4}(?-u:\b)"),
    (Kind::Date, r"(?-u:\b)[0-9]{1,2}:[0-9]{2}:[0-9]{2}(?:[.,][0-9]+)?(?-u:\b)"),
    // MAC, IPv4, IPv6.
    (Kind::Address, r"(?-u:\b)(?:[0-9A-Fa-f]{2}[:-]){5}[0-9A-Fa-f]{2}(?-u:\b)"),
    (Kind::Address, r"(?-u:\b)[0-9]{1,3}(?:\.[0-9]{1,3}){3}(?::[0-9]{1,5})?(?-u:\b)"),
    (Kind::Address, r"(?:(?-u:\b)[0-9A-Fa-f]{1,4})?(?::[0-9A-Fa-f]{0,4}){2,7}(?:%[0-9a-z]+)?"),
    (Kind::Quoted, r#""[^"\n]*""#),
    (Kind::Quoted, r"'[^'\n]*'"),
    (Kind::Quoted, r"`[^`\n]*`"),
    (Kind::Hex, HEX[0]),
    (Kind::Hex, HEX[1]),
    (Kind::Path, r"(?:[A-Za-z]:|~)?(?:[/\\][0-9A-Za-z_.@+~%$-]+){2,}[/\\]?"),
    (Kind::Path, r"[A-Za-z]:\\[0-9A-Za-z_.@+~%$-]+"),
    (Kind::Number, r"[0-9]+(?:[.,][0-9]+)*(?:[eE][-+]?[0-9]+)?"),
];

/// Numbers as such belong to a name; those that compilers and run-time systems append do not.
const IN_SYMBOL: [(Kind, &str); 5] = [
    (Kind::Uuid, UUID),
    (Kind::Hex, HEX[0]),
    // Rust's legacy mangling, and classes made at run time.
    (Kind::Hex, r"(?:h|_|\$)?[0-9A-Fa-f]{8,}(?-u:\b)"),
    (Kind::Number, r"(?:\$|[Ll]ambda_?|anonymous_?|closure_?)[0-9]+"),
    (Kind::Number, r"[0-9]{5,}"),
];

/// A name of a file keeps its short numbers, and loses those of versions and releases and the hashes of bundlers.
const IN_FILE: [(Kind, &str); 6] = [
    (Kind::Uuid, UUID),
    (Kind::Hex, HEX[0]),
    (Kind::Hex, HEX[1]),
    (Kind::Hash, r"[.-][0-9A-Za-z_-]{8}\.(?:m?js|cjs|css)$"),
    (Kind::Number, r"[0-9]+(?:\.[0-9]+)+"),
    (Kind::Number, r"[0-9]{5,}"),
];

static TEXT: LazyLock<Parts> = LazyLock::new(|| Parts::new(&IN_TEXT));
static SYMBOL: LazyLock<Parts> = LazyLock::new(|| Parts::new(&IN_SYMBOL));
static FILE: LazyLock<Parts> = LazyLock::new(|| Parts::new(&IN_FILE));

/// How many bytes of a text, and of a name, tell what it is. A search looks ahead for as long as a word goes on, so that
/// what a text costs grows with the square of its length: a hostile one of a MiB would take minutes.
const MAX_TEXT: usize = 1000;
const MAX_NAME: usize = 300;

/// A message or an exception's value, without what differs from event to event.
pub(super) fn of_text(text: &str) -> String {
    TEXT.replace(beginning(text, MAX_TEXT))
}

/// A function's, module's or exception type's name, without what differs from build to build.
pub(super) fn of_symbol(name: &str) -> String {
    let name = beginning(name, MAX_NAME);
    // Nearly every name: nothing that is replaced is without a digit.
    if name.bytes().any(|byte| byte.is_ascii_digit()) { SYMBOL.replace(name) } else { name.to_owned() }
}

/// A file's name, without what differs from release to release. The same file is the same with `\` for `/`.
pub(super) fn of_file(name: &str) -> String {
    let name = beginning(name, MAX_NAME).split(['?', '#']).next().unwrap_or_default().replace('\\', "/");
    let may_have_hash = ["js", "css"].iter().any(|kind| name.ends_with(kind));
    if may_have_hash || name.bytes().any(|byte| byte.is_ascii_digit()) { FILE.replace(&name) } else { name }
}

fn beginning(text: &str, limit: usize) -> &str {
    &text[..text.floor_char_boundary(limit)]
}

/// What is replaced, and how it is found.
struct Parts {
    kinds: Vec<Kind>,
    regex: Regex,
}

impl Parts {
    fn new(parts: &[(Kind, &str)]) -> Self {
        let patterns: Vec<&str> = parts.iter().map(|(_, pattern)| *pattern).collect();
        #[expect(clippy::expect_used, reason = "the patterns are constants, and a test compiles them all")]
        let regex = Regex::new_many(&patterns).expect("a pattern of the grouping is valid");
        Self { kinds: parts.iter().map(|(kind, _)| *kind).collect(), regex }
    }

    /// The patterns have no way to look back: a search is linear in what it looks at.
    fn replace(&self, text: &str) -> String {
        let mut replaced = String::with_capacity(text.len());
        let (mut copied, mut from) = (0, 0);
        while let Some(found) = self.regex.find(Input::new(text).span(from..text.len())) {
            let kind = self.kinds[found.pattern().as_usize()];
            let (start, end) = match kind {
                Kind::Uuid | Kind::Hex => without_underscores(text, found.start(), found.end()),
                _ => (found.start(), found.end()),
            };
            if is_one(kind, text, start, end) {
                replaced.push_str(&text[copied..start]);
                replaced.push_str(kind.placeholder());
                copied = end;
                from = end;
            } else {
                // What begins with a quotation mark that is none may hold others, and "users/17/orders" a number.
                let first = text[start..].chars().next().map_or(1, char::len_utf8);
                let holds_others = matches!(kind, Kind::Quoted | Kind::Path);
                from = if holds_others { start + first } else { end };
            }
        }
        replaced.push_str(&text[copied..]);
        replaced
    }
}

/// What was found without the underscores around it: the one behind it may be before the next.
fn without_underscores(text: &str, start: usize, end: usize) -> (usize, usize) {
    let found = &text[start..end];
    (start + usize::from(found.starts_with('_')), end - usize::from(found.ends_with('_')))
}

/// Whether what was found is what it looks like, by what no pattern says.
fn is_one(kind: Kind, text: &str, start: usize, end: usize) -> bool {
    let found = &text[start..end];
    let is_word = |char: Option<char>| char.is_some_and(char::is_alphanumeric);
    let has_digit = || found.bytes().any(|byte| byte.is_ascii_digit());
    match kind {
        // An apostrophe, as in "can't", begins and ends nothing.
        Kind::Quoted => !is_word(text[..start].chars().next_back()) && !is_word(text[end..].chars().next()),
        // "defaced" and `ab::cd` are words.
        Kind::Hex | Kind::Address => has_digit(),
        // Every fourth hash of 8 characters in base64 has no digit.
        Kind::Hash => has_digit() || has_odd_capital(found.split('.').rev().nth(1).unwrap_or_default()),
        // "and/or/else".
        Kind::Path => !is_word(text[..start].chars().next_back()),
        Kind::Url | Kind::Email | Kind::Uuid | Kind::Date | Kind::Number => true,
    }
}

/// Whether a capital letter is where none begins a word, as in "HomePage": of 8 letters at random, 19 times of 20.
fn has_odd_capital(letters: &str) -> bool {
    let begins_word = |at: usize| {
        letters.as_bytes().get(at + 1..at + 3).is_some_and(|next| next.iter().all(u8::is_ascii_lowercase))
    };
    // At the end of a word they are an acronym, as in "parseXML".
    let word = letters.trim_end_matches(|letter: char| letter.is_ascii_uppercase());
    let letters = if word.bytes().any(|byte| byte.is_ascii_lowercase()) { word } else { letters };
    letters.bytes().enumerate().any(|(at, byte)| byte.is_ascii_uppercase() && !begins_word(at))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_differs_from_event_to_event_is_taken_out_of_texts() {
        for (text, expected) in [
            ("user 17 not found", "user <number> not found"),
            ("took 12.5ms, 1,000 rows, 1e-9", "took <number>ms, <number> rows, <number>"),
            ("object at 0x7f3a9c, ptr_0x7f3a", "object at <hex>, ptr_<hex>"),
            ("Invoice inv_9f86d081884c7d65 not found", "Invoice inv_<hex> not found"),
            ("order_0195f3a2-7d4c-7e2a-b1c9-0a1b2c3d4e5f_v2", "order_<uuid>_v<number>"),
            ("_9f86d081_3f2a9c1b_, the_defacade_3f2a9c1b", "_<hex>_<hex>_, the_defacade_<hex>"),
            ("commit 9f86d081884c7d65 failed", "commit <hex> failed"),
            ("the facade is defaced: feedface", "the facade is defaced: feedface"),
            ("order 0195f3a2-7d4c-7e2a-b1c9-0a1b2c3d4e5f", "order <uuid>"),
            ("key 'a b' of \"c\" in `d`", "key <quoted> of <quoted> in <quoted>"),
            ("can't open 'x', it doesn't exist", "can't open <quoted>, it doesn't exist"),
            ("at 2026-11-21T10:20:30.123Z and 2026-11-21 10:20", "at <date> and <date>"),
            ("expired Sat, 21 Nov 2026 10:20:30 GMT", "expired <date>"),
            (
                "since Sat Nov 21 10:20:30 2026 or 21/11/2026 or 10:20:30,5",
                "since <date> or <date> or <date>",
            ),
            ("10.0.0.7:5432 refused, fe80::1%eth0 too, ::1", "<address> refused, <address> too, <address>"),
            ("from 00:1b:44:11:3a:b7", "from <address>"),
            ("std::io::Error in abc::def", "std::io::Error in abc::def"),
            ("mail to ada+1@example.com bounced", "mail to <email> bounced"),
            ("GET https://example.com/a/b?c=1 (404)", "GET <url> (<number>)"),
            ("open /var/lib/x/y.db: no such file", "open <path>: no such file"),
            (r"open C:\Users\ada\x.txt or ~/x/y", "open <path> or <path>"),
            ("and/or/else", "and/or/else"),
            ("GET api/v1/users/17/orders", "GET api/v<number>/users/<number>/orders"),
            ("Zeile «7» für Löwe7ß'", "Zeile «<number>» für Löwe<number>ß'"),
            ("", ""),
        ] {
            assert_eq!(of_text(text), expected, "{text}");
        }
    }

    #[test]
    fn what_differs_from_build_to_build_is_taken_out_of_names() {
        for (name, expected) in [
            ("handler_v2", "handler_v2"),
            ("core::ops::call_once::h0123456789abcdef", "core::ops::call_once::<hex>"),
            ("Main$$Lambda$14/0x0000000800c8", "Main$$Lambda<number>/<hex>"),
            ("render.<lambda>", "render.<lambda>"),
            ("anonymous_12", "<number>"),
            ("job_0195f3a2-7d4c-7e2a-b1c9-0a1b2c3d4e5f", "job_<uuid>"),
        ] {
            assert_eq!(of_symbol(name), expected, "{name}");
        }
        for (name, expected) in [
            ("app/views.py", "app/views.py"),
            (r"app\views.py", "app/views.py"),
            ("app:///static/main.3f2a9c1b.js?v=3", "app:///static/main<hex>"),
            ("/assets/index-BX7dk2Pq.js", "/assets/index<hex>"),
            ("/assets/index-BXqdkQPq.js", "/assets/index<hex>"),
            ("/assets/chunk-QWERTYUI.mjs", "/assets/chunk<hex>"),
            ("/assets/index.a_BcdE-f.css", "/assets/index<hex>"),
            ("index-HomePage.js", "index-HomePage.js"),
            ("utils-parseXML.js", "utils-parseXML.js"),
            ("index.useQuery.js", "index.useQuery.js"),
            ("jquery-datepick.js", "jquery-datepick.js"),
            ("index-BXqdkQPq.ts", "index-BXqdkQPq.ts"),
            ("/assets/chunk_3f2a9c1b.js", "/assets/chunk_<hex>.js"),
            ("lib/foo-1.2.3/x2.rb", "lib/foo-<number>/x2.rb"),
            ("/srv/releases/20261121102030/app.rb", "/srv/releases/<hex>/app.rb"),
        ] {
            assert_eq!(of_file(name), expected, "{name}");
        }
    }

    #[test]
    fn only_the_beginning_of_what_is_long_tells() {
        let long = |unit: &str, end: &str| format!("{}{end}", unit.repeat(2000));
        assert_eq!(of_text(&long("g1", "a")), of_text(&long("g1", "b")));
        assert_eq!(of_symbol(&long("12345abcdef", "a")), of_symbol(&long("12345abcdef", "b")));
        assert_eq!(of_file(&long("ü/", "a")), of_file(&long("ü/", "b")));
    }

    proptest! {
        #[test]
        fn any_text_can_be_replaced_in(text in any::<String>()) {
            for replaced in [of_text(&text), of_symbol(&text), of_file(&text)] {
                // A placeholder is at most 8 times as long as what it stands for.
                prop_assert!(replaced.len() <= 9 * text.len());
            }
        }

        #[test]
        fn texts_that_differ_only_in_a_number_are_one(before in "[a-z =:]{0,20}", a: u64, b: u64, after in "[ a-z]{0,20}") {
            let text = |number: u64| of_text(&format!("{before} {number} {after}"));
            prop_assert_eq!(text(a), text(b));
        }
    }
}
