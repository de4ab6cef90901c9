//! RPCs that answer with a stream.

use std::{
    convert::Infallible,
    sync::atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http_body::Frame;
use http_body_util::StreamBody;
use mesher_common::status;
use serde_json::{Value, json};
use tokio::{io::AsyncWriteExt as _, net::TcpSocket, sync::Notify};
use tonic::Status;

use crate::support::{Answer, Gateway, PATIENCE, answered, grpc, start};

const API: &str = r#"
    service Streams {
      rpc Count(Message) returns (stream Message) { option (google.api.http).get = "/count/{text}"; }
      rpc Names(Message) returns (stream Message) {
        option (google.api.http) = { post: "/names" body: "*" response_body: "names" };
      }
      rpc Empty(Message) returns (stream Message) { option (google.api.http).get = "/empty"; }
      rpc Refuse(Message) returns (stream Message) { option (google.api.http).get = "/refuse"; }
      rpc Fail(Message) returns (stream Message) { option (google.api.http).get = "/fail"; }
      rpc Bug(Message) returns (stream Message) { option (google.api.http).get = "/bug"; }
      rpc Stay(Message) returns (stream Message) { option (google.api.http).get = "/stay/{text}"; }
      rpc Flood(Message) returns (stream Message) { option (google.api.http).get = "/flood"; }
    }
    message Message { string text = 1; repeated string names = 2; }"#;

/// Told when the call of `Stay` or `Flood` is over.
static CANCELLED: Notify = Notify::const_new();
static FLOODED: Notify = Notify::const_new();
/// How long the text of each message of `Flood` is, in bytes.
const FLOOD: usize = 1 << 20;
/// How many of them the gateway, the service's server and the sockets may hold together.
const MAX_HELD: usize = 16;
/// How many bytes `Flood` has sent.
static SENT: AtomicUsize = AtomicUsize::new(0);

/// Tells when it is dropped.
struct Told(&'static Notify);

impl Drop for Told {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

fn behaviour(name: &str) -> Answer {
    match name {
        "Refuse" => Answer::Error(Box::new(status::already_exists("text", "it is taken"))),
        "Empty" => Answer::Made(|_| grpc(messages(Bytes::new(), 0), &Status::ok(""))),
        "Fail" => Answer::Made(|request| grpc(messages(request, 2), &status::overloaded("too much"))),
        "Bug" => Answer::Made(|request| grpc(messages(request, 1), &Status::unknown("a secret"))),
        "Stay" => Answer::Made(|request| {
            let told = Told(&CANCELLED);
            let rest = stream::pending().map(move |frame| {
                let _ = &told;
                frame
            });
            grpc(StreamBody::new(frames(request, 1).chain(rest)), &Status::ok(""))
        }),
        "Flood" => Answer::Made(|_| {
            let told = Told(&FLOODED);
            // Field 1, length, text.
            let message = [&[0, 0, 0x10, 0, 4, 0x0a, 0x80, 0x80, 0x40][..], &vec![b'x'; FLOOD]].concat();
            let message = Bytes::from(message);
            let endless = stream::repeat(message).map(move |message| {
                let _ = &told;
                SENT.fetch_add(message.len(), Ordering::Relaxed);
                Ok::<_, Infallible>(Frame::data(message))
            });
            grpc(StreamBody::new(endless), &Status::ok(""))
        }),
        _ => Answer::Made(|request| grpc(messages(request, 3), &Status::ok(""))),
    }
}

fn frames(request: Bytes, count: usize) -> impl stream::Stream<Item = Result<Frame<Bytes>, Infallible>> {
    stream::repeat(request).take(count).map(|message| Ok(Frame::data(message)))
}

/// The request, so many times: a gRPC body is the message behind its length, in both directions.
fn messages(
    request: Bytes,
    count: usize,
) -> StreamBody<impl stream::Stream<Item = Result<Frame<Bytes>, Infallible>>> {
    StreamBody::new(frames(request, count))
}

/// The content type and the text of an answer with status 200.
async fn text(gateway: &Gateway, path: &str, accept: &str) -> (String, String) {
    let response = gateway.client.get(gateway.url(path)).header("accept", accept).send().await.unwrap();
    assert_eq!(
        (response.status(), response.headers()["vary"].to_str().unwrap()),
        (http::StatusCode::OK, "accept")
    );
    let content_type = response.headers()["content-type"].to_str().unwrap().to_owned();
    (content_type, response.text().await.unwrap())
}

#[tokio::test]
async fn messages_are_lines_or_events() {
    let gateway = start(API, behaviour, &[]).await;
    let message = r#"{"text":"a\nb","names":[]}"#;
    for accept in ["*/*", "application/json", "text/event-stream;q=0", ""] {
        let (content_type, text) = text(&gateway, "/count/a%0Ab", accept).await;
        assert_eq!(content_type, "application/x-ndjson");
        assert_eq!(text, format!("{message}\n").repeat(3), "{accept}");
    }
    for accept in ["text/event-stream", "text/html, Text/Event-Stream;q=0.5"] {
        let (content_type, text) = text(&gateway, "/count/a%0Ab", accept).await;
        assert_eq!(content_type, "text/event-stream");
        assert_eq!(text, format!("data: {message}\n\n").repeat(3), "{accept}");
    }
    assert_eq!(text(&gateway, "/empty", "*/*").await.1, "");
    let names = gateway.client.post(gateway.url("/names")).header("content-type", "application/json");
    let names = names.body(r#"{"names": ["a"]}"#).send().await.unwrap().text().await.unwrap();
    assert_eq!(names, "[\"a\"]\n".repeat(3));
}

#[tokio::test]
async fn an_error_is_the_answer_or_its_last_object() {
    let gateway = start(API, behaviour, &[]).await;
    for accept in ["*/*", "text/event-stream"] {
        let refused = gateway.client.get(gateway.url("/refuse")).header("accept", accept);
        answered(refused).await.expect(409, "ALREADY_EXISTS");
        let wrong = gateway.client.get(gateway.url("/count/a?text=b")).header("accept", accept);
        answered(wrong).await.refuses("text");
    }
    gateway.send("POST", "/fail", None).await.expect(405, "ROUTE_NOT_FOUND");

    let (_, lines) = text(&gateway, "/fail", "*/*").await;
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 3);
    let error = &lines[2]["error"];
    assert_eq!((&error["code"], &error["status"]), (&json!(429), &json!("RESOURCE_EXHAUSTED")));
    assert_eq!(error["details"].as_array().unwrap().len(), 2);

    let (_, events) = text(&gateway, "/bug", "text/event-stream").await;
    let (message, error) = events.split_once("\n\n").unwrap();
    assert_eq!(message, r#"data: {"text":"","names":[]}"#);
    let error = error.strip_prefix("event: error\ndata: ").unwrap().strip_suffix("\n\n").unwrap();
    let error: Value = serde_json::from_str(error).unwrap();
    assert_eq!(error["error"]["status"], "INTERNAL");
    assert!(!events.contains("secret"), "{events}");
}

#[tokio::test]
async fn messages_come_as_they_are_sent_and_the_deadline_ends_them() {
    let gateway = start(API, behaviour, &["--request-timeout", "1s"]).await;
    let mut response = gateway.client.get(gateway.url("/stay/a")).send().await.unwrap();
    assert_eq!(response.chunk().await.unwrap().unwrap(), "{\"text\":\"a\",\"names\":[]}\n");
    let error: Value = serde_json::from_slice(&response.chunk().await.unwrap().unwrap()).unwrap();
    assert_eq!((&error["error"]["code"], response.chunk().await.unwrap()), (&json!(504), None));
    CANCELLED.notified().await;
    let late = gateway.client.get(gateway.url("/count/a")).header("x-request-timeout", "1e-9");
    answered(late).await.expect(504, "DEADLINE_EXCEEDED");

    // A client that goes away ends the call long before the deadline, and its place is free again.
    let gateway = start(API, behaviour, &["--max-requests", "1"]).await;
    let mut response = gateway.client.get(gateway.url("/stay/a")).send().await.unwrap();
    response.chunk().await.unwrap().unwrap();
    gateway.get("/count/a").await.expect(503, "OVERLOADED");
    drop(response);
    CANCELLED.notified().await;
    while gateway.client.get(gateway.url("/count/a")).send().await.unwrap().status() == 503 {}

    // So does the end of the gateway, which tells the client.
    let response = gateway.client.get(gateway.url("/stay/a")).send().await.unwrap();
    let stopped = tokio::spawn(gateway.handle.shutdown());
    let text = response.text().await.unwrap();
    assert!(text.lines().last().unwrap().contains("SHUTTING_DOWN"), "{text}");
    stopped.await.unwrap().unwrap();
    CANCELLED.notified().await;
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_nothing_beyond_the_deadline() {
    let gateway = start(API, behaviour, &["--request-timeout", "2s", "--max-requests", "1"]).await;
    // What its socket holds does not count beside the messages.
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(1 << 16).unwrap();
    let mut client = socket.connect(gateway.handle.address("http").unwrap()).await.unwrap();
    client.write_all(b"GET /flood HTTP/1.1\r\nhost: a\r\n\r\n").await.unwrap();
    tokio::time::timeout(PATIENCE, FLOODED.notified()).await.unwrap();
    // Those that are on their way between the service and the client, and not what could have been sent in that time.
    let messages = SENT.load(Ordering::Relaxed) / FLOOD;
    assert!(messages <= MAX_HELD, "{messages} messages");
    while gateway.client.get(gateway.url("/count/a")).send().await.unwrap().status() == 503 {}
    drop(client);
}
