//! The `google.api.http` rules of an RPC, as its descriptor holds them.

use anyhow::{Context as _, bail, ensure};
use prost_reflect::{DynamicMessage, MethodDescriptor, Value};

/// The option's name.
const EXTENSION: &str = "google.api.http";

/// The HTTP methods with a field of their own in the rule.
const METHODS: [(&str, &str); 5] =
    [("get", "GET"), ("put", "PUT"), ("post", "POST"), ("delete", "DELETE"), ("patch", "PATCH")];

/// One way in which an RPC is reached over HTTP.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    /// The HTTP method; `*` for every one.
    pub(crate) method: String,
    /// The path template.
    pub(crate) path: String,
    /// The request field that the body is; `*` for all, empty for none.
    pub(crate) body: String,
    /// The response field that the answer is; empty for the whole response.
    pub(crate) response_body: String,
}

/// The rules of `rpc`: none if it has no option.
pub(crate) fn rules(rpc: &MethodDescriptor) -> anyhow::Result<Vec<Rule>> {
    let Some(extension) = rpc.parent_pool().get_extension_by_name(EXTENSION) else {
        return Ok(Vec::new());
    };
    let options = rpc.options();
    if !options.has_extension(&extension) {
        return Ok(Vec::new());
    }
    let option = options.get_extension(&extension);
    let option = option.as_message().context("google.api.http is no message")?;
    let mut rules = vec![rule(option)?];
    for binding in list(option, "additional_bindings") {
        let binding = binding.as_message().context("additional_bindings holds no messages")?;
        let nested = !list(binding, "additional_bindings").is_empty();
        ensure!(!nested, "additional_bindings must not have additional_bindings");
        rules.push(rule(binding)?);
    }
    Ok(rules)
}

fn rule(option: &DynamicMessage) -> anyhow::Result<Rule> {
    let (body, response_body) = (text(option, "body"), text(option, "response_body"));
    for (field, method) in METHODS {
        let path = text(option, field);
        if !path.is_empty() {
            return Ok(Rule { method: method.to_owned(), path, body, response_body });
        }
    }
    match option.get_field_by_name("custom").as_deref() {
        Some(Value::Message(custom)) if option.has_field_by_name("custom") => {
            let (method, path) = (text(custom, "kind"), text(custom, "path"));
            let named = method == "*" || http::Method::from_bytes(method.as_bytes()).is_ok();
            ensure!(named, "{method:?} is no HTTP method");
            Ok(Rule { method, path, body, response_body })
        }
        _ => bail!("the rule has no path"),
    }
}

fn text(message: &DynamicMessage, field: &str) -> String {
    message.get_field_by_name(field).and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

fn list(message: &DynamicMessage, field: &str) -> Vec<Value> {
    message.get_field_by_name(field).and_then(|value| value.as_list().map(<[_]>::to_vec)).unwrap_or_default()
}
