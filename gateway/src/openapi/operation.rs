//! One operation: an RPC by one of its routes.

use std::collections::BTreeMap;

use prost_reflect::{FieldDescriptor, MethodDescriptor};
use serde_json::{Value, json};

use super::{
    Builder, comments, errors, example, ingest, options, parameters,
    schema::{Way, describe},
    tag,
};
use crate::route::{Body, Route};

/// The schema of what the RPC answers.
pub(super) fn answer(builder: &mut Builder, rpc: &MethodDescriptor) -> Value {
    if ingest::has_own_answer(rpc) {
        return Value::Null;
    }
    builder.schemas.message(&rpc.output(), Way::Out, &[], &builder.comments)
}

/// The operation of `route`, which is that binding of its RPC; `answer` is the schema of the response message.
pub(super) fn operation(builder: &mut Builder, route: &Route, binding: usize, answer: &Value) -> Value {
    let rpc = &route.rpc;
    let comment = builder.comments.of(&rpc.parent_service().parent_file(), rpc.path()).to_owned();
    let (text, said) = comment.split_once("Errors:").unwrap_or((comment.as_str(), ""));
    let caller = options::caller(rpc);
    let parameters = parameters::parameters(builder, route);
    let body = ingest::body(route).or_else(|| body(builder, route));
    let mut responses = errors::responses(&errors::Circumstances {
        said,
        caller,
        has_path_parameters: parameters.iter().any(|parameter| parameter["in"] == "path"),
        has_body: body.is_some(),
    });
    let (status, response) = ingest::answer(route, answer).unwrap_or_else(|| success(builder, route, answer));
    responses.insert(status, response);

    let mut operation = json!({
        "operationId": id(builder, rpc, binding),
        "tags": [tag(rpc.parent_service())],
        "responses": responses,
    });
    if !text.is_empty() {
        operation["summary"] = comments::summary(text).into();
    }
    describe(&mut operation, text.trim());
    if !parameters.is_empty() {
        operation["parameters"] = parameters.into();
    }
    if let Some(body) = body {
        operation["requestBody"] = body;
    }
    if let Some(caller) = caller {
        operation["security"] = caller.security();
    }
    operation
}

/// The RPC's name, with as much before it and behind it as makes it unique.
fn id(builder: &Builder, rpc: &MethodDescriptor, binding: usize) -> String {
    let unique = builder.names.get(rpc.name()) == Some(&1);
    let mut name = if unique { rpc.name().to_owned() } else { rpc.full_name().replace('.', "_") };
    if let Some(first) = name.get_mut(..1) {
        first.make_ascii_lowercase();
    }
    if binding > 1 { format!("{name}_{binding}") } else { name }
}

fn body(builder: &mut Builder, route: &Route) -> Option<Value> {
    let schema = match &route.body {
        Body::None => return None,
        Body::Field(field) => builder.schemas.field(field, Way::In, &builder.comments),
        Body::Whole => {
            let bound: Vec<FieldDescriptor> =
                route.bindings.iter().filter_map(|binding| binding.field.top_level().cloned()).collect();
            builder.schemas.message(&route.rpc.input(), Way::In, &bound, &builder.comments)
        }
    };
    let resolved = schema["$ref"].as_str().and_then(|reference| builder.schemas.get(reference));
    let required = demands(resolved.unwrap_or(&schema));
    let example = example::of(&builder.schemas, &schema, false);
    Some(json!({
        "required": required,
        "content": { "application/json": { "schema": schema, "example": example } },
    }))
}

/// Whether an object must have some field, so that no body at all will not do.
fn demands(schema: &Value) -> bool {
    let choices =
        schema["allOf"].as_array().into_iter().flatten().filter_map(|choice| choice["oneOf"].as_array());
    let must_choose =
        choices.into_iter().any(|choice| choice.iter().all(|option| option.get("not").is_none()));
    schema.get("required").is_some() || schema.get("anyOf").is_some() || must_choose
}

/// The answer of a call that went well.
fn success(builder: &mut Builder, route: &Route, answer: &Value) -> (String, Value) {
    let schema = match &route.response_body {
        Some(field) => builder.schemas.field(field, Way::Out, &builder.comments),
        None => answer.clone(),
    };
    let example = example::of(&builder.schemas, &schema, true);
    let output = route.rpc.output();
    let mut content = BTreeMap::new();
    let mut text = match builder.comments.of(&output.parent_file(), output.path()) {
        "" => "What the call gives.".to_owned(),
        text => text.to_owned(),
    };
    if route.rpc.is_server_streaming() {
        text.push_str(
            "\n\nOne message a line, or as server-sent events where `accept` asks for them. An error in the midst of it \
             is the last object, `{\"error\": …}`, or an event `error`.",
        );
        content.insert("application/x-ndjson", json!({ "schema": schema }));
        content.insert("text/event-stream", json!({ "schema": { "type": "string" } }));
    } else {
        content.insert("application/json", json!({ "schema": schema, "example": example }));
    }
    ("200".to_owned(), errors::with_headers(json!({ "description": text, "content": content }), &[]))
}
