//! TLS between a listener and a client, with real certificates and real connections.

use std::{fs, path::Path};

use futures_util::StreamExt as _;
use http::Uri;
use mesher_testing::Authority;
use prometheus_client::{encoding::text::encode, registry::Registry};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tower::Service as _;

use super::{
    HTTP_2, ListenerTlsArgs, Metrics, Reloader, Transport, UpstreamTlsArgs, incoming, reload::INTERVAL,
};

/// An authority, and certificates: `server` for 127.0.0.1, `client`, `expired`, and `stranger`, whose authority is another: the
/// one in `foreign.pem`.
fn files() -> Authority {
    let authority = Authority::new("ours");
    authority.issue("server", "127.0.0.1", 3000);
    authority.issue("client", "gateway", 3000);
    authority.issue("expired", "gateway", 2001);
    let foreign = Authority::new("another's");
    foreign.issue("stranger", "gateway", 3000);
    for (from, to) in
        [("ca.pem", "foreign.pem"), ("stranger.crt", "stranger.crt"), ("stranger.key", "stranger.key")]
    {
        fs::copy(foreign.file(from), authority.file(to)).unwrap();
    }
    authority
}

fn listener_args(dir: &Path, cert: &str, key: &str, client_ca: Option<&str>) -> ListenerTlsArgs {
    ListenerTlsArgs {
        tls_cert: Some(dir.join(cert)),
        tls_key: Some(dir.join(key)),
        tls_client_ca: client_ca.map(|name| dir.join(name)),
        insecure: false,
    }
}

/// A listener that sends a byte to each connection, and what reads its files again.
async fn listen(args: &ListenerTlsArgs, metrics: &Metrics) -> (String, Reloader, JoinHandle<()>) {
    let (acceptor, reloader) = args.open(&[HTTP_2], metrics).unwrap().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let server = tokio::spawn(async move {
        let mut connections = Box::pin(incoming(listener, Some(acceptor)));
        while let Some(connection) = connections.next().await {
            let mut connection = connection.unwrap();
            tokio::spawn(async move {
                while connection.write_all(b"!").await.is_ok() && connection.read_u8().await.is_ok() {}
            });
        }
    });
    (address, reloader, server)
}

/// A connection to `address` over which a byte came, by a client that trusts `ca` and has a certificate if one is named.
async fn call(dir: &Path, address: &str, ca: &str, client: Option<&str>) -> Result<Transport, String> {
    let args = UpstreamTlsArgs {
        upstream_tls_ca: Some(dir.join(ca)),
        upstream_tls_cert: client.map(|name| dir.join(format!("{name}.crt"))),
        upstream_tls_key: client.map(|name| dir.join(format!("{name}.key"))),
    };
    let (tls, _) = args.open(&Metrics::default()).unwrap();
    let mut connector = tls.connector(address.to_owned(), "127.0.0.1").unwrap();
    let connected = connector.call(Uri::from_static("http://ignored")).await;
    let mut transport = connected.map_err(|error| error.to_string())?.into_inner();
    // With TLS 1.3 a client hears with the first answer that its certificate is refused.
    transport.read_u8().await.map_err(|error| error.to_string())?;
    Ok(transport)
}

fn counted(registry: &Registry) -> String {
    let mut text = String::new();
    encode(&mut text, registry).unwrap();
    text
}

#[tokio::test]
async fn only_who_is_vouched_for_is_spoken_to() {
    let authority = files();
    let dir = authority.dir();
    let (address, ..) =
        listen(&listener_args(dir, "server.crt", "server.key", None), &Metrics::default()).await;
    assert!(call(dir, &address, "ca.pem", None).await.unwrap().is_tls());
    let error = call(dir, &address, "foreign.pem", None).await.unwrap_err();
    assert!(error.contains("UnknownIssuer"), "{error}");
    authority.issue("elsewhere", "elsewhere.example", 3000);
    let args = listener_args(dir, "elsewhere.crt", "elsewhere.key", None);
    let (address, ..) = listen(&args, &Metrics::default()).await;
    let error = call(dir, &address, "ca.pem", None).await.unwrap_err();
    assert!(error.contains("certificate not valid for name"), "{error}");
    authority.issue("old", "127.0.0.1", 2001);
    let (address, ..) = listen(&listener_args(dir, "old.crt", "old.key", None), &Metrics::default()).await;
    let error = call(dir, &address, "ca.pem", None).await.unwrap_err();
    assert!(error.contains("expired"), "{error}");
}

