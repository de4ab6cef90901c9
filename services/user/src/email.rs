//! E-mail addresses.

use mesher_common::status::Violation;

/// The most characters in an address (RFC 5321, 4.5.3.1.3, less the angle brackets).
pub const MAX_EMAIL: usize = 254;

/// An e-mail address, as its owner writes it. Upper and lower case are the same: the database compares it so.
///
/// Only what cannot be an address is refused; whether one exists, only a letter to it would tell.
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
        if text.chars().count() > MAX_EMAIL {
            return Err(Violation::new(field, format!("has more than {MAX_EMAIL} characters")));
        }
        if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(Violation::new(field, "has white space or a control character"));
        }
        match text.split_once('@') {
            Some((local, domain)) if !local.is_empty() && !domain.is_empty() && !domain.contains('@') => {
                Ok(Self(text.to_owned()))
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
}

#[cfg(test)]
mod tests {
    use super::Email;

    #[test]
    fn only_what_cannot_be_an_address_is_refused() {
        for right in ["a@b", "A.B+c@example.com", " ü@exämple.de "] {
            assert!(Email::parse("email", right).is_ok(), "{right:?}");
        }
        for wrong in ["", "a", "@b", "a@", "a@b@c", "a b@c", "a@b\u{0}", &format!("{}@b", "x".repeat(253))] {
            assert!(Email::parse("email", wrong).is_err(), "{wrong:?}");
        }
    }
}
