//! Protobuf's `Struct` as JSON text.

use prost_types::{Struct, Value, value::Kind};
use serde_json::{Map, Number, Value as Json};

/// The JSON text of a `Struct`. Whole numbers are written without a fraction; what JSON cannot write (NaN and
/// the infinities) becomes null, as the field was never set.
pub(super) fn to_json(event: &Struct) -> Vec<u8> {
    Json::Object(object(event)).to_string().into_bytes()
}

fn object(event: &Struct) -> Map<String, Json> {
    event.fields.iter().map(|(name, value)| (name.clone(), json(value))).collect()
}

fn json(value: &Value) -> Json {
    match &value.kind {
        None | Some(Kind::NullValue(_)) => Json::Null,
        Some(Kind::BoolValue(bool)) => Json::Bool(*bool),
        Some(Kind::NumberValue(number)) => self::number(*number).map_or(Json::Null, Json::Number),
        Some(Kind::StringValue(text)) => Json::String(text.clone()),
        Some(Kind::ListValue(list)) => list.values.iter().map(json).collect(),
        Some(Kind::StructValue(fields)) => Json::Object(object(fields)),
    }
}

/// The integers that an f64 holds exactly.
const EXACT: f64 = 9_007_199_254_740_992.0;

fn number(number: f64) -> Option<Number> {
    if number.fract() == 0.0 && number.abs() < EXACT {
        #[expect(clippy::cast_possible_truncation, reason = "a whole number below 2^53")]
        let whole = number as i64;
        return Some(whole.into());
    }
    Number::from_f64(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_people_would() {
        let text = |n: f64| number(n).map(|n| n.to_string());
        assert_eq!(text(3.0).as_deref(), Some("3"));
        assert_eq!(text(-0.5).as_deref(), Some("-0.5"));
        assert_eq!(text(1e300).as_deref(), Some("1e+300"));
        assert_eq!(text(f64::NAN), None);
    }
}
