//! What Sentry's SDKs send, and what they are answered, with a writer that keeps what it is given.

use base64::{Engine as _, prelude::BASE64_STANDARD};
use http::HeaderMap;
use mesher_testing::envelope;
use serde_json::{Value, json};

use crate::{
    compressed::{ALL, zlib},
    support::{Answered, answered},
    writer::{Fixture, KEY},
};

const ID: &str = "0123456789abcdef0123456789abcdef";
const EVENT: &str = r#"{"message":"m","n":1e400}"#;

impl Fixture {
    /// Sends an envelope with the key in the query, as browsers do.
    async fn envelope(&self, key: &str, body: impl Into<reqwest::Body>) -> Answered {
        let url = format!("{}/api/42/envelope/?sentry_version=7&sentry_key={key}&sentry_client=x", self.url);
        answered(self.client.post(url).header("content-type", "text/plain").body(body)).await
    }
}

/// Why it was refused: in the header and in the body.
#[track_caller]
fn reason(answer: &Answered, status: u16) -> String {
    assert_eq!(answer.status, status, "{answer:?}");
    assert_eq!(answer.headers["access-control-allow-origin"], "*");
    assert_eq!(answer.json["causes"], json!([]));
    let detail = answer.json["detail"].as_str().unwrap().to_owned();
    let header = answer.headers["x-sentry-error"].to_str().unwrap();
    assert!(detail.starts_with(header.trim_end_matches('?')), "{header} {detail}");
    detail
}

