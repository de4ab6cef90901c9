//! Errors of services, of the connection to them, and of requests for what is not there.

use std::{future::IntoFuture as _, time::Duration};

use mesher_common::status;
use mesher_gateway::{Upstream, spawn_api};
use prost::Message as _;
use prost_types::Any;
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};

use crate::support::{Answer, Backend, Gate, Gateway, PATIENCE, answered, client, config, pool, start};

const API: &str = r#"
    service Errors {
      rpc Ok(Message) returns (Message) { option (google.api.http).get = "/ok"; }
      rpc Taken(Message) returns (Message) { option (google.api.http).get = "/taken"; }
      rpc Overloaded(Message) returns (Message) { option (google.api.http).get = "/overloaded"; }
      rpc SignIn(Message) returns (Message) { option (google.api.http).get = "/sign-in"; }
      rpc TooLarge(Message) returns (Message) { option (google.api.http).get = "/too-large"; }
      rpc Mixed(Message) returns (Message) { option (google.api.http).get = "/mixed"; }
      rpc Foreign(Message) returns (Message) { option (google.api.http).get = "/foreign"; }
      rpc Bug(Message) returns (Message) { option (google.api.http).get = "/bug"; }
      rpc Garbage(Message) returns (Message) { option (google.api.http).get = "/garbage"; }
      rpc Never(Message) returns (Message) { option (google.api.http) = { post: "/never" body: "*" }; }
      rpc Gated(Message) returns (Message) { option (google.api.http).get = "/gated"; }
    }
    message Message { string text = 1; }"#;

static GATE: Gate = Gate::new();

fn behaviour(name: &str) -> Answer {
    let status = match name {
        "Ok" => return Answer::Echo,
        "Never" => return Answer::Never,
        "Gated" => return Answer::Gated(&GATE),
        "Garbage" => return Answer::Garbage,
        "Taken" => status::already_exists("slug", "another organization has the slug ünï"),
        "Overloaded" => status::overloaded("too much"),
        "SignIn" => status::session_invalid(),
        "TooLarge" => status::too_large(&status::Violation::new("event", "is too large")),
        "Mixed" => mixed(),
        "Foreign" => Status::failed_precondition("not like this"),
        "Bug" => Status::unknown("stack trace with a password"),
        other => panic!("{other}"),
    };
    Answer::Error(Box::new(status))
}

/// An error with details of all kinds.
fn mixed() -> Status {
    let any = |name: &str, value: &[u8]| Any {
        type_url: format!("type.googleapis.com/{name}"),
        value: value.to_vec(),
    };
    let status = tonic_types::pb::Status {
        code: Code::Aborted.into(),
        message: "mixed".to_owned(),
        details: vec![
            any("unknown.v1.Type", b"\x0a\x01x"),
            any("test.v1.Message", b"\x0a\x01x"),
            any("google.protobuf.Duration", b"\x08\x05"),
            any("google.rpc.ErrorInfo", b"\xff\xff"),
            any("google.rpc.BadRequest", b""),
        ],
    };
    Status::with_details(Code::Aborted, "mixed", status.encode_to_vec().into())
}

async fn gateway() -> Gateway {
    start(API, behaviour, &[]).await
}

#[tokio::test]
async fn errors_have_the_form_of_aip_193() {
    let gateway = gateway().await;
    let answer = gateway.get("/taken").await;
    assert_eq!(answer.status, 409);
    assert_eq!(
        answer.json,
        json!({"error": {
            "code": 409,
            "message": "another organization has the slug ünï",
            "status": "ALREADY_EXISTS",
            "details": [{
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": "ALREADY_EXISTS",
                "domain": "mesher",
                "metadata": {"field": "slug"},
            }],
        }}),
    );
    let answer = gateway.get("/overloaded").await;
    answer.expect(429, "OVERLOADED");
    assert_eq!(answer.headers["retry-after"], "1");
    assert_eq!(answer.detail("RetryInfo")["retryDelay"], "1s");
    let answer = gateway.get("/sign-in").await;
    answer.expect(401, "SESSION_INVALID");
    assert!(answer.headers["www-authenticate"].to_str().unwrap().starts_with("Bearer"));
    let answer = gateway.get("/too-large").await;
    answer.expect(413, "TOO_LARGE");
    assert_eq!(answer.detail("BadRequest")["fieldViolations"][0]["field"], "event");
}

#[tokio::test]
async fn details_that_are_not_known_or_not_readable_are_left_out() {
    let answer = gateway().await.get("/mixed").await;
    assert_eq!((answer.status, &answer.json["error"]["message"]), (409, &json!("mixed")));
    assert_eq!(
        answer.json["error"]["details"],
        json!([
            {"@type": "type.googleapis.com/test.v1.Message", "text": "x"},
            {"@type": "type.googleapis.com/google.protobuf.Duration", "value": "5s"},
            {"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": []},
        ]),
    );
}

#[tokio::test]
async fn errors_that_were_not_made_for_clients_do_not_reach_them() {
    let gateway = gateway().await;
    let answer = gateway.get("/foreign").await;
    let expected =
        json!({"code": 400, "message": "not like this", "status": "FAILED_PRECONDITION", "details": []});
    assert_eq!((answer.status, &answer.json["error"]), (400, &expected));
    for path in ["/bug", "/garbage"] {
        let answer = gateway.get(path).await;
        assert!(answer.expect(500, "INTERNAL").starts_with("internal error"), "{}", answer.json);
    }
}

