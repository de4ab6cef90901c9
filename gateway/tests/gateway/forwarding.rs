//! What goes through to the services, and what comes back beside the answer.

use http_body_util::Full;
use tonic::{Status, metadata::MetadataValue};

use crate::support::{Answer, answered, echo, grpc, start};

const API: &str = r#"
    service Echo {
      rpc Get(Message) returns (Message) { option (google.api.http).get = "/get"; }
    }
    message Message { string text = 1; }"#;

#[tokio::test]
async fn credentials_ids_and_traces_go_through_and_nothing_else() {
    let gateway = echo(API).await;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let request = gateway
        .client
        .get(gateway.url("/get"))
        .header("authorization", "Bearer a")
        .header("authorization", "Bearer b")
        .header("x-mesher-key", "mshr_1")
        .header("x-request-id", "my-id/1")
        .header("traceparent", trace)
        .header("cookie", "a=b")
        .header("x-other", "x");
    let answer = answered(request).await;
    let sent = gateway.backend.last();
    let values =
        |name: &str| sent.get_all(name).iter().map(|value| value.to_str().unwrap()).collect::<Vec<_>>();
    assert_eq!(values("authorization"), ["Bearer a", "Bearer b"]);
    assert_eq!(values("x-mesher-key"), ["mshr_1"]);
    assert_eq!(values("x-request-id"), ["my-id/1"]);
    assert_eq!(values("traceparent"), [trace]);
    assert!(sent.contains_key("grpc-timeout"));
    assert_eq!(values("x-mesher-public-url"), [gateway.url("")]);
    for not_sent in ["cookie", "x-other"] {
        assert!(!sent.contains_key(not_sent), "{not_sent}");
    }
    assert_eq!(answer.headers["x-request-id"], "my-id/1");
    answer.ok();
}

#[tokio::test]
async fn services_are_told_by_which_url_the_gateway_was_called() {
    let gateway = echo(API).await;
    for (headers, expected) in [
        (vec![("host", "errors.example.com")], "http://errors.example.com"),
        (
            vec![("x-forwarded-host", "errors.example.com"), ("x-forwarded-proto", "https")],
            "https://errors.example.com",
        ),
        (vec![("host", "a"), ("x-mesher-public-url", "https://b"), ("x-forwarded-proto", "ftp")], "http://a"),
    ] {
        let mut request = gateway.client.get(gateway.url("/get"));
        for (name, value) in headers {
            request = request.header(name, value);
        }
        answered(request).await.ok();
        assert_eq!(gateway.backend.last()["x-mesher-public-url"], expected);
    }
    let client = mesher_testing::http_client().http2_prior_knowledge().build().unwrap();
    answered(client.get(gateway.url("/get"))).await.ok();
    assert_eq!(gateway.backend.last()["x-mesher-public-url"], gateway.url(""));
}

#[tokio::test]
async fn every_answer_has_an_id_and_may_not_be_kept_or_guessed_at() {
    let gateway = echo(API).await;
    for path in ["/get", "/nothing", "/healthz", "/get?x=1"] {
        let response =
            gateway.client.get(gateway.url(path)).header("x-request-id", "a b").send().await.unwrap();
        let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
        let id = uuid::Uuid::parse_str(&header("x-request-id")).unwrap();
        assert_eq!(id.get_version_num(), 7);
        assert_eq!(header("x-content-type-options"), "nosniff");
        assert_eq!(header("cache-control"), "no-store");
    }
    let long = "x".repeat(129);
    let answer = answered(gateway.client.get(gateway.url("/get")).header("x-request-id", &long)).await;
    assert_ne!(answer.headers["x-request-id"], long.as_str());
    let long = "x".repeat(5000);
    let request = gateway.client.get(gateway.url("/get")).header("authorization", long);
    let refused = answered(request).await;
    assert_eq!(refused.expect(401, "CREDENTIALS_MISSING"), "the credentials are longer than 4096 bytes");
}

#[tokio::test]
async fn the_clients_address_goes_through_as_far_as_it_is_known() {
    for (flags, expected) in [
        (&[][..], "127.0.0.1"),
        (&["--trusted-proxies", "10.0.0.0/8,127.0.0.1"], "192.0.2.1"),
        (&["--trusted-proxies", "127.0.0.1", "--client-address-header", "forwarded"], "2001:db8::1"),
    ] {
        let gateway = start(API, |_| Answer::Echo, flags).await;
        let request = gateway
            .client
            .get(gateway.url("/get"))
            .header("x-forwarded-for", "203.0.113.9, 192.0.2.1, 10.0.0.7")
            .header("forwarded", "for=203.0.113.9, for=\"[2001:db8::1]:80\";proto=https");
        answered(request).await.ok();
        let sent = gateway.backend.last();
        assert_eq!(sent.get_all("x-forwarded-for").iter().collect::<Vec<_>>(), [expected]);
        assert!(!sent.contains_key("forwarded"));
    }
}

#[tokio::test]
async fn metadata_of_the_answer_comes_back_as_headers() {
    let behaviour = |name: &str| {
        if name == "Get" {
            return Answer::Made(|body| {
                let mut answer = grpc(Full::new(body), &trailing(Status::ok("")));
                answer.headers_mut().insert("etag", "\"1\"".parse().unwrap());
                answer.headers_mut().insert("x-cost", "7".parse().unwrap());
                answer
            });
        }
        Answer::Error(Box::new(trailing(Status::failed_precondition("no"))))
    };
    let api = API.replace(
        "service Echo {",
        "service Echo { rpc No(Message) returns (Message) { option (google.api.http).get = \"/no\"; }",
    );
    let gateway = start(&api, behaviour, &[]).await;
    let answer = gateway.get("/get").await;
    for (name, value) in
        [("etag", "\"1\""), ("grpc-metadata-x-cost", "7"), ("location", "/a"), ("grpc-metadata-a-bin", "AAE")]
    {
        assert_eq!(answer.headers[name], value);
    }
    let own = ["content-type", "content-length", "date", "x-request-id"];
    assert!(own.iter().all(|name| !answer.headers.contains_key(format!("grpc-metadata-{name}"))));
    assert!(answer.headers.keys().all(|name| !name.as_str().contains("status")), "{:?}", answer.headers);
    answer.ok();
    let answer = gateway.get("/no").await;
    assert_eq!((answer.status, &answer.headers["location"]), (400, &"/a".parse().unwrap()));
}

/// `status` with trailing metadata.
fn trailing(mut status: Status) -> Status {
    let metadata = status.metadata_mut();
    metadata.insert("location", "/a".parse().unwrap());
    metadata.insert_bin("a-bin", MetadataValue::from_bytes(&[0, 1]));
    status
}
