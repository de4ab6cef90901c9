//! Clients that hold connections: who send slowly or not at all, and more of them than there is room for.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinHandle,
};

use crate::support::{Answer, Gate, Gateway, PATIENCE, start};

const API: &str = r#"
    service Slow {
      rpc Get(Message) returns (Message) { option (google.api.http).get = "/messages/{text}"; }
      rpc Post(Message) returns (Message) { option (google.api.http) = {post: "/messages" body: "*"}; }
      rpc Wait(Message) returns (Message) { option (google.api.http).get = "/wait"; }
    }
    message Message { string text = 1; }"#;

/// How often a slow client sends a byte.
const PACE: Duration = Duration::from_millis(20);

async fn connect(gateway: &Gateway) -> TcpStream {
    TcpStream::connect(gateway.handle.address("http").unwrap()).await.unwrap()
}

/// Sends these bytes, and all that comes until the gateway closes the connection.
async fn sent(mut stream: TcpStream, bytes: &[u8]) -> String {
    stream.write_all(bytes).await.unwrap();
    ended(stream).await
}

/// All that comes until the gateway closes the connection.
async fn ended(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    // One that is closed before all was read that was sent is reset.
    let _ = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

/// Sends these bytes and then one byte at a time, until the gateway closes the connection; what it answered.
fn dribble(stream: TcpStream, head: &'static str) -> JoinHandle<String> {
    tokio::spawn(async move {
        let (mut reader, mut writer) = stream.into_split();
        let sender = tokio::spawn(async move {
            if writer.write_all(head.as_bytes()).await.is_ok() {
                while writer.write_all(b"x").await.is_ok() {
                    tokio::time::sleep(PACE).await;
                }
            }
        });
        let mut answer = Vec::new();
        let _ = tokio::time::timeout(PATIENCE, reader.read_to_end(&mut answer)).await.unwrap();
        sender.abort();
        String::from_utf8_lossy(&answer).into_owned()
    })
}

/// One request on a connection that stays open, and its answer.
async fn request(stream: &mut TcpStream, path: &str) -> String {
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    while !answer.ends_with('}') {
        let mut bytes = [0; 4096];
        let read = tokio::time::timeout(PATIENCE, stream.read(&mut bytes)).await.unwrap().unwrap();
        assert!(read > 0, "closed after {answer:?}");
        answer.push_str(std::str::from_utf8(&bytes[..read]).unwrap());
    }
    answer
}

#[tokio::test]
async fn slow_clients_are_cut_off_while_others_are_served() {
    // The others send their heads in time, though the machine may be slow.
    let flags = ["--header-timeout", "3s", "--body-timeout", "300ms", "--max-connections", "40"];
    let gateway = start(API, |_| Answer::Echo, &flags).await;
    let mut clients = Vec::new();
    for _ in 0..10 {
        let head = "GET /messages/a HTTP/1.1\r\nhost: x\r\nx-slow: ";
        clients.push(("head", dribble(connect(&gateway).await, head)));
        clients.push(("silent", tokio::spawn(ended(connect(&gateway).await))));
        let body = "POST /messages HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
                    content-length: 100000\r\n\r\n{\"text\": \"";
        clients.push(("body", dribble(connect(&gateway).await, body)));
    }
    while clients.iter().any(|(_, client)| !client.is_finished()) {
        gateway.get("/messages/a").await.ok();
    }
    for (kind, client) in clients {
        let answer = client.await.unwrap();
        if kind == "body" {
            assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
            assert!(answer.contains("the body came too slowly") && answer.contains("DEADLINE_EXCEEDED"));
        } else {
            assert_eq!(answer, "", "{kind}");
        }
    }
    gateway.expect_metric(r#"mesher_http_connections_closed_total{reason="slow_head"} 20"#).await;
}

#[tokio::test]
async fn a_connection_without_requests_is_closed_whatever_it_speaks() {
    // Longer than a slow machine takes from one request to the next.
    let gateway = start(API, |_| Answer::Echo, &["--idle-timeout", "3s"]).await;
    let mut stream = connect(&gateway).await;
    assert!(request(&mut stream, "/messages/a").await.starts_with("HTTP/1.1 200 "));
    assert!(request(&mut stream, "/messages/b").await.starts_with("HTTP/1.1 200 "));
    // A connection of HTTP/2 with empty settings.
    let http_2 = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".as_slice(), &[0, 0, 0, 4, 0, 0, 0, 0, 0]].concat();
    let (rest, _) = tokio::join!(ended(stream), sent(connect(&gateway).await, &http_2));
    assert_eq!(rest, "");
    gateway.expect_metric(r#"mesher_http_connections_closed_total{reason="idle"} 2"#).await;
    gateway.expect_metric("mesher_http_connections 0").await;
}

#[tokio::test]
async fn the_idle_make_room_and_where_all_are_busy_nobody_waits() {
    static GATE: Gate = Gate::new();
    let behaviour = |name: &str| {
        if name == "Wait" { Answer::Gated(&GATE) } else { Answer::Echo }
    };
    let gateway = start(API, behaviour, &["--max-connections", "2"]).await;
    let mut idle = [connect(&gateway).await, connect(&gateway).await];
    for stream in &mut idle {
        assert!(request(stream, "/messages/a").await.starts_with("HTTP/1.1 200 "));
    }
    // Each that comes takes the place of one.
    let [mut first, mut second] = [connect(&gateway).await, connect(&gateway).await];
    let waiting = tokio::spawn(async move {
        let answer = request(&mut first, "/wait").await;
        (first, answer)
    });
    GATE.arrived.notified().await;
    let also_waiting = tokio::spawn(async move {
        let answer = request(&mut second, "/wait").await;
        (second, answer)
    });
    GATE.arrived.notified().await;
    for stream in idle {
        assert_eq!(ended(stream).await, "");
    }
    // Both are busy now.
    for _ in 0..3 {
        let answer = sent(connect(&gateway).await, b"GET /messages/a HTTP/1.1\r\nhost: x\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 503 ") && answer.contains("retry-after: 1\r\n"), "{answer}");
        assert!(answer.contains("OVERLOADED"), "{answer}");
    }
    gateway.expect_metric(r#"mesher_http_connections_closed_total{reason="no_room"} 3"#).await;
    gateway.expect_metric(r#"mesher_http_connections_closed_total{reason="place_wanted"} 2"#).await;
    GATE.open.notify_one();
    GATE.open.notify_one();
    for waiting in [waiting, also_waiting] {
        GATE.open.notify_one();
        let (stream, answer) = waiting.await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        drop(stream);
    }
    gateway.get("/messages/a").await.ok();
}

#[tokio::test]
async fn heads_are_bounded_in_bytes_and_in_number() {
    let gateway = start(API, |_| Answer::Echo, &[]).await;
    let many = (0..200).map(|number| format!("x-{number}: y\r\n")).collect::<Vec<_>>().concat();
    let large = format!("x-large: {}\r\n", "x".repeat(64 << 10));
    for headers in [many, large] {
        let head = format!("GET /messages/a HTTP/1.1\r\nhost: x\r\n{headers}\r\n");
        let mut stream = connect(&gateway).await;
        // It may be refused before all of it was sent.
        let _ = stream.write_all(head.as_bytes()).await;
        let answer = ended(stream).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431 "), "{answer}");
    }
    gateway.get("/messages/a").await.ok();
}
