//! Request fields that are named by a path, such as `parent.org_id`, and given as text: in a URL's path or query.

use std::fmt;

use mesher_common::status::Violation;
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, Value};
use serde::de::{IntoDeserializer, value::MapDeserializer};

use crate::strict::MAX_DEPTH;

/// A field of a message, or of a message in it: never empty, and all but the last are messages.
#[derive(Clone, Debug)]
pub(crate) struct FieldPath(Vec<FieldDescriptor>);

/// Whether a field's value can be given as text, and how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// As one text.
    Single,
    /// As any number of texts.
    Repeated,
    /// Not at all: it is a message with fields of its own, a map, or free-form JSON.
    NotText,
}

impl FieldPath {
    /// The field of `message` that `path` names, each step by the field's name or its JSON name.
    pub(crate) fn resolve(message: &MessageDescriptor, path: &str) -> Option<Self> {
        let mut fields: Vec<FieldDescriptor> = Vec::new();
        for name in path.split('.') {
            if fields.len() == MAX_DEPTH {
                return None;
            }
            let message = match fields.last() {
                None => message.clone(),
                Some(parent) => fields_of(parent)?,
            };
            fields.push(field_named(&message, name)?);
        }
        Some(Self(fields))
    }

    /// The form in which the field's value is given.
    pub(crate) fn form(&self) -> Form {
        match self.last() {
            None => Form::NotText,
            Some(field) if field.is_map() || !is_text(&field.kind()) => Form::NotText,
            Some(field) if field.is_list() => Form::Repeated,
            Some(_) => Form::Single,
        }
    }

    /// Whether this is `field` of the request itself, or in it.
    pub(crate) fn is_within(&self, field: &FieldDescriptor) -> bool {
        self.0.first() == Some(field)
    }

    /// Sets the field to what `texts` say, in a message that has no other value for it.
    pub(crate) fn set(&self, message: &mut DynamicMessage, texts: &[String]) -> Result<(), Violation> {
        let Some((field, parents)) = self.0.split_last() else {
            return Ok(());
        };
        let value = self.parse(field, texts)?;
        let message = self.enter(message, parents)?;
        self.check_oneof(message, field)?;
        if message.has_field(field) && value.as_ref() != Some(&*message.get_field(field)) {
            return Err(self.violation("is given twice, with different values"));
        }
        if let Some(value) = value {
            message.set_field(field, value);
        }
        Ok(())
    }

    fn parse(&self, field: &FieldDescriptor, texts: &[String]) -> Result<Option<Value>, Violation> {
        let kind = field.kind();
        let mut values = texts.iter().map(|text| json(&kind, text));
        let value = if field.is_list() {
            serde_json::Value::Array(values.collect())
        } else {
            values.next().unwrap_or_default()
        };
        assign(field, value).map_err(|error| self.violation(format!("is not valid: {error}")))
    }

    /// The message that holds the last field, made where it is missing.
    fn enter<'m>(
        &self,
        mut message: &'m mut DynamicMessage,
        parents: &[FieldDescriptor],
    ) -> Result<&'m mut DynamicMessage, Violation> {
        for parent in parents {
            self.check_oneof(message, parent)?;
            message = message
                .get_field_mut(parent)
                .as_message_mut()
                .ok_or_else(|| Violation::new(self.to_string(), "is in a field that is no message"))?;
        }
        Ok(message)
    }

    fn check_oneof(&self, message: &DynamicMessage, field: &FieldDescriptor) -> Result<(), Violation> {
        match other_of_oneof(message, field) {
            Some(other) => Err(self.violation(format!("excludes {}, which is given as well", other.name()))),
            None => Ok(()),
        }
    }

    fn violation(&self, description: impl Into<String>) -> Violation {
        Violation::new(self.to_string(), description)
    }

    /// The field itself.
    pub(crate) fn last(&self) -> Option<&FieldDescriptor> {
        self.0.last()
    }

    /// The field of the request that this is, or is in.
    pub(crate) fn top_level(&self) -> Option<&FieldDescriptor> {
        self.0.first()
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, field) in self.0.iter().enumerate() {
            let dot = if index == 0 { "" } else { "." };
            write!(formatter, "{dot}{}", field.name())?;
        }
        Ok(())
    }
}

/// The field of `message` with that name or JSON name.
pub(crate) fn field_named(message: &MessageDescriptor, name: &str) -> Option<FieldDescriptor> {
    message.get_field_by_json_name(name).or_else(|| message.get_field_by_name(name))
}

/// The message whose fields `field` has; `None` if it has none that could be named.
fn fields_of(field: &FieldDescriptor) -> Option<MessageDescriptor> {
    match field.kind() {
        Kind::Message(message) if !field.is_list() && !field.is_map() && !is_well_known(&message) => {
            Some(message)
        }
        _ => None,
    }
}

/// Another field that is set and that excludes `field`, being of the same oneof.
pub(crate) fn other_of_oneof(message: &DynamicMessage, field: &FieldDescriptor) -> Option<FieldDescriptor> {
    let oneof = field.containing_oneof()?;
    oneof.fields().find(|other| other != field && message.has_field(other))
}

/// Whether the message's JSON is not an object of its fields (or, of some, could be none).
pub(crate) fn is_well_known(message: &MessageDescriptor) -> bool {
    message.package_name() == "google.protobuf"
}

/// The value that `field` has in the request when its JSON is `value`; `None` if that is no value, or its default.
pub(crate) fn assign<'de, V>(field: &FieldDescriptor, value: V) -> Result<Option<Value>, serde_json::Error>
where
    V: IntoDeserializer<'de, serde_json::Error>,
{
    // prost-reflect reads whole messages only: the value is read as the one field of its message.
    let entries = MapDeserializer::new(std::iter::once((field.json_name(), value)));
    let mut message = DynamicMessage::deserialize(field.parent_message().clone(), entries)?;
    Ok(message.take_field(field))
}

fn is_text(kind: &Kind) -> bool {
    match kind {
        Kind::Message(message) => {
            wrapped(message).is_some()
                || matches!(
                    message.full_name(),
                    "google.protobuf.Timestamp" | "google.protobuf.Duration" | "google.protobuf.FieldMask"
                )
        }
        _ => true,
    }
}

/// What a wrapper message such as `google.protobuf.BoolValue` wraps.
fn wrapped(message: &MessageDescriptor) -> Option<Kind> {
    let wrapper = message.parent_file().name() == "google/protobuf/wrappers.proto";
    message.get_field_by_name("value").filter(|_| wrapper).map(|field| field.kind())
}

/// The JSON that means the same as `text` in a URL: canonical JSON takes numbers as strings, but neither booleans
/// nor the numbers of enum values.
fn json(kind: &Kind, text: &str) -> serde_json::Value {
    let wrapped = kind.as_message().and_then(wrapped);
    match (wrapped.as_ref().unwrap_or(kind), text) {
        (Kind::Bool, "true") => true.into(),
        (Kind::Bool, "false") => false.into(),
        (Kind::Enum(_), number) => number.parse::<i32>().map_or_else(|_| number.into(), Into::into),
        (_, text) => text.into(),
    }
}
