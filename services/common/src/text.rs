//! Texts that people give: names and slugs, checked once, here.

use std::fmt;

use crate::status::Violation;

/// The most characters in a name.
pub const MAX_NAME: usize = 100;
/// The most characters in a slug.
pub const MAX_SLUG: usize = 50;

/// What people call a thing: 1 to [`MAX_NAME`] characters without control characters, no white space at its ends.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::Type)]
#[sqlx(transparent)]
pub struct Name(String);

impl Name {
    /// Checks the name that `field` of a request holds.
    pub fn parse(field: &'static str, text: &str) -> Result<Self, Violation> {
        let text = text.trim();
        if text.is_empty() {
            return Err(Violation::new(field, "is empty"));
        }
        let length = text.chars().count();
        if length > MAX_NAME {
            return Err(Violation::new(field, format!("has {length} characters; {MAX_NAME} are allowed")));
        }
        if text.chars().any(char::is_control) {
            return Err(Violation::new(field, "has a control character"));
        }
        Ok(Self(text.to_owned()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A name in addresses: 1 to [`MAX_SLUG`] of `a-z`, `0-9` and inner hyphens.
#[derive(Clone, Debug, PartialEq, Eq, sqlx::Type)]
#[sqlx(transparent)]
pub struct Slug(String);

impl Slug {
    /// Checks the slug that `field` of a request holds.
    pub fn parse(field: &'static str, text: &str) -> Result<Self, Violation> {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if text.is_empty() || text.len() > MAX_SLUG {
            return Err(Violation::new(field, format!("must have 1 to {MAX_SLUG} characters")));
        }
        if !text.chars().all(allowed) || text.starts_with('-') || text.ends_with('-') {
            return Err(Violation::new(
                field,
                "may hold only a-z, 0-9 and hyphens, and no hyphen at its ends",
            ));
        }
        Ok(Self(text.to_owned()))
    }

    /// The slug that `field` holds, or one made from `name` where it is empty.
    pub fn parse_or_derive(field: &'static str, text: &str, name: &Name) -> Result<Self, Violation> {
        if !text.is_empty() {
            return Self::parse(field, text);
        }
        let mut slug = String::new();
        for c in name.as_str().chars() {
            if slug.len() == MAX_SLUG {
                break;
            }
            match c.to_ascii_lowercase() {
                c if c.is_ascii_alphanumeric() => slug.push(c),
                _ if slug.is_empty() || slug.ends_with('-') => {}
                _ => slug.push('-'),
            }
        }
        Self::parse(field, slug.trim_end_matches('-'))
            .map_err(|_| Violation::new(field, "cannot be made from the name: give one"))
    }

    /// The slug.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Slug {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::{Name, Slug};

    #[test]
    fn names_are_trimmed_and_bounded_in_characters_not_bytes() {
        assert_eq!(Name::parse("name", "  Ünïcode  ").unwrap().as_str(), "Ünïcode");
        assert!(Name::parse("name", &"ü".repeat(100)).is_ok());
        for wrong in ["", "   ", &"x".repeat(101), "a\u{0}b", "a\nb"] {
            assert!(Name::parse("name", wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn slugs_are_checked_or_made_from_the_name() {
        assert!(Slug::parse("slug", "web-shop-2").is_ok());
        for wrong in ["", "Web", "a b", "-a", "a-", "ü", &"x".repeat(51)] {
            assert!(Slug::parse("slug", wrong).is_err(), "{wrong:?}");
        }
        let derive = |name: &str| Slug::parse_or_derive("slug", "", &Name::parse("name", name).unwrap());
        assert_eq!(derive(" The  Web Shop! ").unwrap().as_str(), "the-web-shop");
        assert_eq!(derive(&"ab ".repeat(30)).unwrap().as_str().len(), 50);
        assert!(derive("日本").is_err());
    }
}
