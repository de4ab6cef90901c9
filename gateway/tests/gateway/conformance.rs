//! The examples and rules of the specification: the comments of `google/api/http.proto`.

use serde_json::{Value, json};

use crate::support::{Gateway, echo};

/// The echo of the message that the request was made into.
async fn message(gateway: &Gateway, request: &str) -> Value {
    let (line, body) =
        request.split_once(" {").map_or((request, None), |(line, body)| (line, Some(format!("{{{body}"))));
    let (method, path) = line.split_once(' ').unwrap();
    gateway.send(method, path, body.as_deref()).await.ok()
}

#[tokio::test]
async fn field_paths_in_the_path() {
    let gateway = echo(
        r#"
        service Messaging {
          rpc GetMessage(GetMessageRequest) returns (GetMessageRequest) {
            option (google.api.http).get = "/v1/messages/{message_id}/{sub.subfield}";
          }
        }
        message GetMessageRequest {
          message SubMessage { string subfield = 1; }
          string message_id = 1;
          SubMessage sub = 2;
        }"#,
    )
    .await;
    let expected = json!({"messageId": "123456", "sub": {"subfield": "foo"}});
    assert_eq!(message(&gateway, "GET /v1/messages/123456/foo").await, expected);
}

#[tokio::test]
async fn what_is_not_in_the_path_is_a_parameter() {
    let gateway = echo(
        r#"
        service Messaging {
          rpc GetMessage(GetMessageRequest) returns (GetMessageRequest) {
            option (google.api.http).get = "/v1/messages/{message_id}";
          }
        }
        message GetMessageRequest {
          message SubMessage { string subfield = 1; }
          string message_id = 1;
          int64 revision = 2;
          SubMessage sub = 3;
          repeated string param = 4;
        }"#,
    )
    .await;
    assert_eq!(
        message(&gateway, "GET /v1/messages/123456?revision=2&sub.subfield=foo").await,
        json!({"messageId": "123456", "revision": "2", "sub": {"subfield": "foo"}, "param": []}),
    );
    assert_eq!(
        message(&gateway, "GET /v1/messages/123456?param=A&param=B").await,
        json!({"messageId": "123456", "revision": "0", "param": ["A", "B"]}),
    );
}