#[tokio::test]
async fn an_event_goes_to_the_writer_byte_for_byte_under_the_envelopes_id() {
    let fixture = Fixture::start().await;
    for id in [ID, "01234567-89ab-cdef-0123-456789abcdef", "0123456789ABCDEF0123456789ABCDEF"] {
        let header = format!(r#"{{"event_id":"{id}","sent_at":"2026-01-01T00:00:00Z"}}"#);
        let answer = fixture.envelope(KEY, envelope(&header, &[("event", EVENT)])).await;
        assert_eq!(answer.ok(), json!({ "id": ID }));
        assert_eq!(fixture.writer.taken(), [EVENT.as_bytes()]);
    }
    // Without an id, the writer's is answered; for an envelope without an event, its own or none.
    let answer = fixture.envelope(KEY, envelope("{}", &[("event", EVENT)])).await;
    assert_eq!(answer.ok(), json!({ "id": format!("{:032x}", 1) }));
    assert_eq!(fixture.envelope(KEY, "{}\n").await.ok(), json!({}));
    let header = format!(r#"{{"event_id":"{ID}"}}"#);
    let answer = fixture.envelope(KEY, envelope(&header, &[("transaction", "{}")])).await;
    assert_eq!(answer.ok(), json!({ "id": ID }));
}

#[tokio::test]
async fn the_old_endpoint_takes_one_event() {
    let fixture = Fixture::start().await;
    for path in ["/api/42/store/", "/api/42/store"] {
        let request = fixture
            .client
            .post(format!("{}{path}", fixture.url))
            .header(
                "x-sentry-auth",
                format!("Sentry sentry_version=7, sentry_key={KEY}, sentry_client=old/1"),
            )
            .body(EVENT);
        assert_eq!(answered(request).await.ok(), json!({ "id": format!("{:032x}", 1) }));
        assert_eq!(fixture.writer.taken(), [EVENT.as_bytes()]);
    }
    let url = format!("{}/api/42/store/?sentry_key={KEY}", fixture.url);
    let large = format!(r#"{{"message":"{}"}}"#, "x".repeat(2 << 20));
    for (body, status) in [("", 400), ("[]", 400), ("null", 400), (large.as_str(), 413)] {
        reason(&answered(fixture.client.post(&url).body(body.to_owned())).await, status);
    }
    let no_key = fixture.client.post(format!("{}/api/42/store/", fixture.url)).body(EVENT);
    assert!(reason(&answered(no_key).await, 401).contains("a key is needed"));
}

#[tokio::test]
async fn the_old_endpoint_takes_what_the_oldest_sdks_make_of_an_event() {
    let fixture = Fixture::start().await;
    let url = format!("{}/api/42/store/?sentry_key={KEY}", fixture.url);
    let send = |body: String| {
        answered(fixture.client.post(&url).header("content-type", "application/octet-stream").body(body))
    };
    let wrapped = |event: &[u8]| BASE64_STANDARD.encode(zlib(event));
    send(wrapped(EVENT.as_bytes())).await.ok();
    assert_eq!(fixture.writer.taken(), [EVENT.as_bytes()]);
    let large = format!(r#"{{"message":"{}"}}"#, "x".repeat(2 << 20));
    reason(&send(wrapped(large.as_bytes())).await, 413);
    let cut_off = BASE64_STANDARD.encode(&zlib(EVENT.as_bytes())[..20]);
    assert!(reason(&send(cut_off).await, 400).contains("cut off"));
    assert_eq!(fixture.writer.taken().len(), 0);
}

#[tokio::test]
async fn the_key_is_found_in_every_place() {
    let fixture = Fixture::start().await;
    let url = |path: &str| format!("{}/api/42/{path}", fixture.url);
    let auth = format!("Sentry sentry_key={KEY}, sentry_version=7");
    let dsn = format!(r#"{{"dsn":"https://{KEY}@example.com/42"}}"#);
    let other = r#"{"dsn":"https://mshr_other@example.com/42"}"#;
    for (path, name, value, header) in [
        ("envelope/", "x-sentry-auth", auth.as_str(), "{}"),
        ("envelope", "authorization", &auth, "{}"),
        (&format!("envelope/?sentry_key={KEY}"), "authorization", "Basic x", other),
        ("envelope/", "x-nothing", "", &dsn),
    ] {
        let request = fixture.client.post(url(path)).header(name, value);
        let answer = answered(request.body(envelope(header, &[("event", EVENT)]))).await;
        assert_eq!(answer.status, 200, "{path} {name}: {answer:?}");
    }
    let answer = answered(fixture.client.post(url("envelope/")).body("{}\n")).await;
    reason(&answer, 401);
    let answer = answered(fixture.client.post(url("envelope/")).body("{\"dsn\":\"x\"}\n")).await;
    reason(&answer, 401);
    let twice = format!("envelope/?sentry_key={KEY}&sentry_key={KEY}");
    assert!(reason(&answered(fixture.client.post(url(&twice)).body("{}")).await, 401).contains("twice"));
}

#[tokio::test]
async fn bodies_come_in_every_encoding_and_an_unknown_one_is_none() {
    let fixture = Fixture::start().await;
    let plain = envelope("{}", &[("event", EVENT)]);
    let send = |encoding: &str, body: Vec<u8>| {
        let url = format!("{}/api/42/envelope/?sentry_key={KEY}", fixture.url);
        answered(fixture.client.post(url).header("content-encoding", encoding).body(body))
    };
    for (encoding, encode) in ALL {
        send(encoding, encode(plain.as_bytes())).await.ok();
        assert_eq!(fixture.writer.taken(), [EVENT.as_bytes()]);
        let why = reason(&send(encoding, plain.clone().into_bytes()).await, 400);
        assert!(why.contains(encoding), "{why}");
        let encoded = encode(plain.as_bytes());
        reason(&send(encoding, encoded[..encoded.len() / 2].to_vec()).await, 400);
    }
    for unknown in ["identity", "compress", "utf-8", ""] {
        send(unknown, plain.clone().into_bytes()).await.ok();
        assert_eq!(fixture.writer.taken(), [EVENT.as_bytes()]);
    }
}

#[tokio::test]
async fn items_that_are_no_events_are_counted_and_not_kept() {
    let fixture = Fixture::start().await;
    let report = r#"{"discarded_events":[{"reason":"queue_overflow","category":"error","quantity":7},
        {"reason":"made up","category":"error","quantity":2}]}"#
        .replace('\n', "");
    let items = [
        ("session", "{}"),
        ("transaction", "{}"),
        ("client_report", report.as_str()),
        ("client_report", "not JSON"),
        ("attachment", "\u{0}\n\n\u{1}"),
        ("never_heard_of", ""),
        ("event", EVENT),
        ("session", "{}"),
    ];
    fixture.envelope(KEY, envelope("{}", &items)).await.ok();
    assert_eq!(fixture.writer.taken(), [EVENT.as_bytes()]);
    // There is no room for events, or no writer; and yet what needs none is taken.
    for (key, status) in [("mshr_full", 429), ("mshr_stopping", 503)] {
        let report = [("client_report", report.as_str())];
        fixture.envelope(key, envelope("{}", &report)).await.ok();
        let with_event = [report[0], ("event", EVENT)];
        assert_eq!(fixture.envelope(key, envelope("{}", &with_event)).await.status, status);
    }
    // Of those who have no key, nothing counts.
    assert_eq!(fixture.envelope("mshr_other", envelope("{}", &items)).await.status, 400);
    fixture
        .expect_metrics(&[
            r#"mesher_sentry_items_discarded_total{type="session"} 2"#,
            r#"mesher_sentry_items_discarded_total{type="transaction"} 1"#,
            r#"mesher_sentry_items_discarded_total{type="attachment"} 1"#,
            r#"mesher_sentry_items_discarded_total{type="other"} 1"#,
            r#"mesher_sentry_items_discarded_total{type="client_report"} 1"#,
            r#"mesher_sentry_client_dropped_total{reason="queue_overflow",category="error"} 35"#,
            r#"mesher_sentry_client_dropped_total{reason="other",category="error"} 10"#,
            r#"mesher_gateway_events_accepted_total{route="/api/{project_number}/envelope/"} 1"#,
            r#"mesher_gateway_events_refused_total{route="/api/{project_number}/envelope/",reason="QUOTA_EXCEEDED"} 1"#,
            r#"mesher_gateway_events_refused_total{route="/api/{project_number}/envelope/",reason="API_KEY_INVALID"} 1"#,
        ])
        .await;
}

#[tokio::test]
async fn a_native_crash_is_kept_without_its_minidump() {
    let fixture = Fixture::start().await;
    let event = r#"{"level":"fatal","platform":"native"}"#;
    let minidump =
        "{\"type\":\"attachment\",\"length\":6,\"attachment_type\":\"event.minidump\"}\nMDMP\n\0\n";
    let header = format!(r#"{{"event_id":"{ID}"}}"#);
    let crash = |event: &str| format!("{}{minidump}", envelope(&header, &[("event", event)]));
    assert_eq!(fixture.envelope(KEY, crash(event)).await.ok(), json!({ "id": ID }));
    let taken: Value = serde_json::from_slice(&fixture.writer.taken()[0]).unwrap();
    let said = json!({"formatted": "Native crash (its minidump is not kept)"});
    assert_eq!(taken, json!({"level": "fatal", "platform": "native", "logentry": said}));
    // What says something itself, and what has no minidump, is as it was.
    fixture.envelope(KEY, crash(EVENT)).await.ok();
    fixture.envelope(KEY, envelope(&header, &[("event", event), ("attachment", "MDMP")])).await.ok();
    assert_eq!(fixture.writer.taken(), [EVENT.as_bytes(), event.as_bytes()]);
}

#[tokio::test]
async fn a_bad_item_does_not_refuse_its_siblings() {
    let fixture = Fixture::start().await;
    let large = format!(r#"{{"message":"{}"}}"#, "x".repeat(2 << 20));
    let items = [("event", "[]"), ("event", large.as_str()), ("event", EVENT), ("event", r#"{"other":1}"#)];
    let header = format!(r#"{{"event_id":"{ID}"}}"#);
    let answer = fixture.envelope(KEY, envelope(&header, &items)).await;
    assert_eq!(answer.headers["x-sentry-error"], "event is no object");
    answer.ok();
    assert_eq!(fixture.writer.taken(), [EVENT.as_bytes(), br#"{"other":1}"#]);
    // If none is any good, the first says why.
    reason(&fixture.envelope(KEY, envelope("{}", &items[..2])).await, 400);
    reason(&fixture.envelope(KEY, envelope("{}", &items[1..2])).await, 413);

    // An attachment beside the event may be far larger than an event.
    let attachment = "x".repeat(20 << 20);
    let items = [("event", EVENT), ("attachment", attachment.as_str())];
    fixture.envelope(KEY, envelope("{}", &items)).await.ok();
    // More events than the writer takes in one call.
    let event = format!(r#"{{"message":"{}"}}"#, "x".repeat(1_000_000));
    fixture.writer.taken();
    fixture.envelope(KEY, envelope("{}", &[("event", event.as_str()); 25])).await.ok();
    assert_eq!(fixture.writer.taken().len(), 25);
}

#[tokio::test]
async fn refusals_have_the_status_and_the_headers_that_sdks_know() {
    let fixture = Fixture::start().await;
    let event = envelope("{}", &[("event", EVENT)]);
    let send = |key: &'static str| fixture.envelope(key, event.clone());
    assert!(reason(&send("mshr_unknown").await, 400).contains("unknown"));
    assert!(reason(&send("mshr_revoked").await, 403).contains("revoked"));
    let full = send("mshr_full").await;
    reason(&full, 429);
    let header = |headers: &HeaderMap, name: &str| headers[name].to_str().unwrap().to_owned();
    assert_eq!(header(&full.headers, "retry-after"), "1");
    assert_eq!(header(&full.headers, "x-sentry-rate-limits"), "1:error:key:quota_exceeded");
    let stopping = send("mshr_stopping").await;
    reason(&stopping, 503);
    assert_eq!(header(&stopping.headers, "retry-after"), "1");
    assert!(!stopping.headers.contains_key("x-sentry-rate-limits"));
    reason(&send("mshr_broken").await, 500);

    let url = format!("{}/api/43/envelope/?sentry_key={KEY}", fixture.url);
    let other_project = answered(fixture.client.post(url).body(event.clone())).await;
    assert!(reason(&other_project, 400).contains("another project"));
    let get = answered(fixture.client.get(format!("{}/api/42/envelope/", fixture.url))).await;
    assert_eq!(header(&get.headers, "allow"), "OPTIONS, POST");
    reason(&get, 405);
    assert_eq!(fixture.writer.taken().len(), 0);
}

#[tokio::test]
async fn what_is_malformed_is_refused_whole_with_the_reason() {
    let fixture = Fixture::start().await;
    let event = envelope("{}", &[("event", EVENT)]);
    let cases: Vec<(String, &str)> = vec![
        (String::new(), "has no header"),
        ("hello".to_owned(), "header is not a JSON object"),
        (event.replace("\"length\":25", "\"length\":24"), "item 1"),
        (event.replace("\"length\":25", "\"length\":9999999"), "cut off"),
        (event.replace("\"length\":25", "\"length\":-25"), "no number of bytes"),
        (
            format!("{event}{{\"type\":\"session\",\"length\":10}}\n{{}}\n"),
            "item 2 of the envelope is cut off",
        ),
        (format!("{{}}\n{}", "{\"type\":\"x\"}\n\n".repeat(100_000)), "more than 1000 items"),
    ];
    for (body, why) in cases {
        let status = if why.contains("1000") { 413 } else { 400 };
        let answer = fixture.envelope(KEY, body.clone()).await;
        assert!(reason(&answer, status).contains(why), "{body:.200}: {answer:?}");
    }
    for id in ["", "5", "x", "0123456789abcdef0123456789abcdeg", "{0123456789abcdef0123456789abcdef}", "ü"] {
        let header = format!(r#"{{"event_id":"{id}"}}"#);
        let answer = fixture.envelope(KEY, envelope(&header, &[("event", EVENT)])).await;
        assert!(reason(&answer, 400).contains("event_id"), "{id}");
    }
    for number in ["x", "0", "-42", "42.0", "99999999999999999999", "7f3a-11", "%34%32"] {
        let url = format!("{}/api/{number}/envelope/?sentry_key={KEY}", fixture.url);
        let answer = answered(fixture.client.post(url).body(event.clone())).await;
        assert!(reason(&answer, 400).contains("not a number"), "{number}");
    }
    let not_utf8 = [b"{}\n{\"type\":\"\xff\"}\n".as_slice(), EVENT.as_bytes()].concat();
    reason(&fixture.envelope(KEY, not_utf8).await, 400);
    let taken = fixture.writer.taken();
    assert!(taken.is_empty(), "{} events", taken.len());
    fixture.envelope(KEY, event).await.ok();
}

#[tokio::test]
async fn an_envelope_beyond_its_limit_is_refused_encoded_or_not() {
    let fixture = Fixture::start_with(&["--max-envelope", "100000"]).await;
    let sized = |size: usize| envelope("{}", &[("attachment", "x".repeat(size).as_str())]);
    let send = |encoding: &str, body: Vec<u8>| {
        let url = format!("{}/api/42/envelope/?sentry_key={KEY}", fixture.url);
        answered(fixture.client.post(url).header("content-encoding", encoding).body(body))
    };
    send("identity", sized(99_000).into_bytes()).await.ok();
    assert!(reason(&send("identity", sized(100_000).into_bytes()).await, 413).contains("100000 bytes"));
    for (encoding, encode) in ALL {
        send(encoding, encode(sized(99_000).as_bytes())).await.ok();
        reason(&send(encoding, encode(sized(100_000).as_bytes())).await, 413);
    }
    let answer: Value = fixture.envelope(KEY, sized(1)).await.ok();
    assert_eq!(answer, json!({}));
}
