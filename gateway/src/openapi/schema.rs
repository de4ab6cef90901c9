//! Messages and enums as JSON Schema, each a component of the document.

use std::collections::BTreeMap;

use prost_reflect::{EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor, OneofDescriptor};
use serde_json::{Map, Value, json};

use super::{
    comments::Comments,
    options::{is_not_empty, one_is_required, rules},
    types::{scalar, well_known},
};

/// Which way a message goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Way {
    /// In a request: unknown fields are refused, and only some have to be given.
    In,
    /// In an answer: fields without presence are always there.
    Out,
}

/// The components that are in use.
#[derive(Default)]
pub(super) struct Schemas {
    /// The names of messages and enums.
    names: BTreeMap<(Way, String), String>,
    schemas: BTreeMap<String, Value>,
}

impl Schemas {
    /// None but these.
    pub(super) fn with(schemas: Map<String, Value>) -> Self {
        Self { names: BTreeMap::new(), schemas: schemas.into_iter().collect() }
    }

    /// All components.
    pub(super) fn finish(self) -> Map<String, Value> {
        self.schemas.into_iter().collect()
    }

    /// The schema that `name` stands for.
    pub(super) fn get(&self, reference: &str) -> Option<&Value> {
        self.schemas.get(reference.strip_prefix(PREFIX)?)
    }

    /// A message, without the fields in `left_out`.
    pub(super) fn message(
        &mut self,
        message: &MessageDescriptor,
        way: Way,
        left_out: &[FieldDescriptor],
        comments: &Comments,
    ) -> Value {
        if let Some(schema) = well_known(message) {
            return schema;
        }
        let key = (way, format!("{}{left_out:?}", message.full_name()));
        if let Some(name) = self.names.get(&key) {
            return reference(name);
        }
        let name = self.name(message.name(), message.full_name(), way);
        self.names.insert(key, name.clone());
        // It may hold itself.
        self.schemas.insert(name.clone(), Value::Null);
        let mut properties = Map::new();
        let mut required = Vec::new();
        for field in message.fields().filter(|field| !left_out.contains(field)) {
            let must = match way {
                Way::In => rules(&field).required,
                Way::Out => !field.supports_presence(),
            };
            if must {
                required.push(Value::from(field.json_name()));
            }
            let mut property = self.field(&field, way, comments);
            if way == Way::In && !must && !is_chosen(&field) {
                allow_null(&mut property);
            }
            properties.insert(field.json_name().to_owned(), property);
        }
        let mut schema = json!({ "type": "object", "properties": properties });
        describe(&mut schema, comments.of(&message.parent_file(), message.path()));
        if !required.is_empty() {
            schema["required"] = required.into();
        }
        if way == Way::In {
            schema["additionalProperties"] = false.into();
            if is_not_empty(message) {
                let names = schema["properties"].as_object().into_iter().flat_map(|fields| fields.keys());
                schema["anyOf"] = names.map(|name| given(name)).collect();
            }
            let choices: Vec<Value> = message.oneofs().filter_map(|oneof| choice(&oneof)).collect();
            if !choices.is_empty() {
                schema["allOf"] = choices.into();
            }
        }
        self.schemas.insert(name.clone(), schema);
        reference(&name)
    }

    /// A field, with its description and its rules.
    pub(super) fn field(&mut self, field: &FieldDescriptor, way: Way, comments: &Comments) -> Value {
        let kind = field.kind();
        let mut schema = match kind.as_message() {
            Some(entry) if field.is_map() => {
                let values = self.kind(&entry.map_entry_value_field().kind(), way, comments);
                json!({ "type": "object", "additionalProperties": values })
            }
            _ if field.is_list() => json!({ "type": "array", "items": self.kind(&kind, way, comments) }),
            _ => self.kind(&kind, way, comments),
        };
        let rules = rules(field);
        if let (Kind::Enum(kind), true, Way::In) = (&kind, rules.required, way) {
            schema["not"] = json!({ "const": kind.default_value().name() });
        }
        if let Some(schema) = schema.as_object_mut() {
            schema.extend(rules.keywords);
        }
        if let Some(example) = rules.example {
            schema["examples"] = json!([example]);
        }
        describe(&mut schema, comments.of(&field.parent_message().parent_file(), field.path()));
        schema
    }

