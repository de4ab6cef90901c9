//! The `OpenAPI` document, of Mesher's API and of one made for the test, and the page that is made of it.

use std::{collections::BTreeSet, process::Command};

use mesher_gateway::spawn;
use mesher_testing::{ScratchDir, tool};
use serde_json::{Value, json};

use crate::support::{client, config, echo};

/// The committed copy.
const COPY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/openapi.json");

/// What a gateway of Mesher's API serves at `path`.
async fn served(path: &str) -> reqwest::Response {
    let gateway = spawn(config(&[])).await.unwrap();
    let url = format!("http://{}{path}", gateway.address("http").unwrap());
    client().get(url).send().await.unwrap()
}

async fn document() -> Value {
    served("/openapi.json").await.json().await.unwrap()
}

/// Every operation of a document: its path, its method, and itself.
fn operations(document: &Value) -> Vec<(&str, &str, &Value)> {
    let paths = document["paths"].as_object().unwrap();
    let items = paths.iter().map(|(path, item)| (path, item.as_object().unwrap()));
    items
        .flat_map(|(path, item)| {
            item.iter().map(move |(method, value)| (path.as_str(), method.as_str(), value))
        })
        .collect()
}

#[tokio::test]
async fn the_copy_in_docs_is_the_document_that_is_served() {
    let served = served("/openapi.json").await.text().await.unwrap();
    if std::env::var_os("MESHER_UPDATE").is_some() {
        std::fs::write(COPY, &served).unwrap();
    }
    let copy = std::fs::read_to_string(COPY).unwrap_or_default();
    assert!(
        copy == served,
        "docs/openapi.json is not what the gateway serves. If the change is meant:\n\n    \
         MESHER_UPDATE=1 cargo test -p mesher-gateway --test gateway openapi\n"
    );
}

#[tokio::test]
async fn an_independent_validator_finds_nothing_wrong() {
    let Some(validator) = tool("openapi-spec-validator", "whether the document is valid OpenAPI 3.1") else {
        return;
    };
    let scratch = ScratchDir::new();
    for (name, document) in [
        ("mesher.json", document().await),
        ("everything.json", echo(include_str!("everything.proto")).await.get("/openapi.json").await.ok()),
    ] {
        let file = scratch.join(name);
        std::fs::write(&file, document.to_string()).unwrap();
        let ran = Command::new(&validator).args(["--schema", "3.1"]).arg(&file).output().unwrap();
        assert!(ran.status.success(), "{name}: {ran:?}");
    }
}

#[tokio::test]
async fn every_route_is_documented_with_who_may_call_it_and_how_it_fails() {
    let document = document().await;
    let pool = mesher_proto::descriptor_pool();
    let extension = pool.get_extension_by_name("google.api.http").unwrap();
    let rpcs = pool.services().flat_map(|service| service.methods().collect::<Vec<_>>());
    let with_rule = rpcs.filter(|rpc| rpc.options().has_extension(&extension)).count();
    let operations = operations(&document);
    assert_eq!(operations.len(), with_rule);

    let mut ids = BTreeSet::new();
    for (path, method, operation) in operations {
        let at = format!("{method} {path}");
        assert!(ids.insert(operation["operationId"].as_str().unwrap()), "{at}");
        let description = operation["description"].as_str().unwrap();
        assert!(
            description.contains("may call it") && !description.contains("Errors:"),
            "{at}: {description}"
        );
        assert!(!operation["summary"].as_str().unwrap().is_empty(), "{at}");
        let responses = operation["responses"].as_object().unwrap();
        for status in ["400", "429", "500", "503", "504"] {
            let schema = &responses[status]["content"]["application/json"]["schema"];
            assert_eq!(schema, &json!({"$ref": "#/components/schemas/Error"}), "{at}");
        }
        let security = operation["security"].as_array().unwrap();
        assert_eq!(responses.contains_key("401"), !security.is_empty() || path == "/v1/sessions", "{at}");
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            assert!(!parameter["description"].as_str().unwrap().is_empty(), "{at}: {parameter}");
            let name = parameter["name"].as_str().unwrap();
            assert_eq!(path.contains(&format!("{{{name}}}")), parameter["in"] == "path", "{at}: {parameter}");
        }
    }
}

