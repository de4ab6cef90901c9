//! What is served from memory: the `OpenAPI` document, and the documentation that is made of it.

use axum::body::Body;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Response, header};
use prost_reflect::DescriptorPool;

use crate::{docs, error::ApiError, openapi, routes::Routes};

/// A document in memory.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    path: &'static str,
    content_type: &'static str,
    body: Bytes,
}

/// All of them.
#[derive(Clone, Debug)]
pub(crate) struct Pages(Vec<Page>);

/// The headers of all: a page can do nothing but show itself, and only to whoever asked for it.
const HEADERS: [(HeaderName, &str); 3] = [
    (header::CONTENT_SECURITY_POLICY, docs::POLICY),
    (header::REFERRER_POLICY, "no-referrer"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
];

impl Pages {
    /// The pages of the API with these routes, which `pool` describes.
    pub(crate) fn new(routes: &Routes, pool: &DescriptorPool) -> Result<Self, serde_json::Error> {
        let document = openapi::document(routes, pool);
        let json = serde_json::to_string_pretty(&document)? + "\n";
        let html = docs::page(&document);
        let page = |path, content_type, body: String| Page { path, content_type, body: body.into() };
        Ok(Self(vec![
            page("/openapi.json", "application/json", json),
            page("/docs", "text/html; charset=utf-8", html),
            page("/docs/style.css", "text/css; charset=utf-8", docs::STYLE.to_owned()),
            page("/docs/filter.js", "text/javascript; charset=utf-8", docs::SCRIPT.to_owned()),
        ]))
    }

    /// The one at `path`.
    pub(crate) fn at(&self, path: &str) -> Option<&Page> {
        self.0.iter().find(|page| page.path == path)
    }
}

impl Page {
    /// The answer to a request for it.
    pub(crate) fn answer(&self, method: &Method) -> Result<Response<Body>, ApiError> {
        if !matches!(*method, Method::GET | Method::HEAD) {
            return Err(ApiError::method_not_allowed("GET, HEAD"));
        }
        let mut response = Response::new(Body::from(self.body.clone()));
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        for (name, value) in HEADERS {
            headers.insert(name, HeaderValue::from_static(value));
        }
        Ok(response)
    }
}