    fn kind(&mut self, kind: &Kind, way: Way, comments: &Comments) -> Value {
        match kind {
            Kind::Message(message) => self.message(message, way, &[], comments),
            Kind::Enum(kind) if kind.full_name() == "google.protobuf.NullValue" => json!({ "type": "null" }),
            Kind::Enum(kind) => self.enumeration(kind, comments),
            scalar_kind => scalar(scalar_kind).unwrap_or_default(),
        }
    }

    fn enumeration(&mut self, kind: &EnumDescriptor, comments: &Comments) -> Value {
        let key = (Way::Out, kind.full_name().to_owned());
        if let Some(name) = self.names.get(&key) {
            return reference(name);
        }
        let name = self.name(kind.name(), kind.full_name(), Way::Out);
        self.names.insert(key, name.clone());
        let names: Vec<_> = kind.values().map(|value| value.name().to_owned()).collect();
        let mut text = comments.of(&kind.parent_file(), kind.path()).to_owned();
        text.push('\n');
        for value in kind.values() {
            let comment = comments.of(&kind.parent_file(), value.path());
            text.extend(["\n- `", value.name(), "`"]);
            text.extend(if comment.is_empty() { ["", ""] } else { [": ", comment] });
        }
        let mut schema = json!({ "type": "string", "enum": names });
        describe(&mut schema, text.trim());
        self.schemas.insert(name.clone(), schema);
        reference(&name)
    }

    /// The short name if nothing else has it, or the full one.
    fn name(&self, short: &str, full: &str, way: Way) -> String {
        let free = |name: &String| !self.schemas.contains_key(name);
        let names = [short.to_owned(), format!("{short}Input"), full.to_owned()];
        let mut names = names.into_iter().enumerate().filter(|(index, _)| *index != 1 || way == Way::In);
        let numbered = || (2..=self.schemas.len() + 2).map(|number| format!("{full}.{number}")).find(free);
        names.find(|(_, name)| free(name)).map(|(_, name)| name).or_else(numbered).unwrap_or_default()
    }
}

/// That fields of a oneof exclude each other; `None` where there is nothing to exclude.
fn choice(oneof: &OneofDescriptor) -> Option<Value> {
    if oneof.is_synthetic() || oneof.fields().len() < 2 {
        return None;
    }
    let given = |field: FieldDescriptor| json!({ "required": [field.json_name()] });
    let mut choices: Vec<Value> = oneof.fields().map(given).collect();
    if !one_is_required(oneof) {
        choices.push(json!({ "not": { "anyOf": choices } }));
    }
    Some(json!({ "oneOf": choices }))
}

/// That the property is there, and says something.
pub(super) fn given(name: &str) -> Value {
    json!({ "required": [name], "properties": { name: { "not": { "type": "null" } } } })
}

/// Whether the field excludes others, as one of a oneof.
fn is_chosen(field: &FieldDescriptor) -> bool {
    field.containing_oneof().is_some_and(|oneof| !oneof.is_synthetic())
}

/// That a field may be `null`, which says the same as leaving it out.
fn allow_null(property: &mut Value) {
    if let Some(kind) = property["type"].as_str() {
        property["type"] = json!([kind, "null"]);
    } else if let Some(reference) = property.as_object_mut().and_then(|property| property.remove("$ref")) {
        property["anyOf"] = json!([{ "$ref": reference }, { "type": "null" }]);
    }
}

/// What references to components begin with.
const PREFIX: &str = "#/components/schemas/";

/// A reference to the component of that name.
pub(super) fn reference(name: &str) -> Value {
    json!({ "$ref": format!("{PREFIX}{name}") })
}

/// Adds a description, if there is one.
pub(super) fn describe(schema: &mut Value, text: &str) {
    if !text.is_empty() {
        schema["description"] = text.into();
    }
}
