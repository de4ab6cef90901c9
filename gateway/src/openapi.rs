//! The `OpenAPI` 3.1 document of the API, made at the start from the same descriptors as the routes: comments are its
//! descriptions, and options of RPCs and fields are its security and its constraints.
//!
//! What a reader of the `.proto` files would not know is written here: what the gateway itself does (`errors`), and
//! the routes that it serves by hand (`ingest`).

mod comments;
mod errors;
mod example;
mod ingest;
mod operation;
mod options;
mod parameters;
mod schema;
mod types;

use std::collections::BTreeMap;

use prost_reflect::{DescriptorPool, MethodDescriptor, ServiceDescriptor};
use serde_json::{Map, Value, json};

pub(crate) use self::options::{Caller, caller};
use self::{comments::Comments, schema::Schemas};
use crate::{route::Route, routes::Routes};

/// What is said of the API as a whole.
const DESCRIPTION: &str = "\
Keeps the error events of applications, groups them into issues, and gives them back.

**Signing in.** `POST /v1/sessions` gives a token, which goes with other calls as `authorization: Bearer TOKEN`. \
Applications send events with a project's API key, as `x-mesher-key`.

**Errors** have one form, `Error`: `status` and `code` say what kind it is, and the detail `ErrorInfo` has a `reason` \
for programs. Requests are read strictly: an unknown field, a field given twice and a value out of range are refused, \
naming the field.

**Lists** come in pages: `nextPageToken` of one page is `pageToken` of the next, and is empty on the last.

**Deadlines.** A call ends within the limit of the installation (30 seconds by default), or within \
what `x-request-timeout` (seconds) or `grpc-timeout` asks for. `traceparent` goes through to the services. \
`x-request-id` names the call in the logs, and is in every answer.

Field names are lowerCamelCase, 64-bit integers are strings and times are RFC 3339, as in canonical proto3 JSON.";

/// The sections of HTTP methods that a path can have in a document.
const METHODS: [&str; 8] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

/// What the parts of the document are made with.
struct Builder {
    comments: Comments,
    schemas: Schemas,
    /// How often an RPC's name is used.
    names: BTreeMap<String, usize>,
}

/// The document of `routes`, whose RPCs are described in `pool`.
pub(crate) fn document(routes: &Routes, pool: &DescriptorPool) -> Value {
    let mut schemas = errors::schemas();
    if routes.iter().any(|route| route.ingest.is_some()) {
        schemas.insert("Event".to_owned(), ingest::event());
    }
    let mut builder =
        Builder { comments: Comments::new(pool), schemas: Schemas::with(schemas), names: BTreeMap::new() };
    for rpc in rpcs(routes).values() {
        *builder.names.entry(rpc.name().to_owned()).or_default() += 1;
    }
    // Answers first: a message that is in answers and in requests has its own name in answers.
    let mut answers: BTreeMap<String, Value> =
        rpcs(routes).into_iter().map(|(name, rpc)| (name, operation::answer(&mut builder, &rpc))).collect();
    let mut paths: BTreeMap<String, Map<String, Value>> = BTreeMap::new();
    let mut bindings: BTreeMap<String, usize> = BTreeMap::new();
    for route in routes.iter() {
        let binding = bindings.entry(route.rpc.full_name().to_owned()).or_default();
        *binding += 1;
        let method = route.method.to_ascii_lowercase();
        if METHODS.contains(&method.as_str()) {
            let answer = answers.entry(route.rpc.full_name().to_owned()).or_default();
            let operation = operation::operation(&mut builder, route, *binding, answer);
            paths.entry(parameters::path(route)).or_default().insert(method, operation);
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Mesher",
            "version": env!("CARGO_PKG_VERSION"),
            "description": DESCRIPTION,
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "servers": [{ "url": "/", "description": "This gateway." }],
        "tags": tags(routes, &builder.comments),
        "paths": paths,
        "components": {
            "schemas": builder.schemas.finish(),
            "headers": errors::headers(),
            "securitySchemes": options::security_schemes(),
        },
    })
}

/// The RPCs that have routes, by full name.
fn rpcs(routes: &Routes) -> BTreeMap<String, MethodDescriptor> {
    routes.iter().map(|route| (route.rpc.full_name().to_owned(), route.rpc.clone())).collect()
}

/// The section that a service's operations are in.
fn tag(service: &ServiceDescriptor) -> String {
    service
        .name()
        .strip_suffix("Service")
        .filter(|name| !name.is_empty())
        .unwrap_or(service.name())
        .to_owned()
}

fn tags(routes: &Routes, comments: &Comments) -> Vec<Value> {
    let mut tags: BTreeMap<String, Value> = BTreeMap::new();
    for Route { rpc, .. } in routes.iter() {
        let service = rpc.parent_service();
        let description = comments.of(&service.parent_file(), service.path());
        let tag = tag(service);
        tags.entry(tag.clone()).or_insert_with(|| json!({ "name": tag, "description": description }));
    }
    tags.into_values().collect()
}
