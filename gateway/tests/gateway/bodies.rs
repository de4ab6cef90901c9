//! Bodies that are not what the call takes.

use crate::support::{Answer, Gateway, answered, echo, start};

const API: &str = r#"
    service Bodies {
      rpc Whole(Message) returns (Message) { option (google.api.http) = { post: "/whole" body: "*" }; }
      rpc Part(Message) returns (Message) { option (google.api.http) = { post: "/part" body: "child" }; }
      rpc None(Message) returns (Message) { option (google.api.http) = { post: "/none" }; }
      rpc Delete(Message) returns (Message) { option (google.api.http).delete = "/none"; }
    }
    message Message {
      string text = 1;
      int32 number = 2;
      double ratio = 3;
      Message child = 4;
      repeated Message children = 5;
      google.protobuf.Struct free = 6;
      map<string, string> labels = 7;
      map<string, Message> parts = 8;
      oneof side { string left = 9; string right = 10; }
      repeated int32 numbers = 11;
    }"#;

#[tokio::test]
async fn a_wrong_field_is_named_by_its_path() {
    let gateway = echo(API).await;
    for (body, field) in [
        (r#"{"unknown": 1}"#, "unknown"),
        (r#"{"child": {"unknown": 1}}"#, "child.unknown"),
        (r#"{"children": [{}, {"child": {"unknown": {}}}]}"#, "children[1].child.unknown"),
        (r#"{"text": 5}"#, "text"),
        (r#"{"text": ["a"]}"#, "text"),
        (r#"{"number": "x"}"#, "number"),
        (r#"{"number": 1.5}"#, "number"),
        (r#"{"number": 2147483648}"#, "number"),
        (r#"{"number": 1e100}"#, "number"),
        (r#"{"number": 99999999999999999999999999}"#, "number"),
        (r#"{"number": 1e400}"#, "number"),
        (r#"{"ratio": 1e400}"#, "ratio"),
        (r#"{"ratio": true}"#, "ratio"),
        (r#"{"child": []}"#, "child"),
        (r#"{"child": "x"}"#, "child"),
        (r#"{"children": {}}"#, "children"),
        (r#"{"children": [null]}"#, "children[0]"),
        (r#"{"children": [{}, 5]}"#, "children[1]"),
        (r#"{"numbers": [1, "x"]}"#, "numbers"),
        (r#"{"numbers": 1}"#, "numbers"),
        (r#"{"free": []}"#, "free"),
        (r#"{"free": {"a": 1e400}}"#, "free"),
        (r#"{"labels": {"a": 1}}"#, "labels"),
        (r#"{"parts": {"a": {"unknown": 1}}}"#, "parts"),
        (r#"{"text": "a", "text": "a"}"#, "text"),
        (r#"{"child": {"number": 1, "number": 2}}"#, "child.number"),
        (r#"{"free": {"a": {"b": 1, "b": 2}}}"#, "free"),
        (r#"{"labels": {"a": "x", "a": "x"}}"#, "labels"),
        (r#"{"left": "a", "right": "b"}"#, "right"),
    ] {
        gateway.post("/whole", body).await.refuses(field);
    }
    assert!(
        gateway.post("/whole", r#"{"child": {"nope": 1}}"#).await.refuses("child.nope").contains("no field")
    );
    gateway.post("/part", r#"{"unknown": 1}"#).await.refuses("child.unknown");
    gateway.post("/part", "[]").await.refuses("child");
}

#[tokio::test]
async fn an_error_does_not_repeat_all_of_what_was_sent() {
    let gateway = echo(API).await;
    let long = "ü".repeat(100_000);
    for body in [
        format!(r#"{{"number": "{long}"}}"#),
        format!(r#"{{"child": "{long}"}}"#),
        format!(r#"{{"{long}": 1}}"#),
        format!(r#"{{"free": {{"{long}": 1, "{long}": 1}}}}"#),
        format!(r#""{long}""#),
    ] {
        let answer = gateway.post("/whole", &body).await;
        assert_eq!(answer.status, 400);
        assert!(answer.json.to_string().len() < 3000, "{}", answer.json);
    }
}

#[tokio::test]
async fn what_is_not_json_is_refused_with_its_position() {
    let gateway = echo(API).await;
    for wrong in [
        "x",
        "{",
        "{]",
        r#"{"text": "a",}"#,
        r#"{"text": "a"} x"#,
        "{'text': 1}",
        "\u{feff}{}",
        r#"{"text": "\x"}"#,
    ] {
        let answer = gateway.post("/whole", wrong).await;
        assert!(
            answer.expect(400, "MALFORMED_REQUEST").contains("line 1 column"),
            "{wrong:?}: {}",
            answer.json
        );
    }
    for wrong in ["[]", "5", "null", "\"x\"", "true"] {
        gateway.post("/whole", wrong).await.expect(400, "MALFORMED_REQUEST");
    }
    let not_utf8 = gateway.client.post(gateway.url("/whole")).header("content-type", "application/json");
    answered(not_utf8.body(&b"{\"text\": \"\xff\"}"[..])).await.expect(400, "MALFORMED_REQUEST");
    gateway.post("/whole", r#"{"text": "\ud800"}"#).await.refuses("text");
}

#[tokio::test]
async fn nesting_is_bounded_everywhere() {
    let gateway = echo(API).await;
    let nested = |open: &str, close: &str, depth: usize| open.repeat(depth) + &close.repeat(depth);
    for depth in [200, 10_000, 50_000] {
        for body in [
            nested("[", "]", depth),
            nested(r#"{"child":"#, "}", depth).replace(":}", ":{}}"),
            nested(r#"{"children":["#, "]}", depth),
            format!(r#"{{"free": {}}}"#, nested(r#"{"a":"#, "}", depth).replace(":}", ":1}")),
            format!(r#"{{"free": {{"a": {}}}}}"#, nested("[", "]", depth)),
            format!(r#"{{"unknown": {}}}"#, nested("[", "]", depth)),
            format!(r#"{{"labels": {}}}"#, nested(r#"{"a":"#, "}", depth).replace(":}", ":1}")),
            format!(r#"{{"parts": {}}}"#, nested(r#"{"parts":{"a":"#, "}}", depth).replace(":}", ":{}}")),
        ] {
            assert_eq!(gateway.post("/whole", &body).await.status, 400, "{}", &body[..60]);
        }
    }
    let free = |depth| format!(r#"{{"free": {}}}"#, nested(r#"{"a":"#, "}", depth).replace(":}", ":1}"));
    gateway.post("/whole", &free(30)).await.ok();
    assert!(gateway.post("/whole", &free(31)).await.refuses("free").contains("30 levels"));
    let messages = |depth| nested(r#"{"child":"#, "}", depth).replace(":}", ":{}}");
    gateway.post("/whole", &messages(30)).await.ok();
    let refused = gateway.post("/whole", &messages(31)).await;
    assert!(refused.refuses(&vec!["child"; 31].join(".")).contains("30 levels"));
}

#[tokio::test]
async fn an_empty_body_is_an_empty_message_and_other_types_are_refused() {
    let gateway = echo(API).await;
    for path in ["/whole", "/part", "/none"] {
        gateway.send("POST", path, None).await.ok();
    }
    let send = |content_type: Option<&'static str>, body: &'static str| {
        let mut request = gateway.client.post(gateway.url("/whole")).body(body);
        if let Some(content_type) = content_type {
            request = request.header("content-type", content_type);
        }
        answered(request)
    };
    send(Some("application/json; charset=utf-8"), "{}").await.ok();
    send(Some("Application/JSON"), "{}").await.ok();
    send(Some("text/plain"), "").await.ok();
    for wrong in [
        None,
        Some("text/plain"),
        Some("application/x-www-form-urlencoded"),
        Some("application/jsonx"),
        Some(""),
    ] {
        send(wrong, "{}").await.expect(415, "ROUTE_NOT_FOUND");
    }
    for method in ["POST", "DELETE"] {
        gateway.send(method, "/none", Some("{}")).await.expect(400, "MALFORMED_REQUEST");
    }
    let encoded = gateway.client.post(gateway.url("/whole")).header("content-encoding", "gzip").body("x");
    answered(encoded).await.expect(415, "ROUTE_NOT_FOUND");
}

#[tokio::test]
async fn a_body_beyond_the_limit_is_refused_with_or_without_a_length() {
    let gateway = start(API, |_| Answer::Echo, &["--max-body", "1000"]).await;
    let body = |size: usize| format!(r#"{{"text": "{}"}}"#, "x".repeat(size - 12));
    gateway.post("/whole", &body(1000)).await.ok();
    for size in [1001, 100_000, 3_000_000] {
        gateway.post("/whole", &body(size)).await.expect(413, "TOO_LARGE");
        chunked(&gateway, body(size)).await.expect(413, "TOO_LARGE");
    }
    chunked(&gateway, body(1000)).await.ok();
    // The connection is still good.
    gateway.post("/whole", &body(1000)).await.ok();
}

async fn chunked(gateway: &Gateway, body: String) -> crate::support::Answered {
    let chunks: Vec<_> =
        body.into_bytes().chunks(700).map(|chunk| Ok::<_, std::io::Error>(chunk.to_vec())).collect();
    let body = reqwest::Body::wrap_stream(futures_util::stream::iter(chunks));
    let request = gateway.client.post(gateway.url("/whole")).header("content-type", "application/json");
    answered(request.body(body)).await
}
