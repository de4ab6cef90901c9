//! Parsing of an event's JSON no more than what is read of it: most of an event are context lines, variables and
//! breadcrumbs, which only have to be JSON.

use mesher_common::payload::MAX_EVENT_DEPTH;

use super::{
    json::{Json, Object},
    reader::{Number, ReadError, Reader},
};

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
const MESSAGE: Part =
    Part::Members(&[("formatted", Part::All), ("message", Part::All), ("params", Part::All)]);
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

/// What is read of an event's JSON; all of it is checked to be JSON. Of members with the same name the last one counts. With it
/// the text as it is to be stored, if it is to be another.
pub(super) fn parse(json: &str) -> Result<(Json<'_>, Option<String>), ReadError> {
    let mut reader = Reader::new(json, MAX_EVENT_DEPTH);
    let value = EVENT.read(&mut reader)?;
    Ok((value, reader.end()?))
}

impl Part {
    fn read<'a>(self, reader: &mut Reader<'a>) -> Result<Json<'a>, ReadError> {
        match reader.peek() {
            Some(b'{') => self.read_object(reader).map(Json::Object),
            Some(b'[') => {
                let mut items = Vec::new();
                reader.array(|reader| {
                    items.push(self.read(reader)?);
                    Ok(())
                })?;
                Ok(Json::Array(items))
            }
            Some(b'"') => reader.string().map(Json::Text),
            Some(b't') => reader.word("true").map(|()| Json::Bool(true)),
            Some(b'f') => reader.word("false").map(|()| Json::Bool(false)),
            Some(b'n') => reader.word("null").map(|()| Json::Null),
            Some(b'-' | b'0'..=b'9') => Ok(match reader.number()? {
                // By the library that writes it, so that it is the same one.
                Number::Finite(digits) => digits.parse().map_or(Json::Null, Json::Number),
                Number::TooLarge(digits) => Json::Text(digits.into()),
            }),
            _ => Err(reader.missing("a value")),
        }
    }

    fn read_object<'a>(self, reader: &mut Reader<'a>) -> Result<Object<'a>, ReadError> {
        let Self::Members(members) = self else {
            let mut all = Vec::new();
            reader.object(|reader, name| {
                all.push((name, Self::All.read(reader)?));
                Ok(())
            })?;
            return Ok(all.into_iter().collect());
        };
        let mut kept = Object::default();
        reader.object(|reader, name| {
            match members.iter().find(|(member, _)| *member == name) {
                Some((member, part)) => kept.set(member, part.read(reader)?),
                None => reader.skip()?,
            }
            Ok(())
        })?;
        Ok(kept)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn read(json: &str) -> Value {
        serde_json::to_value(parse(json).unwrap().0).unwrap()
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
