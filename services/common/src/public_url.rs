//! The URL that the world knows the gateway by: DSNs begin with it.

use std::{fmt, str::FromStr};

use http::Uri;

use crate::secret::Secret;

/// The metadata in which the gateway says by which URL it was called.
pub const PUBLIC_URL_HEADER: &str = "x-mesher-public-url";

/// Longer than any host, port and path that lead to a gateway.
const MAX_LENGTH: usize = 500;

/// An HTTP or HTTPS URL without credentials, query and fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl {
    scheme: &'static str,
    /// Host, port and path, without a slash at the end.
    place: String,
}

impl PublicUrl {
    /// What an SDK of Sentry is given to know where to send events to, and with which key: to the project of that number.
    pub fn dsn(&self, key: &Secret, project_number: i64) -> String {
        format!("{}://{}@{}/{project_number}", self.scheme, key.expose(), self.place)
    }
}

impl FromStr for PublicUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "a public URL has the form https://HOST, with a port or a path if need be".to_owned();
        if text.len() > MAX_LENGTH {
            return Err(wrong());
        }
        let uri: Uri = text.parse().map_err(|_| wrong())?;
        let scheme = match uri.scheme_str() {
            Some("http") => "http",
            Some("https") => "https",
            _ => return Err(wrong()),
        };
        let authority =
            uri.authority().filter(|authority| !authority.as_str().contains('@')).ok_or_else(wrong)?;
        if uri.query().is_some() {
            return Err(wrong());
        }
        Ok(Self { scheme, place: format!("{authority}{}", uri.path().trim_end_matches('/')) })
    }
}

impl fmt::Display for PublicUrl {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}://{}", self.scheme, self.place)
    }
}

#[cfg(test)]
mod tests {
    use super::{PublicUrl, Secret};

    #[test]
    fn a_dsn_has_the_key_before_the_host_and_the_number_behind_all() {
        let key = Secret::new_api_key().unwrap();
        for (url, place) in [
            ("http://127.0.0.1:8080", "127.0.0.1:8080"),
            ("http://[::1]:8080/", "[::1]:8080"),
            ("http://example.com/a/b/", "example.com/a/b"),
        ] {
            let url: PublicUrl = url.parse().unwrap();
            assert_eq!(url.dsn(&key, 42), format!("http://{}@{place}/42", key.expose()));
            assert_eq!(url.to_string().parse(), Ok(url));
        }
    }

    #[test]
    fn what_is_no_url_of_a_gateway_is_refused() {
        let long = format!("https://{}", "x".repeat(1000));
        for wrong in [
            "",
            "example.com",
            "ftp://example.com",
            "https://a@example.com",
            "https://",
            "https:///x",
            "http://a?b",
            &long,
        ] {
            assert!(wrong.parse::<PublicUrl>().is_err(), "{wrong}");
        }
    }
}
