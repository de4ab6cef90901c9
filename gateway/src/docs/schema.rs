//! Schemas on the page.

use serde_json::Value;

use super::html::{Html, markdown};

/// The keywords that are shown behind a type.
const KEYWORDS: [&str; 8] =
    ["format", "minLength", "maxLength", "minItems", "maxItems", "minimum", "maximum", "pattern"];

/// A component.
pub(super) fn section(html: &mut Html, name: &str, schema: &Value) {
    html.raw("<article id=\"schema-").text(name).raw("\">\n<h3><code>").text(name).raw("</code></h3>\n");
    html.raw(&markdown(schema["description"].as_str().unwrap_or_default()));
    if schema.get("properties").is_some() {
        properties(html, schema);
    }
    html.raw("</article>\n");
}

/// The properties of an object.
pub(super) fn properties(html: &mut Html, schema: &Value) {
    let required: Vec<&str> =
        schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    html.raw("<table>\n");
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        html.raw("<tr><th scope=\"row\">").code(name).raw("</th><td class=\"type\">");
        type_of(html, property);
        html.raw(if required.contains(&name.as_str()) { "<br>always" } else { "" });
        html.raw("</td><td>").raw(&markdown(property["description"].as_str().unwrap_or_default()));
        if property.get("properties").is_some() {
            properties(html, property);
        }
        html.raw("</td></tr>\n");
    }
    html.raw("</table>\n");
}

/// What values a schema takes, in short.
pub(super) fn type_of(html: &mut Html, schema: &Value) {
    if let Some(name) = schema["$ref"].as_str().and_then(|reference| reference.rsplit('/').next()) {
        html.raw("<a href=\"#schema-").text(name).raw("\">").text(name).raw("</a>");
        return;
    }
    for (keyword, between) in [("anyOf", " or "), ("oneOf", " or ")] {
        if let (Some(schemas), None) = (schema[keyword].as_array(), schema.get("type")) {
            for (index, schema) in schemas.iter().enumerate() {
                html.raw(if index == 0 { "" } else { between });
                type_of(html, schema);
            }
            return;
        }
    }
    match (schema["type"].as_str(), schema.get("const"), schema["enum"].as_array()) {
        (Some("array"), _, _) => {
            html.raw("array of ");
            type_of(html, &schema["items"]);
        }
        (Some("object"), _, _) if schema["additionalProperties"].is_object() => {
            html.raw("map of ");
            type_of(html, &schema["additionalProperties"]);
        }
        (_, Some(constant), _) => _ = html.code(&constant.to_string()),
        (_, _, Some(values)) => {
            let values: Vec<_> = values.iter().filter_map(Value::as_str).collect();
            html.text(&values.join(", "));
        }
        (None, _, _) if schema["type"].is_array() => {
            let kinds: Vec<_> =
                schema["type"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            html.text(&kinds.join(" or "));
        }
        (kind, _, _) => _ = html.text(kind.unwrap_or("any")),
    }
    for keyword in KEYWORDS {
        match &schema[keyword] {
            Value::Null => {}
            Value::String(text) => _ = html.raw("<br><small>").text(text).raw("</small>"),
            value => _ = html.raw("<br><small>").text(&format!("{keyword} {value}")).raw("</small>"),
        }
    }
}
