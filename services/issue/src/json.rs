//! JSON as protobuf's `Struct`.

use prost_types::{ListValue, Struct, Value, value::Kind};
use serde_json::Value as Json;

/// The deepest nesting that is given as structure. A level of JSON is up to three levels of protobuf messages, and
/// protobuf libraries refuse to read more than 100.
pub const MAX_STRUCT_DEPTH: usize = 24;

/// An object as a `Struct`; anything else as an empty one. What is nested deeper than [`MAX_STRUCT_DEPTH`] becomes
/// a string with its JSON text: readable, and nothing is lost.
pub fn to_struct(json: Json) -> Struct {
    match json {
        Json::Object(fields) => object(fields, MAX_STRUCT_DEPTH),
        _ => Struct::default(),
    }
}

fn object(fields: serde_json::Map<String, Json>, depth: usize) -> Struct {
    Struct { fields: fields.into_iter().map(|(name, json)| (name, value(json, depth - 1))).collect() }
}

fn value(json: Json, depth: usize) -> Value {
    let kind = match json {
        Json::Null => Kind::NullValue(0),
        Json::Bool(bool) => Kind::BoolValue(bool),
        // Every JSON number that serde_json reads is an f64 or an integer; large ones lose their last digits, as
        // they do in JavaScript.
        Json::Number(number) => Kind::NumberValue(number.as_f64().unwrap_or_default()),
        Json::String(text) => Kind::StringValue(text),
        Json::Array(_) | Json::Object(_) if depth == 0 => Kind::StringValue(json.to_string()),
        Json::Array(items) => Kind::ListValue(ListValue {
            values: items.into_iter().map(|item| value(item, depth - 1)).collect(),
        }),
        Json::Object(fields) => Kind::StructValue(object(fields, depth)),
    };
    Value { kind: Some(kind) }
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;

    #[test]
    fn every_kind_of_value_is_kept() {
        let json = serde_json::json!({"a": [null, true, 1.5, "x", {"b": []}]});
        let list = to_struct(json).fields.remove("a").unwrap();
        let Some(Kind::ListValue(list)) = list.kind else { panic!("{list:?}") };
        assert_eq!(list.values[2].kind, Some(Kind::NumberValue(1.5)));
        assert!(matches!(list.values[4].kind, Some(Kind::StructValue(_))));
    }

    #[test]
    fn what_is_too_deep_becomes_text_and_the_rest_can_be_decoded() {
        for shape in ["{\"a\":", "["] {
            let depth = 99;
            let close = if shape == "[" { "]" } else { "}" };
            let json = format!("{{\"a\":{}1{}}}", shape.repeat(depth), close.repeat(depth));
            let bytes = to_struct(serde_json::from_str(&json).unwrap()).encode_to_vec();
            let decoded = Struct::decode(bytes.as_slice()).unwrap();
            assert!(format!("{decoded:?}").contains("StringValue"), "{decoded:?}");
        }
    }
}