#[tokio::test]
async fn a_listener_with_a_client_ca_takes_in_no_one_else() {
    let authority = files();
    let dir = authority.dir();
    let mut registry = Registry::default();
    let metrics = Metrics::new(&mut registry);
    let (address, ..) =
        listen(&listener_args(dir, "server.crt", "server.key", Some("ca.pem")), &metrics).await;
    call(dir, &address, "ca.pem", Some("client")).await.unwrap();
    for (who, why) in [
        (None, "CertificateRequired"),
        (Some("stranger"), "UnknownCA"),
        (Some("expired"), "CertificateExpired"),
    ] {
        let error = call(dir, &address, "ca.pem", who).await.unwrap_err();
        assert!(error.contains(why), "{who:?}: {error}");
    }
    let counted = counted(&registry);
    assert!(counted.contains(r#"mesher_tls_handshakes_failed_total{reason="refused"} 3"#), "{counted}");
}

#[tokio::test]
async fn whoever_is_slow_to_shake_hands_keeps_nobody_waiting() {
    let authority = files();
    let dir = authority.dir();
    let (address, ..) =
        listen(&listener_args(dir, "server.crt", "server.key", None), &Metrics::default()).await;
    let mut silent = Vec::new();
    for _ in 0..50 {
        silent.push(TcpStream::connect(&address).await.unwrap());
    }
    call(dir, &address, "ca.pem", None).await.unwrap();
}

#[tokio::test]
async fn new_files_are_for_new_connections_and_bad_ones_for_none() {
    let authority = files();
    let dir = authority.dir();
    let mut registry = Registry::default();
    let args = listener_args(dir, "server.crt", "server.key", None);
    let (address, mut reloader, _) = listen(&args, &Metrics::new(&mut registry)).await;
    let peer = |transport: &Transport| match transport {
        Transport::Tls(tls) => tls.get_ref().1.peer_certificates().unwrap()[0].clone(),
        Transport::Plain(_) => panic!("no TLS"),
    };
    let mut held = call(dir, &address, "ca.pem", None).await.unwrap();
    let first = peer(&held);

    // The key is not there yet that belongs to the certificate.
    let old_key = fs::read(dir.join("server.key")).unwrap();
    authority.issue("server", "127.0.0.1", 3001);
    let new_key = fs::read(dir.join("server.key")).unwrap();
    fs::write(dir.join("server.key"), old_key).unwrap();
    reloader.look();
    reloader.look();
    assert_eq!(peer(&call(dir, &address, "ca.pem", None).await.unwrap()), first);
    fs::write(dir.join("server.key"), new_key).unwrap();
    reloader.look();
    assert_ne!(peer(&call(dir, &address, "ca.pem", None).await.unwrap()), first);
    fs::remove_file(dir.join("server.key")).unwrap();
    reloader.look();
    call(dir, &address, "ca.pem", None).await.unwrap();

    held.write_all(b"?").await.unwrap();
    assert_eq!(held.read_u8().await.unwrap(), b'!', "the old connection goes on");
    let counted = counted(&registry);
    for expected in [
        r#"mesher_tls_reloads_total{of="listener",outcome="refused"} 2"#,
        r#"mesher_tls_reloads_total{of="listener",outcome="used"} 1"#,
    ] {
        assert!(counted.contains(expected), "{expected}: {counted}");
    }
}

#[test]
fn files_that_cannot_be_used_are_named_with_their_flag() {
    let authority = files();
    let dir = authority.dir();
    fs::write(dir.join("empty.pem"), "").unwrap();
    fs::write(dir.join("broken.pem"), "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
        .unwrap();
    fs::write(dir.join("huge.pem"), vec![b'\n'; (1 << 20) + 1]).unwrap();
    for (cert, key, client_ca, flag, named) in [
        ("server.crt", "client.key", None, "--tls-key", "client.key is not that of the certificate in"),
        ("none.crt", "server.key", None, "--tls-cert", "none.crt cannot be read"),
        ("empty.pem", "server.key", None, "--tls-cert", "empty.pem has no certificate"),
        ("broken.pem", "server.key", None, "--tls-cert", "broken.pem has no certificate"),
        ("huge.pem", "server.key", None, "--tls-cert", "huge.pem has more than"),
        ("server.crt", "server.crt", None, "--tls-key", "server.crt has no private key"),
        ("server.crt", "server.key", Some("empty.pem"), "--tls-client-ca", "empty.pem has no certificate"),
        ("server.crt", "server.key", Some("broken.pem"), "--tls-client-ca", "broken.pem has no authority's"),
    ] {
        let args = listener_args(dir, cert, key, client_ca);
        let error = args.open(&[HTTP_2], &Metrics::default()).unwrap_err();
        assert!(error.reason.contains(named), "{error}");
        // Where a certificate stands for a key, both flags name the file.
        assert!(error.flag == flag || cert == key, "{error}");
    }
}

#[test]
fn nothing_of_a_key_that_is_not_in_its_form_is_told() {
    let authority = files();
    let dir = authority.dir();
    let key = fs::read_to_string(dir.join("server.key")).unwrap();
    let base64: String = key.lines().filter(|line| !line.starts_with('-')).collect();
    for (space, spoilt) in ["\\n", " ", ""].into_iter().map(|space| (space, key.trim().replace('\n', space)))
    {
        fs::write(dir.join("spoilt.key"), spoilt).unwrap();
        let args = listener_args(dir, "server.crt", "spoilt.key", None);
        let error = args.open(&[HTTP_2], &Metrics::default()).unwrap_err().to_string();
        assert!(error.contains("spoilt.key has no private key"), "{space:?}: {error}");
        let numbers: Vec<String> = base64.as_bytes()[..8].iter().map(u8::to_string).collect();
        assert!(!error.contains(&base64[..8]) && !error.contains(&numbers.join(", ")), "{space:?}: {error}");
    }
}

#[test]
fn plain_text_is_for_this_machine_unless_it_is_asked_for_in_words() {
    let refused = |args: &ListenerTlsArgs, address: &str| {
        args.check("--listen", address.parse().unwrap()).map_err(|error| error.to_string())
    };
    let none = ListenerTlsArgs::default();
    for local in ["127.0.0.1:1", "[::1]:1", "[::ffff:127.0.0.1]:1", "127.9.9.9:0"] {
        refused(&none, local).unwrap();
    }
    for reachable in ["0.0.0.0:50051", "[::]:1", "10.0.0.1:1", "192.0.2.1:1"] {
        let error = refused(&none, reachable).unwrap_err();
        for told in [reachable, "--listen", "--tls-cert", "--tls-key", "127.0.0.1", "--insecure"] {
            assert!(error.contains(told), "{told}: {error}");
        }
        refused(&ListenerTlsArgs::plain_text(true), reachable).unwrap();
        refused(&listener_args(Path::new("/"), "a", "b", None), reachable).unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn the_files_are_looked_at_by_themselves() {
    let authority = files();
    let dir = authority.dir();
    let args = listener_args(dir, "server.crt", "server.key", None);
    let (acceptor, reloader) = args.open(&[HTTP_2], &Metrics::default()).unwrap().unwrap();
    let mut config = acceptor.config();
    let stop = tokio_util::sync::CancellationToken::new();
    let kept = tokio::spawn(reloader.keep(stop.clone()));
    authority.issue("server", "127.0.0.1", 3001);
    let begun = tokio::time::Instant::now();
    config.changed().await.unwrap();
    assert!(begun.elapsed() < 2 * INTERVAL);
    stop.cancel();
    kept.await.unwrap().unwrap();
}
