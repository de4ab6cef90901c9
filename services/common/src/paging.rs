//! Pages of lists: how many, and from where on. Lists run from the newest to the oldest.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Datelike as _, Utc};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::status::Violation;

/// How many there are on a page when the request does not say.
pub const DEFAULT_PAGE_SIZE: i32 = 50;
/// The most on a page; a larger wish gets this many.
pub const MAX_PAGE_SIZE: i32 = 1000;

const CURSOR_BYTES: usize = 24;
const CHECK_BYTES: usize = 8;

/// A place in a list: the entry that the page before ended with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cursor {
    /// The time that the list is ordered by.
    pub time: DateTime<Utc>,
    /// The id that orders entries of the same time.
    pub id: Uuid,
}

/// A page that was asked for.
#[derive(Clone, Debug)]
pub struct Page {
    scope: String,
    size: i32,
    after: Option<Cursor>,
}

impl Page {
    /// Reads `page_size` and `page_token` of a request. `scope` names the list with everything that makes it
    /// another list, such as its parent: a token of one list is not taken for another's.
    pub fn parse(scope: impl Into<String>, page_size: i32, page_token: &str) -> Result<Self, Violation> {
        let scope = scope.into();
        let size = match page_size {
            0 => DEFAULT_PAGE_SIZE,
            size if size < 0 => return Err(Violation::new("page_size", "is negative")),
            size => size.min(MAX_PAGE_SIZE),
        };
        let after = match page_token {
            "" => None,
            token => Some(decode(&scope, token).ok_or_else(|| {
                Violation::new("page_token", "is not the next_page_token of an earlier page of this list")
            })?),
        };
        Ok(Self { scope, size, after })
    }

    /// How many rows to read: one more than the page holds, to see whether there is another page.
    pub fn limit(&self) -> i64 {
        i64::from(self.size) + 1
    }

    /// The time of the entry to go on after; `None` on the first page.
    pub fn after_time(&self) -> Option<DateTime<Utc>> {
        self.after.map(|cursor| cursor.time)
    }

    /// The id of the entry to go on after; `None` on the first page.
    pub fn after_id(&self) -> Option<Uuid> {
        self.after.map(|cursor| cursor.id)
    }

    /// Cuts what was read down to the page, and gives the next page's token: empty if there is none.
    pub fn finish<T>(&self, rows: &mut Vec<T>, cursor: impl Fn(&T) -> Cursor) -> String {
        let size = usize::try_from(self.size).unwrap_or(0);
        if rows.len() <= size {
            return String::new();
        }
        rows.truncate(size);
        rows.last().map(|last| encode(&self.scope, cursor(last))).unwrap_or_default()
    }
}

fn encode(scope: &str, cursor: Cursor) -> String {
    let mut bytes = Vec::with_capacity(CURSOR_BYTES + CHECK_BYTES);
    bytes.extend(cursor.time.timestamp_micros().to_be_bytes());
    bytes.extend(cursor.id.as_bytes());
    bytes.extend(check(scope, &bytes));
    URL_SAFE_NO_PAD.encode(bytes)
}

fn decode(scope: &str, token: &str) -> Option<Cursor> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
    let (cursor, found) = bytes.split_at_checked(CURSOR_BYTES)?;
    if found != check(scope, cursor) {
        return None;
    }
    let (micros, id) = cursor.split_at_checked(8)?;
    let time = DateTime::from_timestamp_micros(i64::from_be_bytes(micros.try_into().ok()?))?;
    // Nothing is older than Mesher, and PostgreSQL's range ends elsewhere than chrono's.
    if !(1970..=9999).contains(&time.year()) {
        return None;
    }
    Some(Cursor { time, id: Uuid::from_slice(id).ok()? })
}

/// Tells a token from what somebody made up. It is no secret: whoever computes it gets no further than the list,
/// which the caller may read anyway.
fn check(scope: &str, cursor: &[u8]) -> [u8; CHECK_BYTES] {
    let digest = Sha256::new().chain_update(scope).chain_update([0]).chain_update(cursor).finalize();
    let mut check = [0; CHECK_BYTES];
    check.copy_from_slice(&digest[..CHECK_BYTES]);
    check
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cursor(n: i64) -> Cursor {
        Cursor {
            time: DateTime::from_timestamp_micros(n).unwrap(),
            id: Uuid::from_u128(n.unsigned_abs().into()),
        }
    }

    #[test]
    fn a_page_goes_on_where_the_one_before_ended() {
        let first = Page::parse("ListOrgs", 2, "").unwrap();
        assert_eq!((first.limit(), first.after_id()), (3, None));
        let mut rows = vec![5, 4, 3];
        let token = first.finish(&mut rows, |n| cursor(*n));
        assert_eq!(rows, [5, 4]);
        let second = Page::parse("ListOrgs", 2, &token).unwrap();
        assert_eq!(second.after, Some(cursor(4)));
        assert_eq!(second.finish(&mut vec![3], |n| cursor(*n)), "");
    }

    #[test]
    fn sizes_are_defaulted_capped_and_never_negative() {
        assert_eq!(Page::parse("x", 0, "").unwrap().limit(), 51);
        assert_eq!(Page::parse("x", i32::MAX, "").unwrap().limit(), 1001);
        assert_eq!(Page::parse("x", -1, "").unwrap_err().field, "page_size");
    }

    #[test]
    fn forged_tokens_and_those_of_other_lists_are_refused() {
        let token = encode("ListProjects/a", cursor(7));
        assert!(Page::parse("ListProjects/a", 0, &token).is_ok());
        let mut forged = URL_SAFE_NO_PAD.decode(&token).unwrap();
        forged[3] ^= 1;
        let forged = URL_SAFE_NO_PAD.encode(forged);
        // One whose check is right, of a time that no entry has.
        let ancient = encode("x", cursor(-6_000_000_000_000_000_000));
        assert!(Page::parse("x", 0, &ancient).is_err());
        for (scope, token) in [
            ("ListProjects/b", token.as_str()),
            ("ListProjects/a", &forged),
            ("ListProjects/a", "1"),
            ("x", "%"),
        ] {
            assert_eq!(Page::parse(scope, 0, token).unwrap_err().field, "page_token", "{scope} {token}");
        }
    }
}
