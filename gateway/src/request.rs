//! The request message of an RPC, from an HTTP request: its path, its query and its body, in the way of the route.

use std::collections::{BTreeMap, HashSet};

use mesher_common::status::{self, Violation};
use percent_encoding::percent_decode_str;
use prost_reflect::DynamicMessage;
use tonic::Status;

use crate::{
    field::{FieldPath, Form},
    json,
    route::{Body, Route},
};

/// Builds the message. `segments` are the path's, without the verb.
pub(crate) fn build(
    route: &Route,
    segments: &[&str],
    query: Option<&str>,
    body: &[u8],
) -> Result<DynamicMessage, Status> {
    let mut message = read_body(route, body)?;
    bind_path(route, segments, &mut message)?;
    bind_query(route, query.unwrap_or_default(), &mut message)?;
    Ok(message)
}

fn read_body(route: &Route, body: &[u8]) -> Result<DynamicMessage, Status> {
    let input = route.rpc.input();
    let mut message = DynamicMessage::new(input.clone());
    match &route.body {
        _ if body.is_empty() => {}
        Body::None => return Err(status::malformed("this call takes no body")),
        Body::Whole => return json::read_message(&input, body),
        Body::Field(field) => {
            if let Some(value) = json::read_field(field, body)? {
                message.set_field(field, value);
            }
        }
    }
    Ok(message)
}

fn bind_path(route: &Route, segments: &[&str], message: &mut DynamicMessage) -> Result<(), Violation> {
    for binding in &route.bindings {
        let captured = binding.variable.capture(segments);
        let text = captured.map_err(|_| {
            Violation::new(binding.field.to_string(), "is not UTF-8 when it is percent-decoded")
        })?;
        binding.field.set(message, &[text])?;
    }
    Ok(())
}

fn bind_query(route: &Route, query: &str, message: &mut DynamicMessage) -> Result<(), Violation> {
    let bound: HashSet<String> = route.bindings.iter().map(|binding| binding.field.to_string()).collect();
    let mut parameters: BTreeMap<String, (FieldPath, Vec<String>)> = BTreeMap::new();
    for parameter in query.split('&').filter(|parameter| !parameter.is_empty()) {
        let (name, text) = parameter.split_once('=').unwrap_or((parameter, ""));
        let name =
            decode(name).ok_or_else(|| Violation::new(name, "is not UTF-8 when it is percent-decoded"))?;
        let field = parameter_field(route, &name)?;
        let canonical = field.to_string();
        if bound.contains(&canonical) {
            return Err(Violation::new(name, "is in the path already"));
        }
        let text =
            decode(text).ok_or_else(|| Violation::new(name, "is not UTF-8 when it is percent-decoded"))?;
        let (field, texts) = parameters.entry(canonical).or_insert_with(|| (field, Vec::new()));
        if field.form() == Form::Single && !texts.is_empty() {
            return Err(Violation::new(field.to_string(), "is given twice"));
        }
        texts.push(text);
    }
    parameters.values().try_for_each(|(field, texts)| field.set(message, texts))
}

/// The field that a query parameter is.
fn parameter_field(route: &Route, name: &str) -> Result<FieldPath, Violation> {
    let unknown = || Violation::new(name, "is no parameter of this call");
    let field = FieldPath::resolve(&route.rpc.input(), name).ok_or_else(unknown)?;
    match &route.body {
        Body::Whole => return Err(Violation::new(name, "belongs into the body, not into the query")),
        Body::Field(body) if field.is_within(body) => {
            return Err(Violation::new(name, "is the body, or in it, and cannot be in the query"));
        }
        Body::Field(_) | Body::None => {}
    }
    match field.form() {
        Form::Single | Form::Repeated => Ok(field),
        Form::NotText => Err(Violation::new(name, "is of a type that a query cannot hold")),
    }
}

/// Decodes a name or a value of a query, as HTML forms encode them.
fn decode(text: &str) -> Option<String> {
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}
