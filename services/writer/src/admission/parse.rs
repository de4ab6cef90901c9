//! Parsing of an event's JSON no more than what is read of it: most of an event are context lines, variables and
//! breadcrumbs, which only have to be JSON.

use std::{borrow::Cow, fmt};

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::Number;

use super::json::{Json, Object};

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
pub(super) fn parse(json: &str) -> Result<Json<'_>, serde_json::Error> {
    let mut deserializer = serde_json::Deserializer::from_str(json);
    let value = EVENT.deserialize(&mut deserializer)?;
    deserializer.end()?;
    Ok(value)
}

impl<'de> DeserializeSeed<'de> for Part {
    type Value = Json<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Part {
    type Value = Json<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json<'de>, A::Error> {
        let Self::Members(members) = self else {
            let members = std::iter::from_fn(|| map.next_entry_seed(Text, Self::All).transpose());
            return Ok(Json::Object(members.collect::<Result<_, _>>()?));
        };
        let mut kept = Object::default();
        while let Some(found) = map.next_key_seed(Name(members))? {
            match found {
                Some((name, part)) => kept.set(name, map.next_value_seed(part)?),
                None => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(Json::Object(kept))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Json<'de>, A::Error> {
        let mut kept = Vec::new();
        while let Some(item) = items.next_element_seed(self)? {
            kept.push(item);
        }
        Ok(Json::Array(kept))
    }

    fn visit_unit<E>(self) -> Result<Json<'de>, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json<'de>, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json<'de>, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json<'de>, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json<'de>, E> {
        Ok(Number::from_f64(value).map_or(Json::Null, Json::Number))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Json<'de>, E> {
        Ok(Json::Text(Cow::Borrowed(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json<'de>, E> {
        Ok(Json::Text(Cow::Owned(value.to_owned())))
    }
}

/// Reads a text, borrowed where it holds no escape.
struct Text;

impl<'de> DeserializeSeed<'de> for Text {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Text {
    type Value = Cow<'de, str>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a string")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(text.to_owned()))
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
    use serde_json::{Value, json};

    use super::*;

    fn read(json: &str) -> Value {
        serde_json::to_value(parse(json).unwrap()).unwrap()
    }

    #[test]
    fn what_is_not_read_is_not_kept_and_has_to_be_json() {
        let event = r#"{"extra":{"message":"x","n":1e400},"message":"m","breadcrumbs":[[{}]],"message":"last",
            "exception":{"values":[{"type":"T","value":{"a":[1]},"mechanism":{},
                "stacktrace":{"frames":[{"function":"f","vars":{"a":1},"in_app":true,"lineno":1},null]}}],"x":1},
            "threads":[{"crashed":true,"id":1}],"sdk":{"name":"n","packages":[]},
            "tags":{"b\u0021":1,"a":{"b":1},"b!":"\n","a":{"c":-1.5,"b":18446744073709551615,"c":[null,{}]}}}"#;
        let expected = json!({
            "message": "last",
            "exception": {"values": [{"type": "T", "value": {"a": [1]},
                "stacktrace": {"frames": [{"function": "f", "in_app": true}, null]}}]},
            "threads": [{"crashed": true}],
            "sdk": {"name": "n"},
            "tags": {"a": {"b": u64::MAX, "c": [null, {}]}, "b!": "\n"},
        });
        assert_eq!(read(event), expected);
        for value in ["null", "true", "-1", "1", "1.5", "\"x\"", "[]", "{}"] {
            assert_eq!(read(value), value.parse::<Value>().unwrap());
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
