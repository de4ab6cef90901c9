//! What SDKs could send and should not, and what they may send although it is odd, to the real binaries: each refusal says
//! what was wrong, nothing of it is stored, and nothing that is legal is lost.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
};

use mesher_testing::envelope;
use serde_json::Value;

use crate::running::{Answer, Running};

const EVENT: &str = r#"{"message":"m"}"#;

/// A project, the number in its DSN, and its key.
struct Project {
    id: String,
    number: String,
    key: String,
}

async fn project(running: &Running, token: &str) -> Project {
    let (_, id, key) = running.project(token).await;
    let number = running.get(&format!("/v1/projects/{id}"), token).await.text("/project/number");
    Project { id, number, key }
}

/// An answer with its `x-sentry-error`.
async fn send(running: &Running, path: &str, headers: &[(&str, &str)], body: Vec<u8>) -> (Answer, String) {
    let mut request = running.client.post(running.url() + path).body(body);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = request.send().await.unwrap();
    let status = response.status().as_u16();
    let error = response.headers().get("x-sentry-error").map(|error| error.to_str().unwrap().to_owned());
    let body = response.bytes().await.unwrap();
    (Answer { status, body: serde_json::from_slice(&body).unwrap_or(Value::Null) }, error.unwrap_or_default())
}

async fn stored(running: &Running, project: &Project, token: &str) -> String {
    running.post(&format!("/v1/projects/{}/events:flush", project.id), token, "{}").await;
    running.get(&format!("/v1/projects/{}/writer-stats", project.id), token).await.text("/stats/storedCount")
}

