//! The server around the calls: health, metrics, load, shutdown, and the binary.

use clap::Parser as _;
use mesher_gateway::{Config, spawn};
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic_health::ServingStatus;

use crate::support::{Answer, Gate, PATIENCE, binary, client, config, start};

const API: &str = r#"
    service Server {
      rpc Get(Message) returns (Message) { option (google.api.http).get = "/messages/{text}"; }
      rpc Wait(Message) returns (Message) { option (google.api.http).get = "/wait"; }
    }
    message Message { string text = 1; }"#;

const SERVICES: [&str; 5] = ["Org", "Project", "User", "Writer", "Issue"];

/// The status and the text of an answer.
async fn text(url: &str) -> (u16, String) {
    let response = client().get(url).send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

#[tokio::test]
async fn it_is_ready_when_all_services_are() {
    let (mut health, service) = tonic_health::server::health_reporter();
    let name = |service: &str| format!("mesher.{}.v1.{service}Service", service.to_lowercase());
    for service in SERVICES {
        health.set_service_status(name(service), ServingStatus::Serving).await;
    }
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let server = tonic::transport::Server::builder().add_service(service);
    tokio::spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
    let flags = SERVICES.map(|service| format!("--{}-address={address}", service.to_lowercase()));
    let gateway = spawn(config(&flags.each_ref().map(String::as_str))).await.unwrap();

    let urls = ["http", "admin"].map(|kind| format!("http://{}/readyz", gateway.address(kind).unwrap()));
    for url in &urls {
        assert_eq!(text(url).await, (200, "ready\n".to_owned()));
    }
    health.set_service_status(name("User"), ServingStatus::NotServing).await;
    health.clear_service_status(&name("Issue")).await;
    for url in &urls {
        let (status, said) = text(url).await;
        assert_eq!(status, 503);
        let said: Vec<_> = said.lines().collect();
        assert_eq!(said, ["the issue service does not answer", "the user service is not serving"]);
    }
    let healthz = format!("http://{}/healthz", gateway.address("http").unwrap());
    assert_eq!(text(&healthz).await, (200, "alive\n".to_owned()));
    assert_eq!(client().post(&healthz).send().await.unwrap().status(), 405);
}

#[tokio::test]
async fn it_is_not_ready_without_services() {
    let flags = SERVICES.map(|service| format!("--{}-address=http://127.0.0.1:1", service.to_lowercase()));
    let gateway = spawn(config(&flags.each_ref().map(String::as_str))).await.unwrap();
    let (status, said) = text(&format!("http://{}/readyz", gateway.address("http").unwrap())).await;
    assert_eq!(status, 503);
    for service in SERVICES {
        assert!(
            said.contains(&format!("the {} service does not answer\n", service.to_lowercase())),
            "{said}"
        );
    }
}

#[tokio::test]
async fn requests_are_counted_by_route_and_not_by_path() {
    let gateway = start(API, |_| Answer::Echo, &[]).await;
    for path in ["/messages/a", "/messages/b", "/messages/c?x=1", "/nothing/1", "/metrics"] {
        gateway.get(path).await;
    }
    let metrics = gateway.metrics().await;
    for line in [
        r#"mesher_http_requests_total{method="GET",route="/messages/{text}",status="200"} 2"#,
        r#"mesher_http_requests_total{method="GET",route="/messages/{text}",status="400"} 1"#,
        r#"mesher_http_requests_total{method="GET",route="other",status="404"} 2"#,
        r#"mesher_http_seconds_count{method="GET",route="/messages/{text}"} 3"#,
        "mesher_http_in_hand 0",
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line} is not in\n{metrics}");
    }
}