#[tokio::test]
async fn comments_options_and_types_are_in_it() {
    let document = document().await;
    let at = |pointer: &str| document.pointer(pointer).unwrap_or_else(|| panic!("no {pointer}"));
    let create = at("/paths/~1v1~1orgs~1{org_id}~1projects/post");
    assert_eq!(create["operationId"], "createProject");
    assert_eq!((&create["tags"], &create["security"]), (&json!(["Project"]), &json!([{"session": []}])));
    assert!(create["responses"]["409"]["description"].as_str().unwrap().contains("ALREADY_EXISTS"));
    assert_eq!(create["parameters"][0]["schema"]["format"], "uuid");
    assert_eq!(create["requestBody"]["content"]["application/json"]["example"]["name"], "Shop");
    let request = at("/components/schemas/CreateProjectRequest");
    assert_eq!((&request["required"], &request["additionalProperties"]), (&json!(["name"]), &json!(false)));
    assert_eq!(request["properties"]["name"]["maxLength"], 100);
    assert_eq!(request["properties"]["slug"]["type"], json!(["string", "null"]));
    let update = at("/paths/~1v1~1projects~1{project_id}/patch/requestBody");
    assert_eq!(update["required"], true);
    assert_eq!(at("/components/schemas/UpdateProjectRequest/anyOf/2/required"), &json!(["slug"]));
    assert_eq!(at("/components/schemas/AddMemberRequest/allOf/0/oneOf/1/required"), &json!(["email"]));
    assert!(request["properties"].get("orgId").is_none(), "it is in the path");
    let list = at("/components/schemas/ListProjectsResponse");
    assert_eq!(
        list["properties"]["nextPageToken"]["description"],
        "The token of the next page; empty on the last."
    );
    assert_eq!(list["required"], json!(["projects", "nextPageToken"]));
    let pages = at("/paths/~1v1~1orgs/get/parameters");
    assert_eq!((&pages[0]["name"], &pages[0]["schema"]["minimum"]), (&json!("pageSize"), &json!(0)));
    assert!(pages[1]["description"].as_str().unwrap().contains("`nextPageToken`"));
    assert_eq!(at("/paths/~1v1~1users/post/security"), &json!([]));
    let events = at("/paths/~1v1~1events/post");
    assert_eq!(events["security"], json!([{"apiKey": []}]));
    assert!(events.get("parameters").is_none() && events["responses"]["202"].is_object(), "{events}");
}

#[tokio::test]
async fn every_type_and_rule_has_a_schema() {
    let document = echo(include_str!("everything.proto")).await.get("/openapi.json").await.ok();
    let at =
        |pointer: &str| document.pointer(pointer).unwrap_or_else(|| panic!("no {pointer}: {document:#}"));
    let properties = at("/components/schemas/Message/properties");
    for (field, expected) in [
        ("text", json!({"type": "string"})),
        ("anInt64", json!({"type": "string", "format": "int64", "pattern": "^-?[0-9]+$"})),
        ("aBytes", json!({"type": "string", "contentEncoding": "base64"})),
        ("color", json!({"$ref": "#/components/schemas/Color"})),
        ("time", json!({"type": "string", "format": "date-time"})),
        ("truth", json!({"type": "boolean"})),
        ("free", json!({"type": "object"})),
        ("value", json!({})),
        ("nested", json!({"$ref": "#/components/schemas/Message"})),
        ("times", json!({"type": "array", "items": {"type": "string", "format": "date-time"}})),
        (
            "parts",
            json!({"type": "object", "additionalProperties": {"$ref": "#/components/schemas/Message"}}),
        ),
        ("otherName", json!({"type": "string"})),
    ] {
        assert_eq!(properties[field], expected, "{field}");
    }
    assert_eq!(
        at("/components/schemas/Color/enum"),
        &json!(["COLOR_UNSPECIFIED", "COLOR_RED", "COLOR_BLUE"])
    );
    let nested = at("/components/schemas/MessageInput/properties/nested/anyOf");
    assert_eq!(nested, &json!([{"$ref": "#/components/schemas/MessageInput"}, {"type": "null"}]));
    let parameters = at("/paths/~1get/get/parameters").as_array().unwrap();
    let names: Vec<_> = parameters.iter().map(|parameter| parameter["name"].as_str().unwrap()).collect();
    for (name, there) in
        [("mask", true), ("numbers", true), ("nested.text", true), ("free", false), ("children", false)]
    {
        assert_eq!(names.contains(&name), there, "{name} in {names:?}");
    }
    assert_eq!(operations(&document).len(), 16);
}

#[tokio::test]
async fn the_page_shows_every_operation_and_lets_nothing_in() {
    let document = document().await;
    let response = served("/docs").await;
    assert_eq!(response.headers()["content-type"], "text/html; charset=utf-8");
    let policy = response.headers()["content-security-policy"].to_str().unwrap().to_owned();
    assert!(policy.starts_with("default-src 'none'; ") && !policy.contains("unsafe"), "{policy}");
    let html = response.text().await.unwrap();
    for (path, _, operation) in operations(&document) {
        let id = operation["operationId"].as_str().unwrap();
        assert!(html.contains(&format!("<article id=\"{id}\">")), "{id}");
        assert!(html.contains(path), "{path}");
    }
    for name in document["components"]["schemas"].as_object().unwrap().keys() {
        assert!(html.contains(&format!("<article id=\"schema-{name}\">")), "{name}");
    }
    for foreign in ["http://", "style=", "onclick", "<script>", "<style"] {
        assert!(!html.contains(foreign), "{foreign}");
    }
    for (attribute, own) in [("src=\"", "/docs/"), ("<link rel=\"stylesheet\" href=\"", "/docs/")] {
        assert!(html.split(attribute).skip(1).all(|rest| rest.starts_with(own)), "{attribute}");
    }
    for path in ["/docs/style.css", "/docs/filter.js"] {
        assert_eq!(served(path).await.status(), 200);
    }
    let gateway = spawn(config(&[])).await.unwrap();
    let url = format!("http://{}/docs", gateway.address("http").unwrap());
    let refused = client().post(url).send().await.unwrap();
    assert_eq!((refused.status().as_u16(), refused.headers()["allow"].to_str().unwrap()), (405, "GET, HEAD"));
}
