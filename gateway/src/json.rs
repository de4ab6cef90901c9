//! Canonical proto3 JSON, read strictly and written for people.
//!
//! Read: an unknown field, a field given twice (also by both of its names), a key given twice in a map or in
//! free-form JSON, two fields of one oneof, and a value out of its field's range are refused, naming the field by
//! its path. Values themselves are read by prost-reflect.
//!
//! Written: field names in lowerCamelCase, 64-bit integers as strings, enum values by name. Fields without presence
//! are always there, so that a client sees `"nextPageToken": ""` and `"bufferedCount": "0"`; a message, an
//! `optional` field or a field of a oneof is there when it is set, and never `null`.

use std::{cell::RefCell, collections::HashSet, fmt};

use mesher_common::status::{self, Violation};
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, SerializeOptions, Value};
use serde::{
    Deserialize as _,
    de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;
use tonic::Status;

use crate::{
    field::{assign, field_named, is_well_known, other_of_oneof},
    strict::{self, MAX_DEPTH},
};

/// How messages are written; see the [module](self).
const WRITTEN: SerializeOptions = SerializeOptions::new().skip_default_fields(false);

/// The most characters of what was sent that an error repeats.
const MAX_QUOTED: usize = 200;

/// Reads a message from the whole of `json`.
pub(crate) fn read_message(message: &MessageDescriptor, json: &[u8]) -> Result<DynamicMessage, Status> {
    read(json, |reader, json| {
        if is_well_known(message) {
            reader.leaf(json, |json| DynamicMessage::deserialize(message.clone(), json))
        } else {
            MessageSeed { message, reader }.deserialize(json)
        }
    })
}

/// Reads the value of `field` from the whole of `json`; `None` if it is `null` or the field's default.
pub(crate) fn read_field(field: &FieldDescriptor, json: &[u8]) -> Result<Option<Value>, Status> {
    read(json, |reader, json| FieldSeed { field, reader }.deserialize(json))
}

/// Writes `message`, or of it only the value of `field`.
pub(crate) fn write(
    message: &DynamicMessage,
    field: Option<&FieldDescriptor>,
) -> Result<Vec<u8>, serde_json::Error> {
    let Some(field) = field else {
        let mut json = Vec::with_capacity(256);
        message.serialize_with_options(&mut serde_json::Serializer::new(&mut json), &WRITTEN)?;
        return Ok(json);
    };
    let mut whole = to_value(message)?;
    serde_json::to_vec(&whole.get_mut(field.json_name()).map(serde_json::Value::take))
}

/// The JSON of `message` as a value.
pub(crate) fn to_value(message: &DynamicMessage) -> Result<serde_json::Value, serde_json::Error> {
    message.serialize_with_options(serde_json::value::Serializer, &WRITTEN)
}

fn read<'j, T>(
    json: &'j [u8],
    read: impl FnOnce(&Reader, &'j RawValue) -> Result<T, serde_json::Error>,
) -> Result<T, Status> {
    // Whether it is JSON at all is found out first, and without recursion: what goes wrong later is about a field.
    let raw = serde_json::from_slice(json)
        .map_err(|error| status::malformed(format!("the body is not JSON: {error}")))?;
    let reader = Reader::default();
    read(&reader, raw).map_err(|error| match reader.violation.take() {
        Some(violation) if !violation.field.is_empty() => violation.into(),
        _ => status::malformed(format!("the body is not what the call takes: {}", short(error.to_string()))),
    })
}

fn short(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(MAX_QUOTED) {
        text.truncate(end);
        text.push('…');
    }
    text
}

/// What the JSON reader says, without where.
pub(crate) fn without_position(error: &impl fmt::Display) -> String {
    let mut text = error.to_string();
    text.truncate(text.rfind(" at line ").unwrap_or(text.len()));
    text
}

/// Where in a message the reading is, and what it came upon there.
#[derive(Default)]
struct Reader {
    path: RefCell<Vec<String>>,
    violation: RefCell<Option<Violation>>,
}

impl Reader {
    /// Does `inner` as a part of `step`.
    fn within<T>(&self, step: String, inner: impl FnOnce() -> T) -> T {
        self.path.borrow_mut().push(step);
        let result = inner();
        self.path.borrow_mut().pop();
        result
    }

    /// Notes what is wrong here. What was noted first stays: it is the cause of the errors further out.
    fn refuse<E: serde::de::Error>(&self, description: String) -> E {
        let field = self.path.borrow().join(".").replace(".[", "[");
        let description = short(description);
        let error = E::custom(&description);
        self.violation.borrow_mut().get_or_insert_with(|| Violation::new(field, description));
        error
    }

    /// As [`Self::refuse`], for an error of the JSON reader, whose position may be one in the field's own JSON.
    fn invalid<E: serde::de::Error>(&self, error: &E) -> E {
        self.refuse(format!("is not valid: {}", without_position(error)))
    }

    /// Reads what has no fields that could be named.
    fn leaf<'j, T, E: serde::de::Error>(
        &self,
        json: &'j RawValue,
        read: impl FnOnce(&'j RawValue) -> Result<T, serde_json::Error>,
    ) -> Result<T, E> {
        strict::check(json).map_err(|description| self.refuse(description))?;
        read(json).map_err(|error| self.invalid(&E::custom(error)))
    }
}

/// Reads the value of a field: `None` if it is `null` or the field's default.
#[derive(Clone, Copy)]
struct FieldSeed<'a> {
    field: &'a FieldDescriptor,
    reader: &'a Reader,
}