#[tokio::test]
async fn a_field_or_everything_else_is_the_body() {
    let gateway = echo(
        r#"
        service Messaging {
          rpc UpdateMessage(UpdateMessageRequest) returns (UpdateMessageRequest) {
            option (google.api.http) = { put: "/v1/messages/{message_id}" body: "message" };
          }
          rpc PatchMessage(Message) returns (Message) {
            option (google.api.http) = { patch: "/v1/messages/{message_id}" body: "*" };
          }
        }
        message UpdateMessageRequest {
          string message_id = 1;
          Message message = 2;
          bool force = 3;
        }
        message Message { string message_id = 1; string text = 2; }"#,
    )
    .await;
    assert_eq!(
        message(&gateway, r#"PUT /v1/messages/123456 {"text": "Hi!"}"#).await,
        json!({"messageId": "123456", "message": {"messageId": "", "text": "Hi!"}, "force": false}),
    );
    assert_eq!(
        message(&gateway, r#"PUT /v1/messages/123456?force=true {"text": "Hi!"}"#).await,
        json!({"messageId": "123456", "message": {"messageId": "", "text": "Hi!"}, "force": true}),
    );
    assert_eq!(
        message(&gateway, r#"PATCH /v1/messages/123456 {"text": "Hi!"}"#).await,
        json!({"messageId": "123456", "text": "Hi!"}),
    );
    gateway.send("PATCH", "/v1/messages/1?text=x", Some("{}")).await.refuses("text");
    gateway.send("PUT", "/v1/messages/1?message.text=x", Some("{}")).await.refuses("message.text");
}

#[tokio::test]
async fn one_rpc_has_several_bindings() {
    let gateway = echo(
        r#"
        service Messaging {
          rpc GetMessage(GetMessageRequest) returns (GetMessageRequest) {
            option (google.api.http) = {
              get: "/v1/messages/{message_id}"
              additional_bindings { get: "/v1/users/{user_id}/messages/{message_id}" }
              additional_bindings { custom { kind: "REPORT" path: "/v1/reports" } body: "*" }
              additional_bindings { custom { kind: "*" path: "/v1/any/{message_id}" } }
            };
          }
        }
        message GetMessageRequest { string message_id = 1; string user_id = 2; }"#,
    )
    .await;
    let expected = |message: &str, user: &str| json!({"messageId": message, "userId": user});
    assert_eq!(message(&gateway, "GET /v1/messages/123456").await, expected("123456", ""));
    assert_eq!(message(&gateway, "GET /v1/users/me/messages/123456").await, expected("123456", "me"));
    assert_eq!(message(&gateway, r#"REPORT /v1/reports {"userId": "me"}"#).await, expected("", "me"));
    for method in ["GET", "PUT", "DELETE", "OPTIONS", "PROPFIND"] {
        assert_eq!(message(&gateway, &format!("{method} /v1/any/x")).await, expected("x", ""));
    }
}

#[tokio::test]
async fn templates_match_segments_verbs_and_the_rest() {
    let gateway = echo(
        r#"
        service Files {
          rpc Current(File) returns (File) { option (google.api.http).get = "/v1/files/current"; }
          rpc Get(File) returns (File) { option (google.api.http).get = "/v1/files/{name}"; }
          rpc Put(File) returns (File) { option (google.api.http).put = "/v1/files/{name}"; }
          rpc Seal(File) returns (File) { option (google.api.http).get = "/v1/files/{name}:seal"; }
          rpc Two(File) returns (File) { option (google.api.http).get = "/v1/{name=shelves/*/books/*}"; }
          rpc Tree(File) returns (File) { option (google.api.http).get = "/v1/tree/{name=**}"; }
          rpc Raw(File) returns (File) { option (google.api.http).get = "/v1/tree/{name=**}:raw"; }
          rpc Any(File) returns (File) { option (google.api.http).get = "/v1/*/anything/**"; }
          rpc Batch(File) returns (File) { option (google.api.http).post = "/v1/files:batch"; }
          rpc One(File) returns (File) { option (google.api.http).post = "/v1/files"; }
        }
        message File { string name = 1; string via = 2; }"#,
    )
    .await;
    for (request, name) in [
        // Literals come before variables, but only where the method is theirs.
        ("GET /v1/files/current", ""),
        ("GET /v1/files/currently", "currently"),
        ("PUT /v1/files/current", "current"),
        // Percent-encoding hides what would divide the path, and is undone in a single segment.
        ("GET /v1/files/a%2Fb", "a/b"),
        ("GET /v1/files/a%3Aseal", "a:seal"),
        ("GET /v1/%66iles/a%20b%2bc+d", "a b+c+d"),
        ("GET /v1/files/%E4%B8%96", "世"),
        ("GET /v1/files/current%2F..", "current/.."),
        // A verb is what is behind the last colon, if there is such a verb; with whatever method.
        ("GET /v1/files/a:seal", "a"),
        ("GET /v1/files/a:b:seal", "a:b"),
        ("GET /v1/files/a:b", "a:b"),
        ("GET /v1/files/a:", "a:"),
        ("GET /v1/files/:seal", ":seal"),
        ("PUT /v1/files/a%3Aseal", "a:seal"),
        ("POST /v1/files:batch", ""),
        ("POST /v1/files", ""),
        // Several segments keep the reserved characters encoded.
        ("GET /v1/shelves/a%2Fb/books/c%20d", "shelves/a%2Fb/books/c d"),
        ("GET /v1/tree", ""),
        ("GET /v1/tree/", ""),
        ("GET /v1/tree/a/b%2Fc/%41//d", "a/b%2Fc/A//d"),
        ("GET /v1/tree/a/b:raw", "a/b"),
        ("GET /v1/tree/a:raw/b", "a:raw/b"),
        ("GET /v1/x/anything", ""),
        ("GET /v1/x/anything/a/b", ""),
    ] {
        assert_eq!(message(&gateway, request).await["name"], name, "{request}");
    }
    for request in [
        "GET /",
        "GET /v1",
        "GET /v2/files/a",
        "GET /v1/files/",
        "GET /v1/files//",
        "GET /v1//a",
        "GET /v1/files/a/",
        "GET /v1/files/a/b",
        "GET /v1/shelves/a/books",
        "GET /v1/shelves//books/b",
        "GET /v1/Files/a",
        "GET /v1/files%2Fa",
        "GET /v1//anything",
        "POST /v1/files%3Abatch",
    ] {
        let (method, path) = request.split_once(' ').unwrap();
        gateway.send(method, path, None).await.expect(404, "ROUTE_NOT_FOUND");
    }
    gateway.get("/v1/files/%ff").await.refuses("name");
    gateway.get(&format!("/v1/{}", "a".repeat(10_000))).await.expect(404, "ROUTE_NOT_FOUND");
    gateway.get(&format!("/v1{}", "/a".repeat(5_000))).await.expect(404, "ROUTE_NOT_FOUND");
}

#[tokio::test]
async fn one_field_can_be_the_answer() {
    let gateway = echo(
        r#"
        service Shelves {
          rpc Names(Shelf) returns (Shelf) {
            option (google.api.http) = {
              post: "/v1/names" body: "*" response_body: "names"
              additional_bindings { post: "/v1/inner" body: "*" response_body: "inner" }
              additional_bindings { post: "/v1/count" body: "*" response_body: "count" }
              additional_bindings { post: "/v1/elements" body: "names" }
              additional_bindings { post: "/v1/number" body: "count" }
              additional_bindings { post: "/v1/counts" body: "counts" response_body: "counts" }
            };
          }
        }
        message Shelf {
          repeated string names = 1;
          Shelf inner = 2;
          int64 count = 3;
          map<string, int32> counts = 4;
        }"#,
    )
    .await;
    let body = r#"{"names": ["a", "b"], "inner": {"count": 1}, "count": "2"}"#;
    let inner = json!({"names": [], "count": "1", "counts": {}});
    assert_eq!(gateway.post("/v1/names", body).await.ok(), json!(["a", "b"]));
    assert_eq!(gateway.post("/v1/inner", body).await.ok(), inner);
    assert_eq!(gateway.post("/v1/inner", "{}").await.ok(), Value::Null);
    assert_eq!(gateway.post("/v1/count", body).await.ok(), json!("2"));
    assert_eq!(gateway.post("/v1/elements", r#"["x"]"#).await.ok()["names"], json!(["x"]));
    assert_eq!(gateway.post("/v1/number", "7").await.ok()["count"], "7");
    assert_eq!(gateway.post("/v1/counts", r#"{"a": 1}"#).await.ok(), json!({"a": 1}));
    gateway.post("/v1/number", r#""x""#).await.refuses("count");
}
