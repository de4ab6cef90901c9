//! The API's documentation for people: the `OpenAPI` document as one page of HTML, made at the start.
//!
//! Nothing on it comes from another host, and its Content-Security-Policy lets nothing in: it has one style sheet and
//! one small script, which only filters what is there.

mod html;
mod operation;
mod schema;

use std::collections::BTreeMap;

use serde_json::Value;

use self::html::{Html, markdown};

/// The page's style sheet.
pub(crate) const STYLE: &str = include_str!("docs/style.css");

/// The page's script.
pub(crate) const SCRIPT: &str = include_str!("docs/filter.js");

/// What a browser may do with the page.
pub(crate) const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; base-uri 'none'; \
                                 form-action 'none'; frame-ancestors 'none'";

/// The methods in which a path's operations are shown.
const METHODS: [&str; 8] = ["get", "post", "put", "patch", "delete", "head", "options", "trace"];

/// An operation and where it is.
struct Operation<'d> {
    method: &'static str,
    path: &'d str,
    value: &'d Value,
}

/// The page of an `OpenAPI` document.
pub(crate) fn page(document: &Value) -> String {
    let text = |pointer: &str| document.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let title = text("/info/title");
    let groups = groups(document);
    let mut html = Html::default();
    html.raw("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    html.raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>");
    html.text(title).raw(" API</title>\n<link rel=\"stylesheet\" href=\"/docs/style.css\">\n");
    html.raw("<script src=\"/docs/filter.js\" defer></script>\n</head>\n<body>\n<nav>\n<h1>").text(title);
    html.raw(" API</h1>\n<p>Version ").text(text("/info/version"));
    html.raw(" · <a href=\"/openapi.json\">openapi.json</a></p>\n");
    html.raw("<input type=\"search\" id=\"filter\" placeholder=\"Filter\" aria-label=\"Filter operations\" hidden>\n");
    for (tag, operations) in &groups {
        html.raw("<h2><a href=\"#tag-").text(tag).raw("\">").text(tag).raw("</a></h2>\n<ul>\n");
        for operation in operations {
            operation.link(&mut html);
        }
        html.raw("</ul>\n");
    }
    html.raw("<h2><a href=\"#schemas\">Schemas</a></h2>\n</nav>\n<main>\n<section class=\"intro\">\n");
    html.raw(&markdown(text("/info/description")));
    operation::security(&mut html, document);
    html.raw("</section>\n");
    for (tag, operations) in &groups {
        html.raw("<section id=\"tag-").text(tag).raw("\" class=\"tag\">\n<h2>").text(tag).raw("</h2>\n");
        html.raw(&markdown(description(document, tag)));
        for operation in operations {
            operation.section(&mut html, document);
        }
        html.raw("</section>\n");
    }
    html.raw("<section id=\"schemas\" class=\"tag\">\n<h2>Schemas</h2>\n");
    for (name, schema) in
        document.pointer("/components/schemas").and_then(Value::as_object).into_iter().flatten()
    {
        schema::section(&mut html, name, schema);
    }
    html.raw("</section>\n</main>\n</body>\n</html>\n");
    html.finish()
}

/// The operations by tag.
fn groups(document: &Value) -> BTreeMap<&str, Vec<Operation<'_>>> {
    let mut groups: BTreeMap<&str, Vec<Operation<'_>>> = BTreeMap::new();
    for (path, item) in document["paths"].as_object().into_iter().flatten() {
        for method in METHODS {
            if let Some(value) = item.get(method) {
                let tag = value.pointer("/tags/0").and_then(Value::as_str).unwrap_or_default();
                groups.entry(tag).or_default().push(Operation { method, path, value });
            }
        }
    }
    groups
}

fn description<'d>(document: &'d Value, tag: &str) -> &'d str {
    let mut tags = document["tags"].as_array().into_iter().flatten();
    let found = tags.find(|known| known["name"] == tag);
    found.and_then(|found| found["description"].as_str()).unwrap_or_default()
}
