//! What options of the API say about RPCs and fields: `mesher.access.v1.access` and `mesher.rules.v1.rules`. An API
//! whose files do not import them has neither.

use prost_reflect::{
    DynamicMessage, ExtensionDescriptor, FieldDescriptor, MessageDescriptor, MethodDescriptor,
    OneofDescriptor, ReflectMessage as _, Value as Proto,
};
use serde_json::{Map, Value, json};

/// Who may call an RPC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caller {
    /// Anyone.
    Anyone,
    /// Whoever has a session.
    Session,
    /// Whoever has a project's API key.
    ApiKey,
}

/// The credentials that there are.
pub(super) fn security_schemes() -> Value {
    json!({
        "session": {
            "type": "http",
            "scheme": "bearer",
            "description": "A session's token: 64 hex digits, from `POST /v1/sessions`.",
        },
        "apiKey": {
            "type": "apiKey",
            "in": "header",
            "name": mesher_common::access::API_KEY_HEADER,
            "description": "A project's API key: `mshr_` and 48 hex digits, from `POST /v1/projects/{project_id}/api-keys`.",
        },
    })
}

/// Who may call `rpc`; `None` if it does not say.
pub(crate) fn caller(rpc: &MethodDescriptor) -> Option<Caller> {
    let access =
        option(&rpc.parent_pool().get_extension_by_name("mesher.access.v1.access")?, &rpc.options())?;
    let caller = access.get_field_by_name("caller")?.as_enum_number()?;
    let field = access.descriptor().get_field_by_name("caller")?;
    let value = field.kind().as_enum()?.get_value(caller)?.name().to_owned();
    match value.as_str() {
        "CALLER_UNSPECIFIED" => None,
        "CALLER_ANYONE" => Some(Caller::Anyone),
        "CALLER_API_KEY" => Some(Caller::ApiKey),
        _ => Some(Caller::Session),
    }
}

impl Caller {
    /// The security requirement of an operation.
    pub(super) fn security(self) -> Value {
        match self {
            Self::Anyone => json!([]),
            Self::Session => json!([{ "session": [] }]),
            Self::ApiKey => json!([{ "apiKey": [] }]),
        }
    }
}

/// What values a field takes.
#[derive(Clone, Debug, Default)]
pub(super) struct Rules {
    /// Whether it has to be given.
    pub(super) required: bool,
    /// An example of a value.
    pub(super) example: Option<Value>,
    /// The rest, as keywords of JSON Schema.
    pub(super) keywords: Map<String, Value>,
}

/// Whether one of the fields has to be given.
pub(super) fn one_is_required(oneof: &OneofDescriptor) -> bool {
    let extension = oneof.parent_pool().get_extension_by_name("mesher.rules.v1.required");
    extension.is_some_and(|extension| oneof.options().get_extension(&extension).as_bool() == Some(true))
}

/// Whether one of the fields in a request's body has to be given, whichever.
pub(super) fn is_not_empty(message: &MessageDescriptor) -> bool {
    let extension = message.parent_pool().get_extension_by_name("mesher.rules.v1.not_empty");
    extension.is_some_and(|extension| message.options().get_extension(&extension).as_bool() == Some(true))
}

/// The rules of `field`.
pub(super) fn rules(field: &FieldDescriptor) -> Rules {
    let extension = field.parent_pool().get_extension_by_name("mesher.rules.v1.rules");
    let Some(option) = extension.and_then(|extension| option(&extension, &field.options())) else {
        return Rules::default();
    };
    let mut rules = Rules::default();
    for (field, value) in option.fields() {
        let value: Value = match value {
            Proto::Bool(value) => (*value).into(),
            Proto::String(value) => value.clone().into(),
            Proto::U32(value) => (*value).into(),
            Proto::I64(value) => (*value).into(),
            _ => continue,
        };
        match field.json_name() {
            "required" => rules.required = value == true,
            "example" => rules.example = Some(value),
            keyword => {
                rules.keywords.insert(keyword.to_owned(), value);
            }
        }
    }
    rules
}

fn option(extension: &ExtensionDescriptor, options: &DynamicMessage) -> Option<DynamicMessage> {
    if options.has_extension(extension) {
        options.get_extension(extension).as_message().cloned()
    } else {
        None
    }
}
