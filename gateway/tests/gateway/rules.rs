//! Rules that cannot be served: the gateway says at the start which, and why.

use mesher_gateway::{Upstream, Upstreams, spawn_api};

use crate::support::{config, pool};

/// What the gateway says of an API with the RPC `A` under this rule, and `B` under `GET /taken/{x}`.
async fn refusal(rpc: &str, rule: &str) -> String {
    let proto = format!(
        r#"
        service Rules {{
          rpc B(Message) returns (Message) {{ option (google.api.http).get = "/taken/{{name}}"; }}
          rpc A({rpc}) {{ option (google.api.http) = {{ {rule} }}; }}
        }}
        message Message {{
          string name = 1; Message child = 2; repeated string names = 3; map<string, string> labels = 4;
          google.protobuf.Struct free = 5;
        }}
        message Failing {{ string error = 1; }}"#
    );
    let upstreams =
        Upstreams::from_iter([("test.v1", Upstream::new("test", "http://127.0.0.1:1".parse().unwrap()))]);
    let error = spawn_api(pool(&proto), &upstreams, config(&[])).await.map(drop).unwrap_err();
    format!("{error:#}")
}

#[tokio::test]
async fn a_rule_that_cannot_be_served_is_an_error_at_the_start() {
    const UNARY: &str = "Message) returns (Message";
    for (rpc, rule, why) in [
        (UNARY, r#"get: "no-slash""#, "begins with `/`"),
        (UNARY, r#"get: "/{name""#, "should end here"),
        (UNARY, r#"get: "/{unknown}""#, "no field unknown"),
        (UNARY, r#"get: "/{child.unknown}""#, "no field child.unknown"),
        (UNARY, r#"get: "/{name.name}""#, "no field name.name"),
        (UNARY, r#"get: "/{child}""#, "not of a type that a path can hold"),
        (UNARY, r#"get: "/{names}""#, "not of a type that a path can hold"),
        (UNARY, r#"get: "/{labels}""#, "not of a type that a path can hold"),
        (UNARY, r#"get: "/{free}""#, "not of a type that a path can hold"),
        (UNARY, r#"get: "/a" body: "*""#, "a GET has no body"),
        (UNARY, r#"post: "/a" body: "unknown""#, "no such field"),
        (UNARY, r#"post: "/a" body: "child.name""#, "no such field"),
        (UNARY, r#"post: "/{child.name}" body: "child""#, "in the path and in the body"),
        (UNARY, r#"get: "/a" response_body: "unknown""#, "no such field"),
        (UNARY, r#"get: "/taken/{child.name}""#, "served by test.v1.Rules.B already"),
        (UNARY, r#"get: "/a" additional_bindings { get: "/a" }"#, "served by test.v1.Rules.A already"),
        (
            UNARY,
            r#"get: "/a" additional_bindings { get: "/b" additional_bindings { get: "/c" } }"#,
            "additional_bindings",
        ),
        (UNARY, r#"body: "*""#, "no path"),
        (UNARY, r#"custom { kind: "G T" path: "/a" }"#, "no HTTP method"),
        ("stream Message) returns (Message", r#"post: "/a" body: "*""#, "stream of requests"),
        ("Message) returns (stream Failing", r#"get: "/a""#, "a field `error`"),
    ] {
        let said = refusal(rpc, rule).await;
        assert!(said.contains("test.v1.Rules.A") && said.contains(why), "{rule}: {said}");
    }
}

#[tokio::test]
async fn a_service_without_an_address_is_an_error_at_the_start() {
    let pool = pool(
        r#"service S { rpc R(M) returns (M) { option (google.api.http).get = "/r"; } }
        message M {}"#,
    );
    let error = spawn_api(pool, &Upstreams::default(), config(&[])).await.map(drop).unwrap_err();
    assert!(format!("{error:#}").contains("test.v1.S.R"), "{error:#}");
}
