//! A reader of JSON (RFC 8259): one pass over the text, in which most of an event is checked and nothing more. Before
//! `serde_json` there had to be three others, for its depth and for what it refuses to read; together they took 3 µs more for
//! an event of 4.8 KB, of the 36 that the writer took for it.
//!
//! Two things JSON may hold although hardly anything can read them. They are mended where they are met, in what is read and in
//! what is stored:
//! - halves of a character, as JavaScript leaves them where a text was cut in the middle of an emoji: escapes of lone
//!   surrogates become U+FFFD, which stands for what cannot be told;
//! - numbers beyond all floating-point numbers, such as `1e400`: they become strings of the same digits.

use std::{borrow::Cow, ops::Range};

/// The most characters of a number that is surely within all number types, when it has no exponent.
const MAX_PLAIN_NUMBER: usize = 300;
/// What stands for half a character.
const REPLACEMENT: &str = "fffd";

/// Why a text cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum ReadError {
    /// Arrays and objects stand in each other more than so many levels deep.
    #[error("is nested deeper than {0} levels")]
    TooDeep(usize),
    /// It is no JSON.
    #[error("cannot be read as JSON: {expected} was expected at line {line} column {column}")]
    Syntax {
        /// What should be there.
        expected: &'static str,
        /// Counted from 1.
        line: usize,
        /// In bytes, counted from 1.
        column: usize,
    },
}

/// A number, or what would be one if any type could hold it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Number<'a> {
    /// Its digits.
    Finite(&'a str),
    /// Its digits.
    TooLarge(&'a str),
}

/// See the [module](self).
#[derive(Debug)]
pub(super) struct Reader<'a> {
    json: &'a str,
    /// In bytes; never within a character, since it moves past those alone that were looked at, nor beyond the end.
    at: usize,
    depth: usize,
    max_depth: usize,
    /// The text as it is to be stored, as far as it is `copied`; empty as long as nothing was mended.
    mended: String,
    copied: usize,
}

impl<'a> Reader<'a> {
    /// A reader of a text that has at most `max_depth` levels.
    pub(super) fn new(json: &'a str, max_depth: usize) -> Self {
        Self { json, at: 0, depth: 0, max_depth, mended: String::new(), copied: 0 }
    }

    /// The byte that the next value, or whatever else is next, begins with.
    pub(super) fn peek(&mut self) -> Option<u8> {
        loop {
            match self.byte() {
                Some(b' ' | b'\n' | b'\t' | b'\r') => self.at += 1,
                other => return other,
            }
        }
    }

