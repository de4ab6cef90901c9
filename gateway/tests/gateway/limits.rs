//! Rate limits as HTTP tells them: those of the writer, and the gateway's own for clients whom nobody knows.

use mesher_testing::eventually;
use serde_json::json;

use crate::{
    support::{Answered, PATIENCE, answered},
    writer::{Fixture, KEY, LATE_KEY, OTHER_KEY},
};

const EVENT: &str = r#"{"message":"m"}"#;
const OVER: &str = r#"{"over":"the limit"}"#;

impl Fixture {
    /// Sends an event with a key, through a proxy that names the client.
    async fn from(&self, client: &str, path: &str, key: &str) -> Answered {
        let request = self.client.post(format!("{}{path}", self.url)).header("x-forwarded-for", client);
        answered(request.header("x-mesher-key", key).header("content-type", "application/json").body(EVENT))
            .await
    }

    async fn login_from(&self, client: &str) -> Answered {
        let request = self.client.post(format!("{}/v1/sessions", self.url)).header("x-forwarded-for", client);
        let login = json!({ "email": "ada@example.com", "password": "correct horse" }).to_string();
        answered(request.header("content-type", "application/json").body(login)).await
    }
}

/// Fails unless the client is to wait for `seconds` less what it took to come here, at the most a few minutes.
#[track_caller]
fn expect_wait(refused: &Answered, seconds: u64) -> u64 {
    let told = refused.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((seconds - 300..=seconds).contains(&told), "{told} of {seconds} seconds");
    told
}

#[tokio::test]
async fn sdks_are_told_how_long_to_wait_and_with_what() {
    let fixture = Fixture::start().await;
    let envelope = |events: &[&str]| {
        let items = events.iter().map(|event| format!("{{\"type\":\"event\"}}\n{event}\n"));
        format!("{{}}\n{}", items.collect::<String>())
    };
    let url = format!("{}/api/42/envelope/?sentry_key={KEY}", fixture.url);
    let send = |events: &[&str]| answered(fixture.client.post(&url).body(envelope(events)));
    let all = send(&[OVER]).await;
    assert_eq!((all.status, all.headers["retry-after"].to_str().unwrap()), (429, "6"));
    assert_eq!(all.headers["x-sentry-rate-limits"], "6:error:project:rate_limited");
    assert!(all.json["detail"].as_str().unwrap().contains("10/1m"), "{all:?}");
    // What an SDK is told is the same when some of it was taken in, or something else was wrong as well.
    let some = send(&["[]", EVENT, OVER]).await;
    assert_eq!(some.status, 200, "{some:?}");
    assert_eq!(some.headers["x-sentry-rate-limits"], "6:error:project:rate_limited");
    assert_eq!(send(&["[]", OVER]).await.status, 429);
    assert!(!send(&["[]", EVENT]).await.headers.contains_key("x-sentry-rate-limits"));
    // Not an SDK.
    let refused = fixture.post("/v1/events", "application/json", OVER).await;
    refused.expect(429, "RATE_LIMITED");
    assert_eq!(refused.headers["retry-after"], "6");
    assert_eq!(refused.detail("ErrorInfo")["metadata"], json!({ "scope": "PROJECT" }));
    let batch = fixture.post("/v1/events:batch", "application/json", format!("[{EVENT},{OVER}]")).await;
    assert_eq!(batch.status, 202);
    assert_eq!(batch.json["results"][1]["error"]["code"], 429);
    assert!(batch.json["results"][0]["eventId"].is_string(), "{batch:?}");
    let line = r#"mesher_gateway_events_refused_total{route="/v1/events",reason="RATE_LIMITED"} 1"#;
    fixture.expect_metrics(&[line]).await;
}

