//! The paths that SDKs send to.

use mesher_common::status;
use tonic::Status;

/// What an endpoint takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An envelope.
    Envelope,
    /// One event: what SDKs sent before there were envelopes.
    Store,
}

/// An endpoint of a project.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Endpoint<'p> {
    kind: Kind,
    number: &'p str,
}

impl<'p> Endpoint<'p> {
    /// The endpoint at a path, which may end with a slash.
    pub(crate) fn at(path: &'p str) -> Option<Self> {
        let path = path.strip_prefix("/api/")?;
        let (number, name) = path.strip_suffix('/').unwrap_or(path).split_once('/')?;
        let kind = match name {
            "envelope" => Kind::Envelope,
            "store" => Kind::Store,
            _ => return None,
        };
        Some(Self { kind, number })
    }

    /// What it takes.
    pub(crate) fn kind(&self) -> Kind {
        self.kind
    }

    /// Its path as a template.
    pub(crate) fn template(&self) -> &'static str {
        match self.kind {
            Kind::Envelope => "/api/{project_number}/envelope/",
            Kind::Store => "/api/{project_number}/store/",
        }
    }

    /// The number of the project.
    pub(crate) fn project_number(&self) -> Result<u64, Status> {
        let digits = !self.number.is_empty() && self.number.bytes().all(|byte| byte.is_ascii_digit());
        let number = if digits { self.number.parse().ok() } else { None };
        number.filter(|number| (1..=i64::MAX.unsigned_abs()).contains(number)).ok_or_else(|| {
            status::malformed("the project in the path is not a number: it is the last part of the DSN")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::{Endpoint, Kind};

    #[test]
    fn endpoints_are_found_with_and_without_the_last_slash() {
        for (path, kind) in [
            ("/api/42/envelope/", Kind::Envelope),
            ("/api/42/envelope", Kind::Envelope),
            ("/api/0042/store/", Kind::Store),
        ] {
            let endpoint = Endpoint::at(path).unwrap();
            assert_eq!((endpoint.kind(), endpoint.project_number().unwrap()), (kind, 42), "{path}");
        }
        for other in
            ["/api/42/", "/api/42", "/api/envelope/", "/api/42/envelope//", "/api/4/2/store/", "/42/store/"]
        {
            assert_eq!(Endpoint::at(other), None, "{other}");
        }
    }

    #[test]
    fn a_project_is_a_positive_number() {
        for wrong in ["", "0", "-1", "+1", "x", "1e3", "4 2", "%34", "9223372036854775808", "42x", "7f3a-11"]
        {
            let path = format!("/api/{wrong}/store/");
            assert!(Endpoint::at(&path).unwrap().project_number().is_err(), "{wrong}");
        }
    }
}