    /// Reads an object. `member` is given each name, and is to read the value.
    pub(super) fn object(
        &mut self,
        mut member: impl FnMut(&mut Self, Cow<'a, str>) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        self.list(b'}', "a `,` or `}`", |this| {
            if this.peek() != Some(b'"') {
                return Err(this.missing("a name in quotation marks"));
            }
            let name = this.string()?;
            if this.peek() != Some(b':') {
                return Err(this.missing("a `:`"));
            }
            this.at += 1;
            member(this, name)
        })
    }

    /// Reads an array. `item` is to read one item each time.
    pub(super) fn array(
        &mut self,
        item: impl FnMut(&mut Self) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        self.list(b']', "a `,` or `]`", item)
    }

    /// Reads what begins here with a bracket, has commas, and ends with `end`.
    fn list(
        &mut self,
        end: u8,
        expected: &'static str,
        mut item: impl FnMut(&mut Self) -> Result<(), ReadError>,
    ) -> Result<(), ReadError> {
        self.at += 1;
        self.depth += 1;
        if self.depth > self.max_depth {
            return Err(ReadError::TooDeep(self.max_depth));
        }
        if self.peek() == Some(end) {
            self.at += 1;
        } else {
            loop {
                item(self)?;
                match self.peek() {
                    Some(b',') => self.at += 1,
                    Some(byte) if byte == end => {
                        self.at += 1;
                        break;
                    }
                    _ => return Err(self.missing(expected)),
                }
            }
        }
        self.depth -= 1;
        Ok(())
    }

    /// Reads a string, borrowed where it holds no escape.
    pub(super) fn string(&mut self) -> Result<Cow<'a, str>, ReadError> {
        let start = self.at + 1;
        self.at = self.special_from(start);
        if self.byte() == Some(b'"') {
            self.at += 1;
            return Ok(Cow::Borrowed(&self.json[start..self.at - 1]));
        }
        let mut text = self.json[start..self.at].to_owned();
        while !self.ends_string()? {
            text.push(self.escape()?);
            let plain = self.at;
            self.at = self.special_from(plain);
            text.push_str(&self.json[plain..self.at]);
        }
        Ok(Cow::Owned(text))
    }

    /// Reads a number.
    pub(super) fn number(&mut self) -> Result<Number<'a>, ReadError> {
        let start = self.at;
        self.at += usize::from(self.byte() == Some(b'-'));
        if self.byte() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.byte() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        let has_exponent = matches!(self.byte(), Some(b'e' | b'E'));
        if has_exponent {
            self.at += 1;
            self.at += usize::from(matches!(self.byte(), Some(b'+' | b'-')));
            self.digits()?;
        }
        let digits = &self.json[start..self.at];
        let may_be_too_large = has_exponent || digits.len() > MAX_PLAIN_NUMBER;
        if may_be_too_large && digits.parse::<f64>().is_ok_and(f64::is_infinite) {
            self.mend(start..self.at, &["\"", digits, "\""]);
            return Ok(Number::TooLarge(digits));
        }
        Ok(Number::Finite(digits))
    }

    /// Reads one of the words that are values.
    pub(super) fn word(&mut self, word: &str) -> Result<(), ReadError> {
        if !self.json.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            return Err(self.missing("a value"));
        }
        self.at += word.len();
        Ok(())
    }

    /// Reads a value of which nothing is kept.
    pub(super) fn skip(&mut self) -> Result<(), ReadError> {
        match self.peek() {
            Some(b'"') => {
                self.at = self.special_from(self.at + 1);
                while !self.ends_string()? {
                    self.escape()?;
                    self.at = self.special_from(self.at);
                }
                Ok(())
            }
            Some(b'{') => self.object(|this, _| this.skip()),
            Some(b'[') => self.array(Self::skip),
            Some(b't') => self.word("true"),
            Some(b'f') => self.word("false"),
            Some(b'n') => self.word("null"),
            Some(b'-' | b'0'..=b'9') => self.number().map(drop),
            _ => Err(self.missing("a value")),
        }
    }

    /// Ends the text: only white space may be left. Gives it as it is to be stored, if it is to be another.
    pub(super) fn end(mut self) -> Result<Option<String>, ReadError> {
        if self.peek().is_some() {
            return Err(self.missing("the end"));
        }
        if self.copied == 0 {
            return Ok(None);
        }
        self.mended.push_str(&self.json[self.copied..]);
        Ok(Some(self.mended))
    }

    /// Has a part of the text stored as something else.
    fn mend(&mut self, part: Range<usize>, stored: &[&str]) {
        self.mended.push_str(&self.json[self.copied..part.start]);
        self.mended.extend(stored.iter().copied());
        self.copied = part.end;
    }

    /// That something is missing here.
    pub(super) fn missing(&self, expected: &'static str) -> ReadError {
        let before = &self.json.as_bytes()[..self.at.min(self.json.len())];
        let line_at = memchr::memrchr(b'\n', before).map_or(0, |at| at + 1);
        let line = 1 + memchr::memchr_iter(b'\n', before).count();
        ReadError::Syntax { expected, line, column: before.len() - line_at + 1 }
    }

    fn byte(&self) -> Option<u8> {
        self.json.as_bytes().get(self.at).copied()
    }

    /// At least one digit.
    fn digits(&mut self) -> Result<(), ReadError> {
        let rest = &self.json.as_bytes()[self.at..];
        let count = rest.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(rest.len());
        self.at += count;
        if count == 0 { Err(self.missing("a digit")) } else { Ok(()) }
    }

    /// Whether the string ends here, and nothing stands here that a string cannot hold.
    fn ends_string(&mut self) -> Result<bool, ReadError> {
        match self.byte() {
            Some(b'"') => {
                self.at += 1;
                Ok(true)
            }
            Some(b'\\') => Ok(false),
            Some(_) => Err(self.missing("a string without unescaped control characters")),
            None => Err(self.missing("the end of a string")),
        }
    }

    /// Reads an escape.
    fn escape(&mut self) -> Result<char, ReadError> {
        self.at += 1;
        let char = match self.byte() {
            Some(byte @ (b'"' | b'\\' | b'/')) => char::from(byte),
            Some(b'b') => '\u{8}',
            Some(b'f') => '\u{c}',
            Some(b'n') => '\n',
            Some(b'r') => '\r',
            Some(b't') => '\t',
            Some(b'u') => return self.unicode_escape(),
            _ => return Err(self.missing("a character that can be escaped")),
        };
        self.at += 1;
        Ok(char)
    }

    /// Reads the `uXXXX` of an escape, and that of the surrogate's other half if it is one.
    fn unicode_escape(&mut self) -> Result<char, ReadError> {
        let digits = self.at + 1..self.at + 5;
        let Some(unit) = self.unit(digits.clone()) else {
            return Err(self.missing("the four hexadecimal digits of an escape"));
        };
        self.at = digits.end;
        let is_escape = self.json.as_bytes()[self.at..].starts_with(b"\\u");
        let next = if is_escape { self.unit(self.at + 2..self.at + 6) } else { None };
        if let Some(Ok(char)) = char::decode_utf16([unit].into_iter().chain(next)).next() {
            self.at += if char.len_utf16() == 2 { 6 } else { 0 };
            Ok(char)
        } else {
            self.mend(digits, &[REPLACEMENT]);
            Ok(char::REPLACEMENT_CHARACTER)
        }
    }

    /// The number that four hexadecimal digits are.
    fn unit(&self, digits: Range<usize>) -> Option<u16> {
        let digits = self.json.as_bytes().get(digits)?;
        let add = |value: u32, digit: &u8| Some(value << 4 | char::from(*digit).to_digit(16)?);
        digits.iter().try_fold(0, add).and_then(|value| u16::try_from(value).ok())
    }

    /// Where, from a place on, the next quotation mark, backslash or control character is; the end if there is none.
    fn special_from(&self, mut at: usize) -> usize {
        let bytes = self.json.as_bytes();
        while let Some(word) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
            let found = specials(u64::from_le_bytes(*word));
            if found != 0 {
                // A word has eight bytes.
                return at + (found.trailing_zeros() / 8) as usize;
            }
            at += word.len();
        }
        let is_special = |byte: &u8| matches!(byte, b'"' | b'\\' | ..b' ');
        let rest = bytes.get(at..).unwrap_or_default();
        rest.iter().position(is_special).map_or(bytes.len(), |place| at + place)
    }
}

/// Eight bytes at a time: the lowest bit that is set is the highest of the first byte that is a quotation mark, a backslash or
/// a control character.
fn specials(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 255;
    const HIGHEST: u64 = ONES << 7;
    // What is borrowed from the next byte spoils only those above the first one.
    let below = |word: u64, limit: u64| word.wrapping_sub(ONES * limit) & !word & HIGHEST;
    let equal = |byte: u8| below(word ^ (ONES * u64::from(byte)), 1);
    below(word, 0x20) | equal(b'"') | equal(b'\\')
}

#[cfg(test)]
mod tests;