#[tokio::test]
async fn a_client_without_credentials_has_a_limit_that_others_do_not_share() {
    let flags = ["--client-rate-limit", "2/1day", "--trusted-proxies", "127.0.0.1"];
    let fixture = Fixture::start_with(&flags).await;
    for client in ["192.0.2.1", "192.0.2.1", "2001:db8::1", "2001:db8::2", "192.0.2.2"] {
        login_was_let_through(&fixture.login_from(client).await);
    }
    for client in ["192.0.2.1", "2001:db8::3"] {
        let refused = fixture.login_from(client).await;
        refused.expect(429, "RATE_LIMITED");
        expect_wait(&refused, 43_200);
        assert_eq!(refused.detail("ErrorInfo")["metadata"], json!({ "scope": "CLIENT" }));
    }
    login_was_let_through(&fixture.login_from("2001:db8:0:1::1").await);
    // What needs a key is not limited by it.
    assert_eq!(fixture.from("192.0.2.1", "/v1/events", KEY).await.status, 202);
    fixture.expect_metrics(&[r#"mesher_gateway_rate_limited_total{limit="unauthenticated"} 2"#]).await;
}

/// There is no user service here that would answer it.
#[track_caller]
fn login_was_let_through(answer: &Answered) {
    answer.expect(503, "SERVICE_UNAVAILABLE");
}

#[tokio::test]
async fn after_many_bad_keys_a_client_is_let_through_only_with_one_that_was_good() {
    let flags = ["--bad-key-rate-limit", "3/1day", "--trusted-proxies", "127.0.0.1"];
    let fixture = Fixture::start_with(&flags).await;
    assert_eq!(fixture.from("192.0.2.9", "/v1/events", OTHER_KEY).await.status, 202);
    for (path, body, status) in
        [("/v1/events", "{}", 401), ("/v1/events:batch", "[{}]", 401), ("/api/42/envelope/", "{}\n", 400)]
    {
        let path = format!("{path}?sentry_key=mshr_bad");
        let request = fixture.client.post(format!("{}{path}", fixture.url));
        let answer = answered(request.header("x-forwarded-for", "192.0.2.1").body(body)).await;
        assert_eq!(answer.status, status, "{path} {answer:?}");
    }
    let refused = fixture.from("192.0.2.1", "/v1/events", "mshr_worse").await;
    refused.expect(429, "RATE_LIMITED");
    // A key that is not known to be good may be one more guess; one that is may come from anywhere.
    fixture.from("192.0.2.1", "/v1/events", KEY).await.expect(429, "RATE_LIMITED");
    assert_eq!(fixture.from("192.0.2.1", "/v1/events", OTHER_KEY).await.status, 202);
    assert_eq!(fixture.from("192.0.2.2", "/v1/events", KEY).await.status, 202);
    assert_eq!(fixture.from("192.0.2.1", "/v1/events", KEY).await.status, 202);
    let url = format!("{}/api/42/envelope/?sentry_key=mshr_worst", fixture.url);
    let sdk = answered(fixture.client.post(url).header("x-forwarded-for", "192.0.2.1").body("{}\n")).await;
    assert_eq!(sdk.status, 429);
    let wait = expect_wait(&sdk, 28_800);
    assert_eq!(sdk.headers["x-sentry-rate-limits"], format!("{wait}:error:key:rate_limited"));
    fixture.expect_metrics(&[r#"mesher_gateway_rate_limited_total{limit="bad_key"} 3"#]).await;
}

#[tokio::test]
async fn a_bad_key_counts_though_its_client_did_not_wait_for_the_answer() {
    let fixture = Fixture::start_with(&["--bad-key-rate-limit", "1/1day"]).await;
    let request = fixture.client.post(format!("{}/v1/events", fixture.url)).header("x-request-timeout", "3");
    let request = request.header("content-type", "application/json").body(EVENT);
    answered(request.header("x-mesher-key", LATE_KEY)).await.expect(504, "DEADLINE_EXCEEDED");
    fixture.expect_metrics(&["mesher_gateway_bad_keys_total 0"]).await;
    fixture.writer.late.add_permits(1);
    let line = "mesher_gateway_bad_keys_total 1".to_owned();
    eventually(&line, PATIENCE, async || fixture.metrics().await.contains(&line)).await;
    fixture.from("", "/v1/events", "mshr_worse").await.expect(429, "RATE_LIMITED");
}

#[tokio::test]
async fn a_bad_key_in_an_envelope_counts_as_one_in_a_header() {
    let fixture = Fixture::start_with(&["--bad-key-rate-limit", "3/1day"]).await;
    let url = format!("{}/api/42/envelope/", fixture.url);
    let send = |key: &str| {
        let header = json!({ "dsn": format!("http://{key}@127.0.0.1/42") });
        answered(fixture.client.post(&url).body(format!("{header}\n{{\"type\":\"event\"}}\n{EVENT}\n")))
    };
    for status in [403, 403, 403, 403, 429, 429] {
        assert_eq!(send("mshr_revoked").await.status, status);
    }
    assert_eq!(send("mshr_bad").await.status, 400, "the same key again is no other guess");
    assert_eq!(send(KEY).await.status, 200);
    assert_eq!([send("mshr_worse").await.status, send("mshr_worst").await.status], [400, 429]);
    assert_eq!(send(KEY).await.status, 200, "one that was good is let through");
}

#[tokio::test]
async fn an_application_whose_key_was_revoked_keeps_none_of_its_neighbours_out() {
    let fixture = Fixture::start_with(&["--bad-key-rate-limit", "3/1day"]).await;
    for _ in 0..4 {
        assert_eq!(fixture.from("", "/v1/events", "mshr_revoked").await.status, 401);
    }
    for _ in 0..10 {
        fixture.from("", "/v1/events", "mshr_revoked").await.expect(429, "RATE_LIMITED");
    }
    assert_eq!(fixture.from("", "/v1/events", KEY).await.status, 202);
    // That one is good for its own project makes it no better for another.
    let url = format!("{}/api/43/store/", fixture.url);
    for status in [400, 400, 400, 400, 429, 429] {
        let request = fixture.client.post(&url).header("x-sentry-auth", format!("Sentry sentry_key={KEY}"));
        assert_eq!(answered(request.body(EVENT)).await.status, status);
    }
    assert_eq!(fixture.from("", "/v1/events", KEY).await.status, 202);
}
