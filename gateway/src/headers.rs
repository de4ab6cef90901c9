//! What the gateway reads in request headers and adds to answers.

use http::{HeaderMap, HeaderName, HeaderValue, header, request::Parts};
use mesher_common::{public_url::PUBLIC_URL_HEADER, rpc::REQUEST_ID};
use tonic::metadata::MetadataMap;
use uuid::Uuid;

/// The longest request id that is taken over.
const MAX_REQUEST_ID: usize = 128;

/// What metadata is called over HTTP, where it is no header of HTTP: as grpc-gateway has it.
const METADATA_PREFIX: &str = "grpc-metadata-";

/// The metadata of services that are headers of HTTP, and mean there what they mean here.
const PLAIN: [HeaderName; 6] = [
    header::CONTENT_LANGUAGE,
    header::ETAG,
    header::LAST_MODIFIED,
    header::LINK,
    header::LOCATION,
    header::RETRY_AFTER,
];

/// What belongs to the connection to the service, or is answered by the gateway itself.
const OWN: [&str; 9] = [
    "connection",
    "content-length",
    "content-type",
    "date",
    "server",
    "trailer",
    "transfer-encoding",
    "user-agent",
    REQUEST_ID,
];

/// The media type of the body, without its parameters; empty where the request says none.
pub(crate) fn media_type(headers: &HeaderMap) -> &str {
    let value = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    value.split_once(';').map_or(value, |(media_type, _)| media_type).trim()
}

/// The longest host, with its port, that is passed on.
const MAX_HOST: usize = 300;

/// Notes in the headers by which URL the gateway was called, for services to make links with: as the client named it, or as
/// a proxy says that the client did. It is told to this client alone, who may name what it likes. `is_tls` says whether the
/// request came with TLS.
pub(crate) fn note_public_url(parts: &mut Parts, is_tls: bool) {
    parts.headers.remove(PUBLIC_URL_HEADER);
    let header = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let host = header("x-forwarded-host")
        .or_else(|| header("host"))
        .or_else(|| parts.uri.authority().map(http::uri::Authority::as_str))
        .filter(|host| host.len() <= MAX_HOST);
    let scheme = match header("x-forwarded-proto") {
        Some("https") => "https",
        Some("http") => "http",
        _ if is_tls => "https",
        _ => "http",
    };
    let url = host.and_then(|host| HeaderValue::from_str(&format!("{scheme}://{host}")).ok());
    if let Some(url) = url {
        parts.headers.insert(PUBLIC_URL_HEADER, url);
    }
}

/// The request's id: the client's, if it is one that can stand in a log, or a new one.
pub(crate) fn request_id(headers: &HeaderMap) -> HeaderValue {
    let printable = |value: &&HeaderValue| {
        (1..=MAX_REQUEST_ID).contains(&value.len()) && value.as_bytes().iter().all(u8::is_ascii_graphic)
    };
    headers.get(REQUEST_ID).filter(printable).cloned().unwrap_or_else(|| {
        // A UUID has no character that a header could not hold.
        HeaderValue::from_str(&Uuid::now_v7().to_string()).unwrap_or(HeaderValue::from_static("none"))
    })
}

/// The headers of an answer that the metadata of a service's answer is.
pub(crate) fn of_metadata(metadata: MetadataMap) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in &metadata.into_headers() {
        if PLAIN.contains(name) {
            headers.append(name, value.clone());
        } else if !name.as_str().starts_with("grpc-")
            && !OWN.contains(&name.as_str())
            && let Ok(name) = HeaderName::try_from(format!("{METADATA_PREFIX}{name}"))
        {
            headers.append(name, value.clone());
        }
    }
    headers
}

/// Whether the client takes `media_type`, and names it rather than all types.
pub(crate) fn accepts(headers: &HeaderMap, media_type: &str) -> bool {
    let values = headers.get_all(header::ACCEPT).iter().map(|value| value.to_str().unwrap_or_default());
    values.flat_map(|value| value.split(',')).any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let refused = |parameter: &str| {
            let weight = parameter.strip_prefix("q=").and_then(|weight| weight.trim().parse::<f32>().ok());
            weight.is_some_and(|weight| weight <= 0.0)
        };
        parts.next().is_some_and(|named| named.eq_ignore_ascii_case(media_type)) && !parts.any(refused)
    })
}

/// Adds what every answer has: nobody may guess another content type, and nobody may keep the answer.
pub(crate) fn finish(headers: &mut HeaderMap, request_id: HeaderValue) {
    headers.insert(REQUEST_ID, request_id);
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
}
