//! The parameters of an operation: what a route binds of the path, and the fields that can be in the query.

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Value, json};

use super::{
    Builder, example,
    options::rules,
    schema::{Way, describe},
};
use crate::{
    field::{FieldPath, Form, is_well_known},
    route::{Body, Route},
    template::Segment,
};

/// The route's path as `OpenAPI` writes it: each wild segment is a parameter.
pub(super) fn path(route: &Route) -> String {
    let mut path = String::new();
    for (segment, name) in route.template.segments().iter().zip(names(route)) {
        match (segment, name) {
            (_, Some(name)) => path.extend(["/{", name.as_str(), "}"]),
            (Segment::Literal(literal), None) => path.extend(["/", literal.as_str()]),
            (Segment::One | Segment::Rest, None) => {}
        }
    }
    if let Some(verb) = route.template.verb() {
        path.extend([":", verb]);
    }
    path
}

/// The names of the parameters in the path's segments; none for a literal.
fn names(route: &Route) -> Vec<Option<String>> {
    let segments = route.template.segments();
    let mut names: Vec<Option<String>> = Vec::with_capacity(segments.len());
    for (index, segment) in segments.iter().enumerate() {
        if matches!(segment, Segment::Literal(_)) {
            names.push(None);
            continue;
        }
        let variable = route.template.variables().iter().find(|variable| variable.holds(index));
        let name = variable.map_or("segment", |variable| variable.field.as_str());
        // A variable of several wild segments is as many parameters.
        let taken = |name: &str| names.iter().flatten().any(|other| other == name);
        let name = (1..=segments.len())
            .map(|number| if number == 1 { name.to_owned() } else { format!("{name}_{number}") })
            .find(|name| !taken(name));
        names.push(name);
    }
    names
}

/// All parameters of the route.
pub(super) fn parameters(builder: &mut Builder, route: &Route) -> Vec<Value> {
    let mut parameters = Vec::new();
    for name in names(route).into_iter().flatten() {
        let field = FieldPath::resolve(&route.rpc.input(), &name);
        let mut parameter = match field.as_ref().and_then(FieldPath::last) {
            Some(field) => parameter(builder, field),
            None => json!({ "schema": { "type": "string" } }),
        };
        parameter["name"] = name.into();
        parameter["in"] = "path".into();
        parameter["required"] = true.into();
        parameters.push(parameter);
    }
    if route.body != Body::Whole && route.ingest.is_none() {
        query(builder, route, &route.rpc.input(), &mut Vec::new(), &mut parameters);
    }
    parameters
}

/// Adds the fields of `message`, which the fields in `above` lead to.
fn query(
    builder: &mut Builder,
    route: &Route,
    message: &MessageDescriptor,
    above: &mut Vec<FieldDescriptor>,
    parameters: &mut Vec<Value>,
) {
    for field in message.fields() {
        above.push(field.clone());
        let path: Vec<_> = above.iter().map(FieldDescriptor::name).collect();
        if let Some(path) = FieldPath::resolve(&route.rpc.input(), &path.join("."))
            && !is_elsewhere(route, &path)
        {
            match (path.form(), field.kind()) {
                (Form::Single | Form::Repeated, _) => {
                    let name: Vec<_> = above.iter().map(FieldDescriptor::json_name).collect();
                    let mut parameter = parameter(builder, &field);
                    parameter["name"] = name.join(".").into();
                    parameter["in"] = "query".into();
                    if rules(&field).required && above.len() == 1 {
                        parameter["required"] = true.into();
                    }
                    parameters.push(parameter);
                }
                // A message that holds itself has endlessly many fields: one level of them will do.
                (Form::NotText, Kind::Message(inner))
                    if !field.is_list()
                        && !field.is_map()
                        && !is_well_known(&inner)
                        && above.iter().filter(|field| *field.parent_message() == inner).count() < 2 =>
                {
                    query(builder, route, &inner, above, parameters);
                }
                (Form::NotText, _) => {}
            }
        }
        above.pop();
    }
}

/// Whether the field is in the path or in the body.
fn is_elsewhere(route: &Route, path: &FieldPath) -> bool {
    let in_path = route.bindings.iter().any(|binding| binding.field.to_string() == path.to_string());
    in_path || matches!(&route.body, Body::Field(field) if path.is_within(field))
}

/// What is said of a field that is given as text.
fn parameter(builder: &mut Builder, field: &FieldDescriptor) -> Value {
    let mut schema = builder.schemas.field(field, Way::In, &builder.comments);
    let mut parameter = json!({});
    if let Some(schema) = schema.as_object_mut() {
        if let Some(text) = schema.remove("description") {
            describe(&mut parameter, text.as_str().unwrap_or_default());
        }
        if let Some(examples) = schema.remove("examples") {
            parameter["example"] = examples[0].clone();
        } else if let Some(example) = example::of_format(schema.get("format")) {
            parameter["example"] = example.into();
        }
    }
    parameter["schema"] = schema;
    parameter
}