#[tokio::test]
async fn a_service_that_is_not_there_is_503() {
    // Nothing listens on port 1.
    let address = "http://127.0.0.1:1".parse().unwrap();
    let upstreams = [("test.v1", mesher_gateway::Upstream::new("test", address))].into_iter().collect();
    let config = crate::support::config(&[]);
    let handle = mesher_gateway::spawn_api(crate::support::pool(API), &upstreams, config).await.unwrap();
    let url = format!("http://{}/ok", handle.address("http").unwrap());
    for _ in 0..3 {
        let answer = answered(client().get(&url)).await;
        let message = answer.expect(503, "SERVICE_UNAVAILABLE");
        assert_eq!(message, "the test service does not answer: try again");
        assert_eq!(answer.headers["retry-after"], "1");
    }
}

#[tokio::test]
async fn a_service_that_comes_back_is_found_again() {
    // No other test has ports on this address: the one that is given up here stays free.
    let listener = TcpListener::bind("127.0.0.2:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let upstream = Upstream::new("test", format!("http://{address}").parse().unwrap());
    let upstreams = [("test.v1", upstream)].into_iter().collect();
    let handle = spawn_api(pool(API), &upstreams, config(&[])).await.unwrap();
    let url = format!("http://{}/ok", handle.address("http").unwrap());
    let mut listener = Some(listener);
    for _ in 0..3 {
        let again = match listener.take() {
            Some(listener) => listener,
            None => TcpListener::bind(address).await.unwrap(),
        };
        let stop = CancellationToken::new();
        let server = axum::serve(again, Backend::new(behaviour).router());
        let server =
            tokio::spawn(server.with_graceful_shutdown(stop.clone().cancelled_owned()).into_future());
        answered(client().get(&url)).await.ok();
        stop.cancel();
        server.await.unwrap().unwrap();
        answered(client().get(&url)).await.expect(503, "SERVICE_UNAVAILABLE");
    }
}

#[tokio::test]
async fn what_is_not_served_is_404_and_other_methods_are_405() {
    let gateway = gateway().await;
    gateway.get("/nothing").await.expect(404, "ROUTE_NOT_FOUND");
    let answer = gateway.send("DELETE", "/ok", None).await;
    answer.expect(405, "ROUTE_NOT_FOUND");
    assert_eq!(answer.headers["allow"], "GET, HEAD");
    let answer = gateway.get("/never").await;
    answer.expect(405, "ROUTE_NOT_FOUND");
    assert_eq!(answer.headers["allow"], "POST");
    let head = gateway.client.head(gateway.url("/ok")).send().await.unwrap();
    assert_eq!((head.status().as_u16(), head.headers()["content-length"].to_str().unwrap()), (200, "11"));
    assert!(head.bytes().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_call_ends_by_its_deadline() {
    let gateway = gateway().await;
    for (name, value, soon) in [("x-request-timeout", "20", "0.05"), ("grpc-timeout", "20000m", "50m")] {
        let call = tokio::spawn(answered(gateway.client.get(gateway.url("/gated")).header(name, value)));
        tokio::time::timeout(PATIENCE, GATE.arrived.notified()).await.unwrap();
        let timeout = gateway.backend.last()["grpc-timeout"].clone();
        let (value, unit) = timeout.to_str().unwrap().split_at(timeout.len() - 1);
        let units: u32 = value.parse().unwrap();
        let millis = match unit {
            "n" => units / 1_000_000,
            "u" => units / 1000,
            "m" => units,
            _ => panic!("{timeout:?}"),
        };
        assert!(millis <= 20_000, "{timeout:?}");
        GATE.open.notify_one();
        call.await.unwrap().ok();
        let late = answered(gateway.client.post(gateway.url("/never")).header(name, soon)).await;
        late.expect(504, "DEADLINE_EXCEEDED");
    }
    for (name, value) in [("x-request-timeout", "soon"), ("grpc-timeout", "5")] {
        answered(gateway.client.get(gateway.url("/ok")).header(name, value)).await.refuses(name);
    }
    let gateway = start(API, behaviour, &["--request-timeout", "50ms"]).await;
    let late = answered(gateway.client.post(gateway.url("/never")).header("x-request-timeout", "3600")).await;
    assert_eq!(late.expect(504, "DEADLINE_EXCEEDED"), "the call did not end within 50ms");
}

#[tokio::test]
async fn a_body_that_does_not_come_is_408() {
    let gateway = start(API, behaviour, &["--request-timeout", "50ms"]).await;
    let body = reqwest::Body::wrap_stream(futures_util::stream::pending::<Result<Vec<u8>, std::io::Error>>());
    let request =
        gateway.client.post(gateway.url("/never")).header("content-type", "application/json").body(body);
    let answer = tokio::time::timeout(Duration::from_secs(20), answered(request)).await.unwrap();
    answer.expect(408, "DEADLINE_EXCEEDED");
    assert_eq!(answer.json["error"]["status"], mesher_common::rpc::name(Code::DeadlineExceeded));
}
