//! Who may call what, as the options of the RPCs say.

use std::fmt::Write as _;

use prost_reflect::{DynamicMessage, ExtensionDescriptor, MethodDescriptor, Value};

/// What an RPC's access option says.
#[derive(Debug)]
pub(crate) struct Access {
    pub(crate) caller: String,
    pub(crate) resource: String,
}

/// An RPC's HTTP rule.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) verb: &'static str,
    pub(crate) path: String,
    pub(crate) has_body: bool,
}

/// Every RPC of the API.
pub(crate) fn methods() -> Vec<MethodDescriptor> {
    let services = mesher_proto::descriptor_pool().services();
    let ours = services.filter(|service| service.full_name().starts_with("mesher."));
    ours.flat_map(|service| service.methods().collect::<Vec<_>>()).collect()
}

fn extension(name: &str) -> ExtensionDescriptor {
    mesher_proto::descriptor_pool().get_extension_by_name(name).unwrap()
}

fn text(message: &DynamicMessage, field: &str) -> String {
    match message.get_field_by_name(field).as_deref() {
        Some(Value::String(text)) => text.clone(),
        _ => String::new(),
    }
}

pub(crate) fn access(method: &MethodDescriptor) -> Access {
    let options = method.options();
    let option = options.get_extension(&extension("mesher.access.v1.access"));
    let option = option.as_message().unwrap();
    let number = option.get_field_by_name("caller").unwrap().as_enum_number().unwrap();
    let callers = mesher_proto::descriptor_pool().get_enum_by_name("mesher.access.v1.Caller").unwrap();
    let caller = callers.get_value(number).unwrap().name().to_owned();
    Access { caller, resource: text(option, "resource") }
}

/// The RPC's HTTP rule; none for those that are gRPC's alone.
pub(crate) fn rule(method: &MethodDescriptor) -> Option<Rule> {
    let (options, http) = (method.options(), extension("google.api.http"));
    let rule = options.has_extension(&http).then(|| options.get_extension(&http))?;
    let rule = rule.as_message()?;
    ["get", "put", "post", "delete", "patch"].into_iter().find_map(|verb| {
        let path = text(rule, verb);
        (!path.is_empty()).then(|| Rule { verb, path, has_body: !text(rule, "body").is_empty() })
    })
}

/// The whole policy as a page to read.
pub(crate) fn page() -> String {
    let mut page = String::from(
        "# Who may call what\n\nThe whole policy, as the options of the RPCs have it (`mesher.access.v1.access`), from which \
         the code\nthat enforces it is generated. A role is one in the organization that the field names, or that what it \
         names\nbelongs to; each role may do what the ones after it may: owner, admin, member. Who has none is answered as if\n\
         there were no such thing. What stands beside these, within an RPC, is said by its comment: only owners make\nowners, \
         and the last one stays; users see those they share an organization with, and their own sessions.\n\n\
         A test holds this page to the API, and the services and the gateway to both: `tests/suite/tests/access/`.\n\n\
         | RPC | REST | least that the caller must be | of |\n|---|---|---|---|\n",
    );
    for method in methods() {
        let access = access(&method);
        let caller = match access.caller.as_str() {
            "CALLER_ANYONE" => "anyone",
            "CALLER_SESSION" => "signed in",
            "CALLER_MEMBER" => "member",
            "CALLER_ADMIN" => "admin",
            "CALLER_OWNER" => "owner",
            "CALLER_API_KEY" => "holder of an API key",
            other => panic!("{other} is unknown to this page"),
        };
        let rest = rule(&method).map_or_else(
            || "gRPC only".to_owned(),
            |rule| format!("{} {}", rule.verb.to_uppercase(), rule.path),
        );
        let service = method.parent_service();
        let of = if access.resource.is_empty() { String::new() } else { format!("`{}`", access.resource) };
        // Writing to a String cannot fail.
        let _ = writeln!(page, "| {}.{} | {rest} | {caller} | {of} |", service.name(), method.name());
    }
    page
}