#[tokio::test]
async fn requests_beyond_the_limit_are_shed() {
    static GATE: Gate = Gate::new();
    let behaviour = |name: &str| {
        if name == "Wait" { Answer::Gated(&GATE) } else { Answer::Echo }
    };
    let gateway = start(API, behaviour, &["--max-requests", "1"]).await;
    let other = async {
        GATE.arrived.notified().await;
        let shed = gateway.get("/messages/a").await;
        shed.expect(503, "OVERLOADED");
        assert_eq!(shed.headers["retry-after"], "1");
        assert_eq!(text(&gateway.url("/healthz")).await.0, 200);
        GATE.open.notify_one();
    };
    let (waited, ()) = tokio::join!(gateway.get("/wait"), other);
    waited.ok();
    gateway.get("/messages/a").await.ok();
}

#[tokio::test]
async fn a_request_whose_client_went_away_is_dropped_and_counted() {
    static GATE: Gate = Gate::new();
    let gateway = start(API, |_| Answer::Gated(&GATE), &[]).await;
    let request = tokio::spawn(client().get(gateway.url("/wait")).send());
    GATE.arrived.notified().await;
    request.abort();
    gateway.expect_metric(r#"mesher_http_requests_total{method="GET",route="/wait",status="499"} 1"#).await;
}

#[tokio::test]
async fn a_shutdown_answers_what_is_in_hand_and_accepts_no_more() {
    static GATE: Gate = Gate::new();
    let gateway = start(API, |_| Answer::Gated(&GATE), &[]).await;
    let address = gateway.handle.address("http").unwrap();
    let request = tokio::spawn(client().get(gateway.url("/wait")).send());
    // It would keep the server from ending, if the server waited for connections without requests.
    let idle = tokio::net::TcpStream::connect(address).await.unwrap();
    GATE.arrived.notified().await;
    let stopped = tokio::spawn(gateway.handle.shutdown());
    while tokio::net::TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert!(!stopped.is_finished());
    GATE.open.notify_one();
    assert_eq!(request.await.unwrap().unwrap().status(), 200);
    stopped.await.unwrap().unwrap();
    drop(idle);
}

#[tokio::test]
async fn http_2_is_spoken_without_an_upgrade() {
    let gateway = start(API, |_| Answer::Echo, &[]).await;
    let client = mesher_testing::http_client().http2_prior_knowledge().build().unwrap();
    let requests = (0..50).map(|number| client.get(gateway.url(&format!("/messages/{number}"))).send());
    for response in futures_util::future::join_all(requests).await {
        let response = response.unwrap();
        assert_eq!((response.status().as_u16(), response.version()), (200, http::Version::HTTP_2));
    }
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = taken.local_addr().unwrap();
    let mut config = config(&[]);
    config.listen = address;
    let error = format!("{:#}", spawn(config).await.map(drop).unwrap_err());
    assert!(error.contains(&address.to_string()) && error.contains("HTTP address of gateway"), "{error}");
}

#[test]
fn settings_that_cannot_be_are_refused() {
    for wrong in [
        "--org-address=127.0.0.1:50051",
        "--org-address=ftp://a:1",
        "--org-address=http://a",
        "--org-address=http://a:1/x",
        "--org-address=",
        "--request-timeout=0s",
        "--request-timeout=2h",
        "--max-body=0",
        "--max-requests=0",
        "--max-connections=-1",
        "--listen=localhost",
        "--unknown",
    ] {
        assert!(Config::try_parse_from(["mesher-gateway", wrong]).is_err(), "{wrong}");
    }
    assert!(Config::try_parse_from(["mesher-gateway", "--org-address=http://org.mesher.svc:50051"]).is_ok());
}

#[tokio::test]
async fn the_binary_reports_its_addresses_and_stops_in_order() {
    let mut gateway = binary(&[]);
    let address = gateway.ready().await["http"];
    assert_eq!(text(&format!("http://{address}/healthz")).await.0, 200);
    gateway.terminate();
    assert_eq!(gateway.wait(PATIENCE).await.code(), Some(0));

    let mut wrong = binary(&["--org-address=nowhere"]);
    assert_eq!(wrong.wait(PATIENCE).await.code(), Some(64));
    let said = wrong.output();
    assert!(said.contains("--org-address") && said.contains("http://HOST:PORT"), "{said}");
}
