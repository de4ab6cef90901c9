//! Connections with TLS: who is slow to shake hands, and who finds no room.

use mesher_testing::Authority;
use tokio::{io::AsyncReadExt as _, net::TcpStream, time::timeout};

use crate::support::{Answer, Answered, Behaviour, Gate, Gateway, PATIENCE, answered, start};

const API: &str = r#"
    service Slow {
      rpc Get(Message) returns (Message) { option (google.api.http).get = "/messages/{text}"; }
      rpc Wait(Message) returns (Message) { option (google.api.http).get = "/wait"; }
    }
    message Message { string text = 1; }"#;

/// A gateway with TLS, and who vouches for it.
async fn secured(behaviour: Behaviour, flags: &[&str]) -> (Gateway, Authority) {
    let authority = Authority::new("ours");
    authority.issue("gateway", "127.0.0.1", 3000);
    let [cert, key] = ["gateway.crt", "gateway.key"].map(|name| authority.file(name).display().to_string());
    let gateway = start(API, behaviour, &[&["--tls-cert", &cert, "--tls-key", &key], flags].concat()).await;
    (gateway, authority)
}

/// What one request on a connection of its own is answered.
async fn get(gateway: &Gateway, authority: &Authority, path: &str) -> Answered {
    let client = authority.client().pool_max_idle_per_host(0).build().unwrap();
    answered(client.get(gateway.url(path).replace("http:", "https:"))).await
}

async fn connect(gateway: &Gateway) -> TcpStream {
    TcpStream::connect(gateway.handle.address("http").unwrap()).await.unwrap()
}

#[tokio::test]
async fn whoever_is_slow_to_shake_hands_is_cut_off_while_others_are_served() {
    let (gateway, authority) = secured(|_| Answer::Echo, &["--header-timeout", "3s"]).await;
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(connect(&gateway).await);
    }
    get(&gateway, &authority, "/messages/a").await.ok();
    for mut stream in silent {
        let mut rest = Vec::new();
        let _ = timeout(PATIENCE, stream.read_to_end(&mut rest)).await.unwrap();
        assert_eq!(rest, b"");
    }
    gateway.expect_metric(r#"mesher_tls_handshakes_failed_total{reason="late"} 20"#).await;
    gateway.expect_metric(r#"mesher_http_connections_closed_total{reason="slow_head"} 20"#).await;
}

#[tokio::test]
async fn whoever_has_not_shaken_hands_makes_room() {
    let (gateway, authority) = secured(|_| Answer::Echo, &["--max-connections", "2"]).await;
    let _silent = [connect(&gateway).await, connect(&gateway).await];
    get(&gateway, &authority, "/messages/a").await.ok();
    gateway.expect_metric(r#"mesher_http_connections_closed_total{reason="place_wanted"} 1"#).await;
}

#[tokio::test]
async fn whoever_finds_no_room_is_told_so_with_tls() {
    static GATE: Gate = Gate::new();
    let behaviour = |path: &str| if path.ends_with("Wait") { Answer::Gated(&GATE) } else { Answer::Echo };
    let (gateway, authority) = secured(behaviour, &["--max-connections", "1"]).await;
    let busy = get(&gateway, &authority, "/wait");
    let refused = async {
        GATE.arrived.notified().await;
        let refused = get(&gateway, &authority, "/messages/a").await;
        assert_eq!(refused.status, 503, "{}", refused.json);
        GATE.open.notify_one();
    };
    let (busy, ()) = tokio::join!(busy, refused);
    busy.ok();
}
