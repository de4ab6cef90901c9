//! E-mail addresses.

use mesher_common::status::Violation;
use unicode_normalization::UnicodeNormalization as _;

/// The most characters in an address (RFC 5321, 4.5.3.1.3, less the angle brackets).
pub const MAX_EMAIL: usize = 254;

/// An e-mail address, as its owner writes it, in Unicode's form NFKC: full-width letters, ligatures and the like are what
/// they stand for. Upper and lower case are the same: the database compares it so.
///
/// Only what cannot be an address is refused, and what cannot be seen; whether one exists, only a letter to it would tell.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::Type)]
#[sqlx(transparent)]
pub struct Email(String);

impl Email {
    /// Checks the address that `field` of a request holds.
    pub fn parse(field: &'static str, text: &str) -> Result<Self, Violation> {
        let text = text.trim();
        if text.is_empty() {
            return Err(Violation::new(field, "is empty"));
        }
        let long = || Violation::new(field, format!("has more than {MAX_EMAIL} characters"));
        if text.chars().nth(MAX_EMAIL).is_some() {
            return Err(long());
        }
        let text: String = text.nfkc().collect();
        if text.chars().nth(MAX_EMAIL).is_some() {
            return Err(long());
        }
        if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(Violation::new(field, "has white space or a control character"));
        }
        if text.chars().any(is_invisible) {
            return Err(Violation::new(field, "has a character that cannot be seen"));
        }
        match text.split_once('@') {
            Some((local, domain)) if !local.is_empty() && !domain.is_empty() && !domain.contains('@') => {
                Ok(Self(text))
            }
            _ => Err(Violation::new(field, "is not of the form NAME@DOMAIN")),
        }
    }

    /// The address.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The part before the @.
    pub fn local_part(&self) -> &str {
        self.0.split_once('@').map_or(&self.0, |(local, _)| local)
    }

    /// Whether `text` is this address, but for its case, the form of its characters and white space around it.
    pub fn is_same(&self, text: &str) -> bool {
        text.trim().nfkc().collect::<String>().to_lowercase() == self.0.to_lowercase()
    }
}

/// The address by which somebody names an account that may be there: their own, or another's. What cannot be registered now may
/// have been before, so nothing is refused but what no account was ever registered with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    email: Email,
    written: String,
}

impl Address {
    /// Checks the address that `field` of a request holds.
    pub fn parse(field: &'static str, text: &str) -> Result<Self, Violation> {
        let text = text.trim();
        if text.is_empty() {
            return Err(Violation::new(field, "is empty"));
        }
        if text.chars().nth(MAX_EMAIL).is_some() {
            return Err(Violation::new(field, format!("has more than {MAX_EMAIL} characters")));
        }
        if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(Violation::new(field, "has white space or a control character"));
        }
        let email: String = text.nfkc().collect();
        if !email.contains('@') {
            return Err(Violation::new(field, "is not of the form NAME@DOMAIN"));
        }
        Ok(Self { email: Email(email), written: text.to_owned() })
    }

    /// The address, as new ones are kept: in the form NFKC.
    pub fn email(&self) -> &Email {
        &self.email
    }

    /// The address as it was written, by which accounts of before are told apart.
    pub fn written(&self) -> &str {
        &self.written
    }
}

impl From<&Email> for Address {
    fn from(email: &Email) -> Self {
        Self { email: Email(email.0.nfkc().collect()), written: email.0.clone() }
    }
}

/// Whether a character has no shape of its own, so that an address with it looks like one without: Unicode's default
/// ignorable ones.
fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fff8}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

#[cfg(test)]
mod tests {
    use super::{Address, Email};

    #[test]
    fn only_what_cannot_be_an_address_is_refused() {
        for right in ["a@b", "A.B+c@example.com", " ü@exämple.de "] {
            assert!(Email::parse("email", right).is_ok(), "{right:?}");
        }
        for wrong in ["", "a", "@b", "a@", "a@b@c", "a b@c", "a@b\u{0}", &format!("{}@b", "x".repeat(253))] {
            assert!(Email::parse("email", wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn what_looks_the_same_is_the_same_or_refused() {
        // Full-width letters, an at sign of that kind, a ligature, a decomposed umlaut.
        for (written, meant) in [
            ("ａｄａ@example.com", "ada@example.com"),
            ("ada＠example.com", "ada@example.com"),
            ("ﬁona@example.com", "fiona@example.com"),
            ("u\u{308}@example.com", "ü@example.com"),
        ] {
            assert_eq!(Email::parse("email", written).unwrap().as_str(), meant);
        }
        for wrong in ["a\u{200b}da@example.com", "a\u{ad}da@example.com", "\u{202e}ada@example.com", "a＠b@c"]
        {
            assert!(Email::parse("email", wrong).is_err(), "{wrong:?}");
        }
        // An account of before may have it: whoever names one gets as far as to be told that there is none.
        let address = Address::parse("email", " a\u{200b}dａ@example.com").unwrap();
        assert_eq!(address.email().as_str(), "a\u{200b}da@example.com");
        assert_eq!(address.written(), "a\u{200b}dａ@example.com");
        for wrong in ["", "a", "a b@c", "a\0@b", &"@".repeat(255)] {
            assert!(Address::parse("email", wrong).is_err(), "{wrong:?}");
        }
        // Each letter may be several characters in this form.
        assert!(Email::parse("email", &format!("{}@b", "\u{fdfa}".repeat(100))).is_err());
    }
}
