//! JSON as protobuf's `Struct`.

use prost_types::{ListValue, Struct, Value, value::Kind};
use serde_json::{Number, Value as Json};

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
        Json::Number(number) => self::number(&number),
        Json::String(text) => Kind::StringValue(text),
        Json::Array(_) | Json::Object(_) if depth == 0 => Kind::StringValue(json.to_string()),
        Json::Array(items) => Kind::ListValue(ListValue {
            values: items.into_iter().map(|item| value(item, depth - 1)).collect(),
        }),
        Json::Object(fields) => Kind::StructValue(object(fields, depth)),
    };
    Value { kind: Some(kind) }
}

/// The integers that an f64 holds exactly; a Struct has no other numbers.
const EXACT: u64 = 1 << 53;

/// A number, or the text of an integer that would lose its last digits: ids are such, and are of no use without them.
fn number(number: &Number) -> Kind {
    let exact = match (number.as_u64(), number.as_i64()) {
        (None, None) => true,
        (Some(positive), _) => positive <= EXACT,
        (None, Some(negative)) => negative.unsigned_abs() <= EXACT,
    };
    match number.as_f64() {
        Some(float) if exact => Kind::NumberValue(float),
        _ => Kind::StringValue(number.to_string()),
    }
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
    fn integers_keep_their_last_digits() {
        for (json, expected) in [
            ("9007199254740992", Kind::NumberValue(9_007_199_254_740_992.0)),
            ("9007199254740993", Kind::StringValue("9007199254740993".to_owned())),
            ("-9007199254740993", Kind::StringValue("-9007199254740993".to_owned())),
            ("18446744073709551615", Kind::StringValue("18446744073709551615".to_owned())),
            ("1e300", Kind::NumberValue(1e300)),
        ] {
            assert_eq!(value(serde_json::from_str(json).unwrap(), 1).kind, Some(expected), "{json}");
        }
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
