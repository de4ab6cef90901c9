//! TLS on every way there is, with the real binaries and real clients.

use std::{fs, process::Command};

use mesher_testing::{Authority, Process, eventually, http_client, tool};
use reqwest::{Version, tls::TlsInfo};
use serde_json::Value;

use crate::running::{PATIENCE, Running, SERVICES, gateway};

/// The exit status of whoever was given settings that cannot be used.
const USAGE: i32 = 64;

/// The certificate that a server at `url` answers a client with.
async fn certificate(client: &reqwest::Client, url: &str) -> Vec<u8> {
    let answer = client.get(format!("{url}/healthz")).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let info = answer.extensions().get::<TlsInfo>().unwrap();
    info.peer_certificate().unwrap().to_vec()
}

/// What a tool writes, or complains of.
fn run(tool: &std::path::Path, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(tool).args(arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

/// What a binary says that does not start with these arguments, because it was set up wrongly.
async fn refusal(name: &str, arguments: &[&str]) -> String {
    let mut process = Process::start(name, arguments, &[]);
    assert_eq!(
        process.wait(PATIENCE).await.code(),
        Some(USAGE),
        "{name} {arguments:?}: {}",
        process.output()
    );
    process.output()
}

#[tokio::test]
async fn a_session_from_the_first_to_the_last_step_is_encrypted_all_the_way() {
    let authority = Authority::new("ours");
    let running = Running::start_with_tls(&authority).await;
    let token = running.token("ada@example.com").await;
    let (_, project, key) = running.project(&token).await;
    let body = r#"{"message": "boom"}"#;
    assert_eq!(running.post("/v1/events", &key, body).await.status, 202);
    let flush = format!("/v1/projects/{project}/events:flush");
    assert_eq!(running.post(&flush, &token, "{}").await.text("/storedCount"), "1");
    let keys = format!("/v1/projects/{project}/api-keys");
    let dsn = running.post(&keys, &token, "{}").await.text("/dsn");
    assert!(dsn.starts_with("https://"), "{dsn}");

    let url = running.url();
    for (client, version) in
        [(authority.client(), Version::HTTP_2), (authority.client().http1_only(), Version::HTTP_11)]
    {
        let answer = client.build().unwrap().get(format!("{url}/readyz")).send().await.unwrap();
        assert_eq!((answer.version(), answer.status().as_u16()), (version, 200));
    }
    let foreign = Authority::new("another's").client().build().unwrap();
    assert!(foreign.get(format!("{url}/readyz")).send().await.is_err(), "it is not vouched for");
    let plain = http_client().build().unwrap().get(format!("{url}/readyz").replace("https:", "http:"));
    assert!(plain.send().await.is_err(), "nothing is said in plain text");
    if let Some(curl) = tool("curl", "the gateway with TLS and curl") {
        let ca = authority.file("ca.pem").display().to_string();
        let ready = format!("{url}/readyz");
        for version in ["--http1.1", "--http2"] {
            let answer = run(&curl, &["--noproxy", "*", "-sS", "--cacert", &ca, version, &ready]);
            assert_eq!(answer, Ok("ready\n".to_owned()));
        }
        let old =
            ["--noproxy", "*", "-sS", "--cacert", &ca, "--tls-max", "1.1", "--ciphers", "ALL:@SECLEVEL=0"];
        assert!(run(&curl, &[&old[..], &[&ready]].concat()).is_err(), "TLS 1.1 is too old");
    }
}

#[tokio::test]
async fn services_with_a_client_ca_are_called_by_those_with_a_certificate() {
    let authority = Authority::new("ours");
    let running = Running::start_with_tls(&authority).await;
    let foreign = Authority::new("another's");
    foreign.issue("client", "gateway", 3000);
    authority.issue("expired", "gateway", 2001);
    let services = SERVICES.map(|service| (service, format!("https://{}", running.address(service, "grpc"))));
    let of = |authority: &Authority, name: &str| authority.file(name).display().to_string();
    let ca = of(&authority, "ca.pem");
    if let Some(grpcurl) = tool("grpcurl", "the services with TLS and a real gRPC client") {
        let list = |service: &str, flags: &[&str]| {
            let at = running.address(service, "grpc");
            run(&grpcurl, &[&["-connect-timeout", "3"], flags, &[&at, "list"]].concat())
        };
        let list_as = |service: &str, authority: &Authority, name: &str| {
            let [cert, key] = ["crt", "key"].map(|kind| of(authority, &format!("{name}.{kind}")));
            list(service, &["-cacert", &ca, "-cert", &cert, "-key", &key])
        };
        for service in SERVICES {
            let listed = list_as(service, &authority, "gateway").unwrap();
            assert!(listed.contains(&format!("mesher.{service}.v1.")), "{listed}");
        }
        for refused in [
            list_as("org", &authority, "expired"),
            list_as("org", &foreign, "client"),
            list("org", &["-cacert", &ca]),
            list("org", &["-plaintext"]),
        ] {
            assert!(refused.is_err(), "{refused:?}");
        }
        let metrics = format!("http://{}/metrics", running.address("org", "admin"));
        let metrics = running.client.get(&metrics).send().await.unwrap().text().await.unwrap();
        assert!(metrics.contains(r#"mesher_tls_handshakes_failed_total{reason="refused"}"#), "{metrics}");
    }

    // A gateway that no service knows, and one that knows no service.
    let [cert, key] = ["client.crt", "client.key"].map(|name| of(&foreign, name));
    let unknown = [
        ("MESHER_UPSTREAM_TLS_CA", &*ca),
        ("MESHER_UPSTREAM_TLS_CERT", &cert),
        ("MESHER_UPSTREAM_TLS_KEY", &key),
    ];
    let foreign_ca = of(&foreign, "ca.pem");
    let [cert, key] = ["gateway.crt", "gateway.key"].map(|name| of(&authority, name));
    let distrustful = [
        ("MESHER_UPSTREAM_TLS_CA", &*foreign_ca),
        ("MESHER_UPSTREAM_TLS_CERT", &cert),
        ("MESHER_UPSTREAM_TLS_KEY", &key),
    ];
    let client = http_client().build().unwrap();
    for variables in [unknown, distrustful] {
        let (_gateway, ready) = gateway(&services, &variables).await;
        let answer = client.get(format!("http://{}/readyz", ready["http"])).send().await.unwrap();
        let status = answer.status();
        let text = answer.text().await.unwrap();
        assert!(status == 503 && text.contains("the org service does not answer"), "{status} {text}");
    }
}

#[tokio::test]
async fn a_new_certificate_is_for_new_connections_and_breaks_no_old_one() {
    let authority = Authority::new("ours");
    let mut running = Running::start_with_tls(&authority).await;
    let url = running.url();
    let old = authority.client().build().unwrap();
    let first = certificate(&old, &url).await;
    authority.issue("gateway", "127.0.0.1", 3001);
    eventually("the new certificate was in use", PATIENCE, async || {
        certificate(&authority.client().build().unwrap(), &url).await != first
    })
    .await;
    assert_eq!(certificate(&old, &url).await, first, "it is the connection of before");

    // A key of another certificate changes nothing, and is told.
    let second = certificate(&authority.client().build().unwrap(), &url).await;
    fs::copy(authority.file("service.key"), authority.file("gateway.key")).unwrap();
    let gateway = running.processes.get_mut("gateway").unwrap();
    // It calls with the same certificate, and looks at it for that by itself.
    let told = |line: &str| {
        line.contains("gateway.key is not that of the certificate in") && line.contains(r#"of="listener""#)
    };
    gateway.wait_for_line(told, PATIENCE).await;
    let metrics = format!("http://{}/metrics", running.address("gateway", "admin"));
    let metrics = running.client.get(&metrics).send().await.unwrap().text().await.unwrap();
    // More than one, if a file was looked at while it was being written.
    assert!(metrics.contains(r#"mesher_tls_reloads_total{of="listener",outcome="refused"}"#), "{metrics}");
    assert_eq!(certificate(&authority.client().build().unwrap(), &url).await, second);
    let answer = running.get("/readyz", "").await;
    assert_eq!((answer.status, answer.body), (200, Value::Null));
}

#[tokio::test]
async fn certificates_that_cannot_be_used_are_named_at_the_start() {
    let authority = Authority::new("ours");
    authority.issue("one", "127.0.0.1", 3000);
    authority.issue("other", "127.0.0.1", 3000);
    let file = |name: &str| authority.file(name).display().to_string();
    let database = ["--database-url", "postgres://nobody@127.0.0.1:1/none"];
    let (cert, own, other, none) = (file("one.crt"), file("one.key"), file("other.key"), file("none.pem"));
    let mut binaries: Vec<(String, Vec<&str>)> =
        SERVICES.iter().map(|service| (format!("mesher-{service}"), database.to_vec())).collect();
    binaries.extend([("mesher-gateway".to_owned(), vec![]), ("mesher".to_owned(), vec![])]);
    for (name, needed) in &binaries {
        let with = |flags: &[&'static str], values: &[&str]| -> Vec<String> {
            let pairs =
                flags.iter().zip(values).flat_map(|(flag, value)| [(*flag).to_owned(), (*value).to_owned()]);
            pairs.chain(needed.iter().map(|&word| word.to_owned())).collect()
        };
        for (flags, values, told) in [
            (
                &["--tls-cert", "--tls-key"][..],
                &[&*cert, &other][..],
                "other.key is not that of the certificate in",
            ),
            (&["--tls-cert", "--tls-key"], &[&none, &own], "none.pem cannot be read"),
            (
                &["--tls-cert", "--tls-key", "--tls-client-ca"],
                &[&cert, &own, &own],
                "one.key has no certificate",
            ),
            (&["--tls-cert"], &[&cert], "--tls-key"),
        ] {
            let arguments = with(flags, values);
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let output = refusal(name, &arguments).await;
            assert!(output.contains(told), "{name} {arguments:?}: {output}");
            assert!(!output.contains("PRIVATE KEY-----"), "{output}");
        }
    }
}

#[tokio::test]
async fn plain_text_that_others_could_read_is_refused_unless_it_is_asked_for() {
    let database = ["--database-url", "postgres://nobody@127.0.0.1:1/none"];
    for service in SERVICES {
        let name = format!("mesher-{service}");
        let output = refusal(&name, &[&["--listen", "0.0.0.0:0"], &database[..]].concat()).await;
        assert!(output.contains("'--listen'") && output.contains("say --insecure"), "{output}");
    }
    for (name, arguments, told) in [
        ("mesher-gateway", ["--listen", "0.0.0.0:0"], "'--listen'"),
        ("mesher-gateway", ["--org-address", "http://org.example:50051"], "'--org-address'"),
        ("mesher", ["--gateway-listen", "[::]:0"], "'--gateway-listen'"),
        ("mesher", ["--writer-listen", "0.0.0.0:0"], "'--writer-listen'"),
    ] {
        let output = refusal(name, &arguments).await;
        assert!(output.contains(told) && output.contains("say --insecure"), "{output}");
    }
    let useless = refusal("mesher-gateway", &["--upstream-tls-ca", "/nowhere"]).await;
    assert!(useless.contains("no service has an https:// address"), "{useless}");

    let free = ["--listen", "0.0.0.0:0", "--admin-listen", "127.0.0.1:0"];
    for (flags, variables) in [(&["--insecure"][..], &[][..]), (&[], &[("MESHER_INSECURE", "true")])] {
        let mut gateway = Process::start("mesher-gateway", &[&free[..], flags].concat(), variables);
        gateway.ready().await;
    }
    let false_words =
        Process::start("mesher-gateway", &free, &[("MESHER_INSECURE", "false")]).wait(PATIENCE).await;
    assert_eq!(false_words.code(), Some(USAGE));
}
