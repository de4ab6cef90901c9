//! What every RPC of the API has, read from the descriptors.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::collections::{BTreeMap, BTreeSet};

use prost_reflect::{MethodDescriptor, Value};

/// The RPCs that cannot be reached over HTTP, and why.
const GRPC_ONLY: [(&str, &str); 2] = [
    ("mesher.project.v1.ProjectService.GetProjectByApiKey", "for services that hold a key, not for people"),
    (
        "mesher.writer.v1.WriterService.StoreStream",
        "HTTP has no bidirectional streams; StoreBatch is its counterpart",
    ),
];

fn methods() -> Vec<MethodDescriptor> {
    let pool = mesher_proto::descriptor_pool();
    let services = pool.services().filter(|service| service.full_name().starts_with("mesher."));
    services.flat_map(|service| service.methods().collect::<Vec<_>>()).collect()
}

/// The HTTP method and path of an RPC's rule.
fn http_rule(method: &MethodDescriptor) -> Option<(String, String)> {
    let extension = mesher_proto::descriptor_pool().get_extension_by_name("google.api.http").unwrap();
    let options = method.options();
    let rule = options.has_extension(&extension).then(|| options.get_extension(&extension))?;
    let rule = rule.as_message().unwrap();
    ["get", "put", "post", "delete", "patch"].into_iter().find_map(|name| {
        match rule.get_field_by_name(name)?.as_ref() {
            Value::String(path) if !path.is_empty() => Some((name.to_owned(), path.clone())),
            _ => None,
        }
    })
}

#[test]
fn every_rpc_has_an_http_rule_of_its_own_or_stands_on_the_list() {
    let mut routes = BTreeMap::new();
    let mut without = BTreeSet::new();
    for method in methods() {
        match http_rule(&method) {
            Some(route) => {
                let other = routes.insert(route, method.full_name().to_owned());
                assert_eq!(other, None, "{} has another RPC's route", method.full_name());
            }
            None => assert!(without.insert(method.full_name().to_owned())),
        }
    }
    let listed = GRPC_ONLY.map(|(name, _)| name.to_owned()).into();
    assert_eq!(without, listed);
}

#[test]
fn every_rpc_has_messages_of_its_own() {
    let mut seen = BTreeSet::new();
    for method in methods() {
        assert_eq!(method.input().name(), format!("{}Request", method.name()));
        assert_eq!(method.output().name(), format!("{}Response", method.name()));
        for message in [method.input(), method.output()] {
            assert!(seen.insert(message.full_name().to_owned()), "{} is used twice", message.full_name());
        }
    }
}

#[test]
fn every_rpc_says_who_may_call_it_and_which_errors_it_gives() {
    for method in methods() {
        let file = method.parent_file();
        let info = file.file_descriptor_proto().source_code_info.as_ref().unwrap();
        let comment = info.location.iter().find(|location| location.path == method.path()).unwrap();
        let comment = comment.leading_comments();
        assert!(comment.contains("may call it"), "{}: {comment:?}", method.full_name());
        assert!(comment.contains("Errors:"), "{}: {comment:?}", method.full_name());
    }
}

#[test]
fn every_list_is_paged() {
    for method in methods().iter().filter(|method| method.name().starts_with("List")) {
        for (message, field) in [
            (method.input(), "page_size"),
            (method.input(), "page_token"),
            (method.output(), "next_page_token"),
        ] {
            assert!(message.get_field_by_name(field).is_some(), "{} has no {field}", message.full_name());
        }
    }
}
