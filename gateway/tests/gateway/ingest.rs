//! Events over HTTP, with a writer that keeps what it is given.

use serde_json::{Value, json};

use crate::{
    compressed::ALL,
    support::answered,
    writer::{Fixture, KEY},
};

#[tokio::test]
async fn an_event_goes_to_the_writer_byte_for_byte() {
    let fixture = Fixture::start().await;
    let event = r#"{ "message": "a", "message":"b", "n": 1e400, "s": "\ud800" }"#;
    for content_type in ["application/json", "text/plain", "application/x-www-form-urlencoded"] {
        let answer = fixture.post("/v1/events", content_type, event).await;
        let expected = json!({"eventId": format!("{:032x}", 1), "durability": "DURABILITY_MEMORY"});
        assert_eq!((answer.status, answer.json), (202, expected));
        assert_eq!(fixture.writer.taken(), [event.as_bytes()]);
    }
    let request = fixture.client.post(format!("{}/v1/events", fixture.url)).body(event);
    answered(request).await.expect(401, "CREDENTIALS_MISSING");
    for wrong in ["[]", "null", ""] {
        assert_eq!(
            fixture.post("/v1/events", "application/json", wrong).await.refuses("event"),
            "is no object"
        );
    }
    let request = fixture.client.get(format!("{}/v1/events", fixture.url));
    assert_eq!(answered(request).await.headers["allow"], "POST");
}

