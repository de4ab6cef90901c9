//! What the SDKs before Sentry's present ones, the Raven family, send to `/store/`: an event that is deflated, and that in
//! base64, with no header that says so.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;

use super::endpoint::{Endpoint, Kind};

/// Whether bytes begin as RFC 1950 has it, with the window that everybody takes: 32 KiB.
fn is_zlib(bytes: &[u8]) -> bool {
    matches!(bytes, [0x78, flags, ..] if u16::from_be_bytes([0x78, *flags]).is_multiple_of(31))
}

/// The deflated event in the body of a request that names no encoding, if it is one of these. It is no larger than the body.
pub(crate) fn deflated(endpoint: &Endpoint<'_>, body: &Bytes) -> Option<Bytes> {
    // As the first of those bytes is written, and no JSON.
    if endpoint.kind() != Kind::Store || !body.trim_ascii_start().starts_with(b"e") {
        return None;
    }
    // Some break it into lines.
    let text: Vec<u8> = body.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    BASE64_STANDARD.decode(text).ok().filter(|bytes| is_zlib(bytes)).map(Bytes::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, body: &str) -> Option<Bytes> {
        deflated(&Endpoint::at(path).unwrap(), &Bytes::copy_from_slice(body.as_bytes()))
    }

    #[test]
    fn only_what_is_base64_of_zlib_is_taken_for_it() {
        let store = "/api/1/store/";
        for body in ["eJyrVspNLS5OTE9VslLKVaoFADANBUA=", " eJyrVspNLS5OTE9V\r\nslLKVaoFADANBUA=\n"] {
            assert_eq!(found(store, body).unwrap()[..4], [0x78, 0x9c, 0xab, 0x56], "{body}");
            assert_eq!(found("/api/1/envelope/", body), None);
        }
        for other in ["", "{}", "eJyr!", "eJyrV", "eJ", "eAAAAA==", "null", "[]", "e", "5"] {
            assert_eq!(found(store, other), None, "{other}");
        }
    }
}
