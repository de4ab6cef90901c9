//! Examples, put together from the examples of fields.

use serde_json::{Map, Value, json};

use super::schema::Schemas;

/// How deep an example is followed: a message may hold itself.
const MAX_DEPTH: usize = 6;

/// An example of a text in that format.
pub(super) fn of_format(format: Option<&Value>) -> Option<&'static str> {
    match format?.as_str()? {
        "uuid" => Some("01980f3e-7c1a-7b2e-9d55-0a1b2c3d4e5f"),
        "date-time" => Some("2026-01-15T09:30:00Z"),
        "email" => Some("ada@example.com"),
        "int64" | "uint64" => Some("1"),
        _ => None,
    }
}

/// An example of what `schema` describes. Of a request it has the fields that must be given, and those that have an
/// example of their own; of an answer, all.
pub(super) fn of(schemas: &Schemas, schema: &Value, all: bool) -> Value {
    of_schema(schemas, schema, all, 0).unwrap_or_default()
}

fn of_schema(schemas: &Schemas, schema: &Value, all: bool, depth: usize) -> Option<Value> {
    if depth > MAX_DEPTH {
        return None;
    }
    if let Some(example) = schema.pointer("/examples/0") {
        return Some(example.clone());
    }
    if let Some(reference) = schema["$ref"].as_str() {
        return of_schema(schemas, schemas.get(reference)?, all, depth + 1);
    }
    if let Some(schema) = schema.pointer("/anyOf/0") {
        return of_schema(schemas, schema, all, depth + 1);
    }
    if let Some(values) = schema["enum"].as_array() {
        // The first one stands for none.
        return values.get(1).or_else(|| values.first()).cloned();
    }
    // What may be null is an array of types, of which that is the last.
    match schema["type"].as_str().or_else(|| schema.pointer("/type/0")?.as_str())? {
        "object" => Some(object(schemas, schema, all, depth).into()),
        "array" => {
            let element = of_schema(schemas, &schema["items"], all, depth + 1);
            Some(element.map_or_else(|| json!([]), |element| json!([element])))
        }
        "string" => Some(of_format(schema.get("format")).unwrap_or_default().into()),
        "integer" | "number" => Some(1.into()),
        "boolean" => Some(true.into()),
        _ => None,
    }
}

fn object(schemas: &Schemas, schema: &Value, all: bool, depth: usize) -> Map<String, Value> {
    let required: Vec<_> = schema["required"].as_array().into_iter().flatten().collect();
    let mut example = Map::new();
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let wanted = all || field["examples"].is_array() || required.contains(&&Value::from(name.as_str()));
        if wanted && let Some(value) = of_schema(schemas, field, all, depth + 1) {
            example.insert(name.clone(), value);
        }
    }
    example
}