#[tokio::test]
async fn an_event_beyond_its_limit_is_413_whoever_notices() {
    let fixture = Fixture::start().await;
    let event = |size: usize| format!(r#"{{"message": "{}"}}"#, "x".repeat(size - 15));
    assert_eq!(fixture.post("/v1/events", "text/plain", event(1 << 20)).await.status, 202);
    for size in [(1 << 20) + 1, 2 << 20] {
        fixture.post("/v1/events", "text/plain", event(size)).await.expect(413, "TOO_LARGE");
    }
    let deep = "[".repeat(10_000) + &"]".repeat(10_000);
    assert_eq!(fixture.post("/v1/events", "text/plain", format!(r#"{{"extra": {deep}}}"#)).await.status, 202);
}

#[tokio::test]
async fn each_event_of_a_batch_has_an_answer_of_its_own() {
    let fixture = Fixture::start().await;
    let first = r#"{"message": "a", "n": 1.50}"#;
    for (content_type, body) in [
        ("application/json", format!("[{first}, [1], {{}}]")),
        ("application/x-ndjson", format!("{first}\n[1]\n{{}}\n")),
        ("text/plain", format!("{first}\r\n[1]\r\n\r\n{{}}")),
    ] {
        let answer = fixture.post("/v1/events:batch", content_type, body).await;
        assert_eq!(answer.status, 202, "{}", answer.json);
        assert_eq!(answer.json["durability"], "DURABILITY_MEMORY");
        let results = answer.json["results"].as_array().unwrap();
        assert_eq!(results[0], json!({"eventId": format!("{:032x}", 1)}));
        assert_eq!(results[2], json!({"eventId": format!("{:032x}", 2)}));
        let error = &results[1]["error"];
        assert_eq!((&error["code"], &error["status"]), (&json!(400), &json!("INVALID_ARGUMENT")));
        assert_eq!(error["message"], "event is no object");
        assert_eq!(error["details"][0]["reason"], "INVALID_FIELD");
        assert_eq!(fixture.writer.taken(), [first.as_bytes(), b"{}"]);
    }
}

#[tokio::test]
async fn a_batch_is_bounded_in_events_and_bytes() {
    let fixture = Fixture::start().await;
    let batch = |count: usize, size: usize| {
        let event = format!(r#"{{"message": "{}"}}"#, "x".repeat(size - 15));
        format!("[{}]", vec![event; count].join(","))
    };
    let answer = fixture.post("/v1/events:batch", "application/json", batch(1000, 10_000)).await;
    assert_eq!((answer.status, answer.json["results"].as_array().map(Vec::len)), (202, Some(1000)));
    fixture.post("/v1/events:batch", "application/json", batch(1001, 20)).await.refuses("events");
    fixture.post("/v1/events:batch", "application/json", batch(11, 1_000_000)).await.expect(413, "TOO_LARGE");
    fixture.post("/v1/events:batch", "application/json", "[]").await.refuses("events");
    fixture.post("/v1/events:batch", "application/json", "hello").await.expect(400, "MALFORMED_REQUEST");
}

#[tokio::test]
async fn the_writers_other_rpcs_are_transcoded() {
    let fixture = Fixture::start().await;
    let flush = fixture.client.post(format!("{}/v1/projects/7/events:flush", fixture.url));
    assert_eq!(answered(flush).await.ok(), json!({"storedCount": "3"}));
    let stats = fixture.client.get(format!("{}/v1/projects/7/writer-stats", fixture.url));
    let stats: Value = answered(stats).await.ok();
    assert_eq!((&stats["stats"]["bufferedCount"], &stats["stats"]["drops"]), (&json!("0"), &json!([])));
}

#[tokio::test]
async fn bodies_come_in_every_encoding() {
    let fixture = Fixture::start().await;
    let event = format!(r#"{{"message": "{}"}}"#, "x".repeat(100_000));
    let batch = format!("[{event},{event}]");
    for (encoding, encode) in ALL {
        let send = |path: &str, body: Vec<u8>| {
            let request = fixture.client.post(format!("{}{path}", fixture.url)).header("x-mesher-key", KEY);
            answered(request.header("content-encoding", encoding).body(body))
        };
        assert_eq!(send("/v1/events", encode(event.as_bytes())).await.status, 202, "{encoding}");
        assert_eq!(fixture.writer.taken(), [event.as_bytes()]);
        assert_eq!(send("/v1/events:batch", encode(batch.as_bytes())).await.status, 202, "{encoding}");
        assert_eq!(fixture.writer.taken(), [event.as_bytes(), event.as_bytes()]);

        send("/v1/events", event.clone().into_bytes()).await.expect(400, "MALFORMED_REQUEST");
        let encoded = encode(event.as_bytes());
        let cut_off = encoded[..encoded.len() - 3].to_vec();
        send("/v1/events", cut_off).await.expect(400, "MALFORMED_REQUEST");
        send("/v1/events", encode(&vec![b' '; 2 << 20])).await.expect(413, "TOO_LARGE");
        send("/v1/events:batch", encode(&vec![b' '; 11 << 20])).await.expect(413, "TOO_LARGE");
    }
    let unknown = fixture.client.post(format!("{}/v1/events", fixture.url)).header("x-mesher-key", KEY);
    let unknown = unknown.header("content-encoding", "compress").body(event);
    answered(unknown).await.expect(415, "ROUTE_NOT_FOUND");
    assert_eq!(fixture.writer.taken(), [[0_u8; 0]; 0]);
    fixture
        .expect_metrics(&[
            r#"mesher_gateway_events_accepted_total{route="/v1/events"} 5"#,
            r#"mesher_gateway_events_accepted_total{route="/v1/events:batch"} 10"#,
            r#"mesher_gateway_events_refused_total{route="/v1/events",reason="MALFORMED_REQUEST"} 10"#,
            r#"mesher_gateway_events_refused_total{route="/v1/events",reason="TOO_LARGE"} 5"#,
        ])
        .await;
}

#[tokio::test]
async fn a_key_may_stand_where_sentrys_sdks_put_it() {
    let fixture = Fixture::start().await;
    for (name, value, query) in [
        ("x-sentry-auth", "Sentry sentry_key=mshr_x", ""),
        ("authorization", "Sentry sentry_key=mshr_x", ""),
        ("x-other", "", "?sentry_key=mshr_x"),
    ] {
        let request = fixture.client.post(format!("{}/v1/events{query}", fixture.url)).header(name, value);
        assert_eq!(answered(request.body("{}")).await.status, 202, "{name} {query}");
    }
}

#[tokio::test]
async fn pages_of_any_origin_may_send_events() {
    let fixture = Fixture::start().await;
    for path in ["/v1/events", "/v1/events:batch", "/api/42/envelope/", "/api/42/store/"] {
        let request = |method: &str| {
            let url = format!("{}{path}", fixture.url);
            fixture.client.request(method.parse().unwrap(), url).header("origin", "https://shop.example.com")
        };
        let preflight = request("OPTIONS")
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "x-mesher-key,content-type")
            .send()
            .await
            .unwrap();
        assert_eq!(preflight.status(), 204, "{path}");
        let header = |name: &str| preflight.headers()[name].to_str().unwrap().to_owned();
        assert_eq!(header("access-control-allow-origin"), "*");
        assert_eq!(header("access-control-allow-methods"), "POST");
        assert_eq!(header("access-control-max-age"), "3600");
        for name in ["x-mesher-key", "x-sentry-auth", "content-type", "content-encoding", "authorization"] {
            assert!(header("access-control-allow-headers").split(", ").any(|allowed| allowed == name));
        }
        // Whatever the answer is, the page may see it.
        let refused = request("POST").body("").send().await.unwrap();
        assert!(refused.status().is_client_error());
        assert_eq!(refused.headers()["access-control-allow-origin"], "*");
        let exposed = refused.headers()["access-control-expose-headers"].to_str().unwrap();
        assert!(exposed.starts_with("x-sentry-error, x-sentry-rate-limits, retry-after"));
    }
    let other = fixture.client.request("OPTIONS".parse().unwrap(), format!("{}/v1/orgs", fixture.url));
    let other = other.send().await.unwrap();
    assert_eq!(other.status(), 405);
    assert!(!other.headers().contains_key("access-control-allow-origin"));
}