#[tokio::test]
async fn what_is_wrong_is_refused_with_the_reason_and_not_stored() {
    let running = Running::start().await;
    let token = running.token("ada@example.com").await;
    let shop = project(&running, &token).await;
    let other_token = running.token("bob@example.com").await;
    let other = running.post("/v1/orgs", &other_token, r#"{"name": "Other"}"#).await.text("/org/orgId");
    let path = format!("/v1/orgs/{other}/projects");
    let other = running.post(&path, &other_token, r#"{"name": "P"}"#).await.text("/project/number");

    let key = &shop.key;
    let path = format!("/api/{}/envelope/?sentry_key={key}", shop.number);
    let store = format!("/api/{}/store/?sentry_key={key}", shop.number);
    let no_key = format!("mshr_{}", "0".repeat(48));
    let event = envelope("{}", &[("event", EVENT)]);
    let items =
        |count: usize| format!("{{}}\n{}", "{\"type\":\"event\"}\n{\"message\":\"m\"}\n".repeat(count));
    let id = |id: &str| envelope(&format!(r#"{{"event_id":"{id}"}}"#), &[("event", EVENT)]);
    let nested = |depth| format!(r#"{{"message":"m","extra":{}{}}}"#, "[".repeat(depth), "]".repeat(depth));
    let plain: &[(&str, &str)] = &[];
    for (path, headers, body, status, why) in [
        // The key.
        (format!("/api/{}/envelope/", shop.number), plain, event.clone(), 401, "a key is needed"),
        (format!("/api/{}/envelope/?sentry_key={no_key}", shop.number), plain, event.clone(), 400, "unknown"),
        (format!("/api/{}/envelope/?sentry_key=%00", shop.number), plain, event.clone(), 401, "no key has"),
        (format!("/api/{other}/envelope/?sentry_key={key}"), plain, event.clone(), 400, "another project"),
        (format!("/api/{other}/store/?sentry_key={key}"), plain, EVENT.to_owned(), 400, "another project"),
        (format!("/api/1{}/store/?sentry_key={key}", shop.number), plain, EVENT.to_owned(), 400, "another"),
        (format!("{path}&sentry_key={key}"), plain, event.clone(), 401, "twice"),
        (path.replace(&format!("/{}/", shop.number), "/-1/"), plain, event.clone(), 400, "not a number"),
        // The envelope.
        (path.clone(), plain, String::new(), 400, "no header"),
        (path.clone(), plain, event.replace("15}", "150}"), 400, "cut off"),
        (path.clone(), plain, event.replace("15}", "-15}"), 400, "no number of bytes"),
        (path.clone(), plain, event.replace("15}", "99999999999999999999}"), 400, "no number of bytes"),
        (path.clone(), plain, event.clone() + "{\"type\":\"session\",\"length\":9}\n{", 400, "item 2"),
        (path.clone(), plain, items(100_000), 413, "1000 items"),
        (path.clone(), plain, id("5"), 400, "event_id"),
        (path.clone(), plain, id("zz23456789abcdef0123456789abcdef"), 400, "event_id"),
        (path.clone(), plain, id("01234567-89ab-cdef-0123-456789abcdef-"), 400, "event_id"),
        // The encoding.
        (path.clone(), &[("content-encoding", "gzip")], event.clone(), 400, "not gzip"),
        (path.clone(), &[("content-encoding", "zstd")], event.clone(), 400, "not zstd"),
        // The event.
        (path.clone(), plain, envelope("{}", &[("event", "[]")]), 400, "JSON object"),
        (path.clone(), plain, envelope("{}", &[("event", "{\"message\":")]), 400, "cannot be read"),
        (path.clone(), plain, envelope("{}", &[("event", "{}")]), 400, "says nothing"),
        (path.clone(), plain, envelope("{}", &[("event", &nested(10_000))]), 400, "nested deeper"),
        (store.clone(), plain, nested(400_000), 400, "nested deeper"),
        (store.clone(), plain, String::new(), 400, "cannot be read"),
        (store.clone(), plain, r#"{"message":"m","event_id":"x"}"#.to_owned(), 400, "event_id"),
        (store.clone(), plain, format!(r#"{{"message":"{}"}}"#, "x".repeat(1 << 20)), 413, "bytes"),
    ] {
        let (answer, error) = send(&running, &path, headers, body.clone().into_bytes()).await;
        assert_eq!(answer.status, status, "{path} {body:.200}: {answer:?}");
        assert!(error.contains(why) && answer.text("/detail").contains(why), "{path} {body:.200}: {error}");
    }
    let not_utf8 = [b"{\"message\":\"".as_slice(), b"\xff\xfe\"}"].concat();
    let (answer, error) = send(&running, &store, &[], not_utf8).await;
    assert_eq!(answer.status, 400, "{error}");
    assert_eq!(stored(&running, &shop, &token).await, "0");
    // And all of them are well, and take the next event.
    assert_eq!(send(&running, &path, &[], event.into_bytes()).await.0.status, 200);
    assert_eq!(stored(&running, &shop, &token).await, "1");
}

/// What is answered to bytes that no HTTP library would send.
fn raw(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let mut answer = String::new();
    // A server that refuses may not wait for all that was sent.
    let _ = stream.read_to_string(&mut answer);
    answer
}

#[tokio::test]
async fn a_length_that_is_a_lie_stores_no_half() {
    let running = Running::start().await;
    let token = running.token("ada@example.com").await;
    let shop = project(&running, &token).await;
    let address = running.address("gateway", "http");
    let path = format!("/api/{}/store/?sentry_key={}", shop.number, shop.key);
    for lengths in [
        // Longer than the body, not a number, two that differ, and one beside chunks.
        "content-length: 500",
        "content-length: -1",
        "content-length: 99999999999999999999",
        "content-length: 15\r\ncontent-length: 16",
        "content-length: 15\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked",
    ] {
        let request = format!("POST {path} HTTP/1.1\r\nhost: a\r\n{lengths}\r\n\r\n{EVENT}");
        let address = address.clone();
        let answer = tokio::task::spawn_blocking(move || raw(&address, &request)).await.unwrap();
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{lengths}: {answer}");
    }
    // A shorter length is a shorter body, and what is behind it is no event.
    let request =
        format!("POST {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 10\r\n\r\n{EVENT}");
    let answer = tokio::task::spawn_blocking(move || raw(&address, &request)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert_eq!(stored(&running, &shop, &token).await, "0");
}

/// Whether a value that was read back is what was sent.
type Kept = fn(&Value) -> bool;

#[tokio::test]
async fn what_is_odd_but_legal_is_kept() {
    let running = Running::start().await;
    let token = running.token("ada@example.com").await;
    let shop = project(&running, &token).await;
    let path = format!("/api/{}/envelope/?sentry_key={}", shop.number, shop.key);
    let deep = format!("{}1{}", "[".repeat(90), "]".repeat(90));
    let cases: [(&str, Kept); 6] = [
        ("9007199254740993", |read| read == "9007199254740993"),
        ("-1e400", |read| read == "-1e400"),
        (r#""\ud800""#, |read| read == "\u{fffd}"),
        (r#""a\u0000b""#, |read| read == "a\u{0}b"),
        (r#"{"a":1,"a":2}"#, |read| read["a"].as_f64() == Some(2.0)),
        (&deep, |read| read.is_array()),
    ];
    for (odd, is_kept) in cases {
        let event = format!(r#"{{"message":"odd","extra":{{"odd":{odd}}},"message":"odd"}}"#);
        let (answer, error) = send(&running, &path, &[], envelope("{}", &[("event", &event)]).into()).await;
        assert_eq!(answer.status, 200, "{odd}: {error}");
        stored(&running, &shop, &token).await;
        let event = format!("/v1/projects/{}/events/{}", shop.id, answer.text("/id"));
        let event = running.get(&event, &token).await;
        assert_eq!(event.text("/event/message"), "odd", "{odd}");
        let found = event.body.pointer("/payload/extra/odd").unwrap_or_else(|| panic!("{odd}: {event:?}"));
        assert!(is_kept(found), "{odd} became {found}");
    }
}
