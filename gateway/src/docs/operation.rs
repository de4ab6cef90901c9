//! One operation on the page.

use serde_json::Value;

use super::{
    Operation,
    html::{Html, inline, markdown},
    schema,
};

impl Operation<'_> {
    fn text(&self, field: &str) -> &str {
        self.value[field].as_str().unwrap_or_default()
    }

    /// The line in the table of contents.
    pub(super) fn link(&self, html: &mut Html) {
        html.raw("<li data-for=\"").text(self.text("operationId")).raw("\"><a href=\"#");
        html.text(self.text("operationId")).raw("\"><span class=\"method ").raw(self.method).raw("\">");
        html.raw(self.method).raw("</span> ").text(self.path).raw("</a></li>\n");
    }

    /// The operation itself.
    pub(super) fn section(&self, html: &mut Html, document: &Value) {
        html.raw("<article id=\"").text(self.text("operationId")).raw("\">\n<h3><span class=\"method ");
        html.raw(self.method).raw("\">").raw(self.method).raw("</span> <code>").text(self.path);
        html.raw("</code></h3>\n").raw(&markdown(self.text("description")));
        html.raw("<p class=\"security\">").text(self.credentials()).raw("</p>\n");
        self.parameters(html);
        if let Some(content) = self.value.pointer("/requestBody/content").and_then(Value::as_object) {
            html.raw("<h4>Body</h4>\n");
            contents(html, content);
        }
        self.request(html);
        html.raw("<h4>Answers</h4>\n");
        for (status, response) in self.value["responses"].as_object().into_iter().flatten() {
            answer(html, document, status, response);
        }
        html.raw("</article>\n");
    }

    fn credentials(&self) -> &'static str {
        match self.value["security"].as_array().map(Vec::as_slice) {
            Some([]) => "No credentials.",
            Some([first, ..]) if first.get("apiKey").is_some() => "With an API key.",
            Some(_) => "With a session.",
            None => "",
        }
    }

    fn parameters(&self, html: &mut Html) {
        let Some(parameters) = self.value["parameters"].as_array() else { return };
        html.raw("<h4>Parameters</h4>\n<table>\n");
        for parameter in parameters {
            let text = |field: &str| parameter[field].as_str().unwrap_or_default();
            html.raw("<tr><th scope=\"row\">").code(text("name")).raw("</th><td class=\"type\">");
            schema::type_of(html, &parameter["schema"]);
            html.raw("<br>").text(text("in"));
            html.raw(if parameter["required"] == true { ", required" } else { "" });
            html.raw("</td><td>").raw(&markdown(text("description"))).raw("</td></tr>\n");
        }
        html.raw("</table>\n");
    }

    /// The call as a command to try.
    fn request(&self, html: &mut Html) {
        let mut url = self.path.to_owned();
        for parameter in self.value["parameters"].as_array().into_iter().flatten() {
            if let (Some(name), Some(example)) = (parameter["name"].as_str(), parameter["example"].as_str()) {
                url = url.replace(&format!("{{{name}}}"), example);
            }
        }
        let mut command = "curl".to_owned();
        if self.method != "get" {
            command.extend([" -X ", &self.method.to_uppercase()]);
        }
        command.extend([" \"$MESHER", &url, "\""]);
        let credentials = match self.credentials() {
            "With an API key." => " \\\n  -H \"x-mesher-key: $KEY\"",
            "With a session." => " \\\n  -H \"authorization: Bearer $TOKEN\"",
            _ => "",
        };
        command.push_str(credentials);
        let example = self.value.pointer("/requestBody/content/application~1json/example");
        if let Some(example) = example {
            let json = example.to_string().replace('\'', r"'\''");
            command.extend([" \\\n  -H 'content-type: application/json' \\\n  -d '", &json, "'"]);
        }
        html.raw("<pre class=\"request\">").text(&command).raw("</pre>\n");
    }
}

/// How to come by credentials.
pub(super) fn security(html: &mut Html, document: &Value) {
    let schemes = document.pointer("/components/securitySchemes").and_then(Value::as_object);
    html.raw("<ul>\n");
    for (name, scheme) in schemes.into_iter().flatten() {
        html.raw("<li>").code(name).raw(": ");
        inline(html, scheme["description"].as_str().unwrap_or_default());
        html.raw("</li>\n");
    }
    html.raw("</ul>\n");
}

fn contents(html: &mut Html, content: &serde_json::Map<String, Value>) {
    for (media_type, content) in content {
        html.raw("<div class=\"content\"><p>").code(media_type).raw(" ");
        schema::type_of(html, &content["schema"]);
        html.raw("</p>\n");
        if let Some(example) = content.get("example") {
            html.raw("<pre>").text(&format!("{example:#}")).raw("</pre>\n");
        } else if content["schema"].get("properties").is_some() {
            schema::properties(html, &content["schema"]);
        }
        html.raw("</div>\n");
    }
}

fn answer(html: &mut Html, document: &Value, status: &str, response: &Value) {
    let success = status.starts_with('2');
    html.raw(if success { "<details open>" } else { "<details>" }).raw("<summary><code>").text(status);
    html.raw("</code> ");
    let description = response["description"].as_str().unwrap_or_default();
    inline(html, description.lines().next().unwrap_or_default());
    html.raw("</summary>\n");
    if let Some((_, more)) = description.split_once('\n') {
        html.raw(&markdown(more));
    }
    if let Some(content) = response["content"].as_object() {
        contents(html, content);
    }
    for (name, header) in response["headers"].as_object().into_iter().flatten() {
        let header =
            header["$ref"].as_str().and_then(|reference| document.pointer(reference.trim_start_matches('#')));
        html.raw("<p class=\"header\">").code(name).raw(" ");
        inline(html, header.and_then(|header| header["description"].as_str()).unwrap_or_default());
        html.raw("</p>\n");
    }
    html.raw("</details>\n");
}
