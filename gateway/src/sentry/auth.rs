//! Where SDKs put the key of their project. The first place that has something counts.
//!
//! 1. `X-Sentry-Auth: Sentry sentry_key=KEY, …`
//! 2. `Authorization: Sentry sentry_key=KEY, …`
//! 3. `?sentry_key=KEY`
//! 4. the `dsn` in an envelope's header: `https://KEY@HOST/NUMBER`

use http::{HeaderMap, HeaderValue, header};
use mesher_common::status;
use percent_encoding::percent_decode_str;
use tonic::Status;

const SENTRY_AUTH: &str = "x-sentry-auth";
const SCHEME: &str = "sentry";
const KEY: &str = "sentry_key";

/// The key in a request's headers or query, if there is one.
pub(crate) fn key(headers: &HeaderMap, query: Option<&str>) -> Result<Option<String>, Status> {
    if let Some(value) = one(headers, SENTRY_AUTH)? {
        return key_in_header(value, false).map(Some);
    }
    if let Some(value) = one(headers, header::AUTHORIZATION.as_str())?
        && has_scheme(value)
    {
        return key_in_header(value, true).map(Some);
    }
    key_in_query(query.unwrap_or_default())
}

/// No key came with the request.
pub(crate) fn missing() -> Status {
    status::credentials_missing(
        "a key is needed: sentry_key in X-Sentry-Auth, in Authorization or in the query, or a DSN in the envelope",
    )
}

/// The key in a DSN.
pub(crate) fn key_in_dsn(dsn: &str) -> Result<String, Status> {
    let user = dsn.split_once("://").and_then(|(_, rest)| rest.split_once('@')).map(|(user, _)| user);
    // Before there were public keys alone, a secret came behind them.
    let key = user.map(|user| user.split_once(':').map_or(user, |(key, _)| key));
    match key {
        Some(key) if !key.is_empty() && !key.contains('/') => Ok(key.to_owned()),
        _ => Err(status::credentials_missing(
            "the dsn in the envelope's header is not https://KEY@HOST/PROJECT",
        )),
    }
}

/// Refuses a key with characters that none has.
pub(super) fn check(key: &str) -> Result<(), Status> {
    if key.bytes().all(|byte| byte.is_ascii_graphic() || byte == b' ') {
        Ok(())
    } else {
        Err(status::credentials_missing("the key has characters that no key has"))
    }
}

fn one<'h>(headers: &'h HeaderMap, name: &str) -> Result<Option<&'h HeaderValue>, Status> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (value, None) => Ok(value),
        _ => Err(status::credentials_missing(format!("the header {name} is given twice"))),
    }
}

fn has_scheme(value: &HeaderValue) -> bool {
    let value = value.as_bytes().trim_ascii_start();
    let (scheme, rest) = value.split_at(value.len().min(SCHEME.len()));
    scheme.eq_ignore_ascii_case(SCHEME.as_bytes()) && rest.first().is_none_or(u8::is_ascii_whitespace)
}

fn key_in_header(value: &HeaderValue, scheme_seen: bool) -> Result<String, Status> {
    let unreadable =
        || status::credentials_missing("the key cannot be read: give `Sentry sentry_key=KEY, …`");
    let text = value.to_str().map_err(|_| unreadable())?.trim();
    let fields = if scheme_seen || has_scheme(value) { text.get(SCHEME.len()..) } else { Some(text) };
    let mut keys = fields
        .unwrap_or_default()
        .split([',', ' '])
        .filter_map(|field| field.split_once('='))
        .filter(|(name, key)| *name == KEY && !key.is_empty());
    match (keys.next(), keys.next()) {
        (Some((_, key)), None) => Ok(key.to_owned()),
        _ => Err(unreadable()),
    }
}

fn key_in_query(query: &str) -> Result<Option<String>, Status> {
    let mut keys =
        query.split('&').filter_map(|parameter| parameter.split_once('=')).filter(|(name, _)| *name == KEY);
    match (keys.next(), keys.next()) {
        (None, _) => Ok(None),
        (Some((_, key)), None) => match percent_decode_str(key).decode_utf8() {
            Ok(key) if !key.is_empty() => Ok(Some(key.into_owned())),
            _ => Err(status::credentials_missing("the sentry_key in the query cannot be read")),
        },
        (Some(_), Some(_)) => Err(status::credentials_missing("the query has sentry_key twice")),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use super::{key, key_in_dsn};

    fn found(headers: &[(&'static str, &str)], query: &str) -> Result<Option<String>, String> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, value.parse().unwrap());
        }
        key(&map, Some(query)).map_err(|status| status.message().to_owned())
    }

    #[test]
    fn the_first_place_that_has_something_counts() {
        let auth = "Sentry sentry_version=7, sentry_client=sentry.python/2.75.0, sentry_key=mshr_a";
        for (headers, query, expected) in [
            (vec![("x-sentry-auth", auth)], "", "mshr_a"),
            (
                vec![("x-sentry-auth", "sentry sentry_key=mshr_a,sentry_secret=s,sentry_version=6")],
                "",
                "mshr_a",
            ),
            (vec![("x-sentry-auth", "sentry_key=mshr_a")], "", "mshr_a"),
            (
                vec![("x-sentry-auth", auth), ("authorization", "Sentry sentry_key=b")],
                "sentry_key=c",
                "mshr_a",
            ),
            (vec![("authorization", "SENTRY sentry_key=b")], "sentry_key=c", "b"),
            (vec![("authorization", "Bearer x")], "sentry_version=7&sentry_key=c%5F&sentry_version=7", "c_"),
        ] {
            assert_eq!(found(&headers, query), Ok(Some(expected.to_owned())), "{headers:?} {query}");
        }
        assert_eq!(found(&[("authorization", "Bearer x")], "a=b"), Ok(None));
        assert_eq!(found(&[("authorization", "SentryKey x")], ""), Ok(None));
    }

    #[test]
    fn a_place_that_cannot_be_read_is_no_reason_to_look_further() {
        for headers in [
            vec![("x-sentry-auth", "Sentry")],
            vec![("x-sentry-auth", "")],
            vec![("x-sentry-auth", "Sentry sentry_key=")],
            vec![("x-sentry-auth", "Sentry sentry_key=a, sentry_key=b")],
            vec![("x-sentry-auth", "Sentry sentry_key=a"), ("x-sentry-auth", "Sentry sentry_key=a")],
            vec![("authorization", "Sentry key=a")],
        ] {
            assert!(found(&headers, "sentry_key=c").is_err(), "{headers:?}");
        }
        for query in ["sentry_key=", "sentry_key=a&sentry_key=a", "sentry_key=%ff"] {
            assert!(found(&[], query).is_err(), "{query}");
        }
    }

    #[test]
    fn a_dsn_has_the_key_before_its_host() {
        for dsn in ["https://k@host/1", "http://k@host:80/path/1", "https://k:secret@host/1"] {
            assert_eq!(key_in_dsn(dsn).unwrap(), "k", "{dsn}");
        }
        for wrong in
            ["", "https://host/1", "https://@host/1", "k@host", "https://host/@/1", "https://:s@host/1"]
        {
            assert!(key_in_dsn(wrong).is_err(), "{wrong}");
        }
    }
}
