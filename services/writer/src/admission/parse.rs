//! Parsing of an event's JSON no more than what is read of it: most of an event are context lines, variables and
//! breadcrumbs, which only have to be JSON.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

/// What is kept of a value.
#[derive(Clone, Copy, Debug)]
enum Part {
    /// All of it.
    All,
    /// Of an object these members, and of each what is said of it; of a list the same of each of its items; and all of what is
    /// neither.
    Members(&'static [(&'static str, Part)]),
}

const EVENT: Part = Part::Members(&[
    ("event_id", Part::All),
    ("timestamp", Part::All),
    ("level", Part::All),
    ("message", MESSAGE),
    ("logentry", MESSAGE),
    ("exception", EXCEPTION),
    ("stacktrace", STACK),
    ("threads", THREADS),
    ("fingerprint", Part::All),
    ("release", Part::All),
    ("environment", Part::All),
    ("sdk", Part::Members(&[("name", Part::All), ("version", Part::All)])),
    ("tags", Part::All),
    ("user", Part::All),
]);
const MESSAGE: Part = Part::Members(&[("formatted", Part::All), ("message", Part::All)]);
const EXCEPTION: Part = Part::Members(&[
    ("values", Part::Members(&[("type", Part::All), ("value", Part::All), ("stacktrace", STACK)])),
    ("type", Part::All),
    ("value", Part::All),
    ("stacktrace", STACK),
]);
const THREADS: Part = Part::Members(&[
    ("values", Part::Members(&[("crashed", Part::All), ("current", Part::All), ("stacktrace", STACK)])),
    ("crashed", Part::All),
    ("current", Part::All),
    ("stacktrace", STACK),
]);
const STACK: Part = Part::Members(&[(
    "frames",
    Part::Members(&[
        ("module", Part::All),
        ("function", Part::All),
        ("filename", Part::All),
        ("in_app", Part::All),
    ]),
)]);

/// What is read of an event's JSON; all of it is checked to be JSON. Of members with the same name the last one counts.
pub(super) fn parse(json: &str) -> Result<Value, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let value = EVENT.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}

impl<'de> DeserializeSeed<'de> for Part {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        match self {
            Self::All => serde::Deserialize::deserialize(deserializer),
            Self::Members(members) => deserializer.deserialize_any(Members(members)),
        }
    }
}

struct Members(&'static [(&'static str, Part)]);

impl<'de> Visitor<'de> for Members {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut kept = Map::new();
        while let Some(found) = map.next_key_seed(Name(self.0))? {
            match found {
                Some((name, part)) => {
                    let value = map.next_value_seed(part)?;
                    kept.insert(name.to_owned(), value);
                }
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(Value::Object(kept))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut kept = Vec::new();
        while let Some(item) = items.next_element_seed(Part::Members(self.0))? {
            kept.push(item);
        }
        Ok(Value::Array(kept))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::from(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }
}

/// Finds a member's name among those that are kept.
struct Name(&'static [(&'static str, Part)]);

impl<'de> DeserializeSeed<'de> for Name {
    type Value = Option<(&'static str, Part)>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Name {
    type Value = Option<(&'static str, Part)>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a member's name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.iter().find(|(kept, _)| *kept == name).copied())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_not_read_is_not_kept_and_has_to_be_json() {
        let event = r#"{"extra":{"message":"x","n":1e400},"message":"m","breadcrumbs":[[{}]],"message":"last",
            "exception":{"values":[{"type":"T","value":{"a":[1]},"mechanism":{},
                "stacktrace":{"frames":[{"function":"f","vars":{"a":1},"in_app":true,"lineno":1},null]}}],"x":1},
            "threads":[{"crashed":true,"id":1}],"sdk":{"name":"n","packages":[]},"tags":{"a":{"b":1}}}"#;
        let expected = json!({
            "message": "last",
            "exception": {"values": [{"type": "T", "value": {"a": [1]},
                "stacktrace": {"frames": [{"function": "f", "in_app": true}, null]}}]},
            "threads": [{"crashed": true}],
            "sdk": {"name": "n"},
            "tags": {"a": {"b": 1}},
        });
        assert_eq!(parse(event).unwrap(), expected);
        for value in ["null", "true", "-1", "1", "1.5", "\"x\"", "[]", "{}"] {
            assert_eq!(parse(value).unwrap(), value.parse::<Value>().unwrap());
        }
        for wrong in [
            "",
            "{",
            "{}x",
            r#"{"extra":[1,]}"#,
            r#"{"extra":{1:2}}"#,
            r#"{"extra":"\x"}"#,
            r#"{"extra":01}"#,
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