impl<'de> DeserializeSeed<'de> for FieldSeed<'_> {
    type Value = Option<Value>;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<Option<Value>, D::Error> {
        let reader = self.reader;
        reader.within(self.field.name().to_owned(), || match self.field.kind() {
            Kind::Message(message) if !self.field.is_map() && !is_well_known(&message) => {
                json.deserialize_option(self).map_err(|error| reader.invalid(&error))
            }
            _ => reader.leaf(<&RawValue>::deserialize(json)?, |json| assign(self.field, json)),
        })
    }
}

/// Of a field whose values are messages with fields that can be named.
impl<'de> Visitor<'de> for FieldSeed<'_> {
    type Value = Option<Value>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object or an array")
    }

    fn visit_unit<E>(self) -> Result<Option<Value>, E> {
        Ok(None)
    }

    fn visit_none<E>(self) -> Result<Option<Value>, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, json: D) -> Result<Option<Value>, D::Error> {
        let Kind::Message(message) = self.field.kind() else {
            return Ok(None);
        };
        let seed = MessageSeed { message: &message, reader: self.reader };
        if self.field.is_list() {
            json.deserialize_seq(ListVisitor(seed)).map(Some)
        } else {
            seed.deserialize(json).map(Value::Message).map(Some)
        }
    }
}

#[derive(Clone, Copy)]
struct MessageSeed<'a> {
    message: &'a MessageDescriptor,
    reader: &'a Reader,
}

impl<'de> DeserializeSeed<'de> for MessageSeed<'_> {
    type Value = DynamicMessage;

    fn deserialize<D: Deserializer<'de>>(self, json: D) -> Result<DynamicMessage, D::Error> {
        json.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for MessageSeed<'_> {
    type Value = DynamicMessage;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<DynamicMessage, A::Error> {
        let reader = self.reader;
        if reader.path.borrow().len() > MAX_DEPTH {
            return Err(reader.refuse(format!("is nested deeper than {MAX_DEPTH} levels")));
        }
        let mut message = DynamicMessage::new(self.message.clone());
        let mut seen = HashSet::new();
        while let Some(name) = map.next_key::<String>()? {
            let refuse = |why: String| reader.within(short(name.clone()), || reader.refuse(why));
            let Some(field) = field_named(self.message, &name) else {
                return Err(refuse(format!("is no field of {}", self.message.full_name())));
            };
            if !seen.insert(field.number()) {
                return Err(refuse("is given twice".to_owned()));
            }
            let Some(value) = map.next_value_seed(FieldSeed { field: &field, reader })? else {
                continue;
            };
            if let Some(other) = other_of_oneof(&message, &field) {
                return Err(refuse(format!("excludes {}, which is given as well", other.name())));
            }
            message.set_field(&field, value);
        }
        Ok(message)
    }
}

struct ListVisitor<'a>(MessageSeed<'a>);

impl<'de> Visitor<'de> for ListVisitor<'_> {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Value, A::Error> {
        let reader = self.0.reader;
        let mut values = Vec::new();
        let mut next = |index: usize| {
            reader.within(format!("[{index}]"), || {
                elements.next_element_seed(self.0).map_err(|error| reader.invalid(&error))
            })
        };
        while let Some(message) = next(values.len())? {
            values.push(Value::Message(message));
        }
        Ok(Value::List(values))
    }
}
