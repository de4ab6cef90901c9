//! Bad input over REST: a clear, typed error each, and nothing is stored.

use futures_util::future::join_all;
use mesher_testing::{Process, http_client};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::running::{Answer, Running};

/// Fails unless an answer is this error, about this field where one is named.
fn expect(answer: &Answer, status: u16, reason: &str, field: &str) {
    assert_eq!((answer.status, answer.reason().as_str()), (status, reason), "{answer:?}");
    if !field.is_empty() {
        let details = answer.body.pointer("/error/details").unwrap().to_string();
        assert!(details.contains(&format!("\"{field}\"")), "{field} is not named: {answer:?}");
    }
}

/// Fails unless this many users, organizations and memberships are stored.
async fn expect_stored(running: &Running, expected: (i64, i64, i64)) {
    let counts: (i64, i64, i64) = sqlx::query_as(
        "SELECT (SELECT count(*) FROM users), (SELECT count(*) FROM orgs), (SELECT count(*) FROM org_members)",
    )
    .fetch_one(running.database.pool())
    .await
    .unwrap();
    assert_eq!(counts, expected, "nothing was stored");
}

#[tokio::test]
async fn taken_names_and_ids_of_nothing_get_typed_errors() {
    let running = Running::start().await;
    let token = running.token("ada@example.com").await;
    let (org, _, _) = running.project(&token).await;
    let stranger = running.token("eve@example.com").await;
    let unknown = "01900000-0000-7000-8000-000000000000";

    let answer = running.post("/v1/orgs", &token, r#"{"name": "B", "slug": "acme"}"#).await;
    expect(&answer, 409, "ALREADY_EXISTS", "slug");
    let again = r#"{"email": "ADA@example.com", "password": "correct horse"}"#;
    expect(&running.post("/v1/users", "", again).await, 409, "ALREADY_EXISTS", "email");

    expect(&running.get("/v1/orgs/not-a-uuid", &token).await, 400, "INVALID_FIELD", "org_id");
    expect(&running.get(&format!("/v1/orgs/{unknown}"), &token).await, 404, "NOT_FOUND", "");
    let hidden = running.get(&format!("/v1/orgs/{org}"), &stranger).await;
    let missing = running.get(&format!("/v1/orgs/{unknown}"), &stranger).await;
    let blank = |answer: &Answer, id: &str| answer.body.to_string().replace(id, "ID");
    assert_eq!(blank(&hidden, &org), blank(&missing, unknown), "a stranger cannot tell them apart");
    expect_stored(&running, (2, 1, 1)).await;
}

#[tokio::test]
async fn values_that_are_not_allowed_get_typed_errors() {
    let running = Running::start().await;
    let token = running.token("ada@example.com").await;
    let (org, _, _) = running.project(&token).await;
    for name in [String::new(), "x".repeat(300)] {
        let body = format!(r#"{{"name": "{name}"}}"#);
        expect(&running.post("/v1/orgs", &token, &body).await, 400, "INVALID_FIELD", "name");
    }
    let body = r#"{"name": "B", "slug": "with spaces"}"#;
    expect(&running.post("/v1/orgs", &token, body).await, 400, "INVALID_FIELD", "slug");
    let body = r#"{"email": "bob@example.com", "password": "abc"}"#;
    expect(&running.post("/v1/users", "", body).await, 400, "INVALID_FIELD", "password");
    let body = format!(r#"{{"email": "bob@example.com", "password": "{}"}}"#, "x".repeat(10_000_000));
    expect(&running.post("/v1/users", "", &body).await, 413, "TOO_LARGE", "");
    for role in [r#""ROLE_KING""#, "99", "0"] {
        let body = format!(r#"{{"email": "ada@example.com", "role": {role}}}"#);
        let answer = running.post(&format!("/v1/orgs/{org}/members"), &token, &body).await;
        expect(&answer, 400, "INVALID_FIELD", "role");
    }
    expect(&running.get("/v1/orgs?page_size=-1", &token).await, 400, "INVALID_FIELD", "page_size");
    expect(&running.get("/v1/orgs?page_token=forged", &token).await, 400, "INVALID_FIELD", "page_token");
    expect(&running.post("/v1/orgs", &token, "name=B").await, 400, "MALFORMED_REQUEST", "");
    let answer = running.post("/v1/orgs", &token, r#"{"name": "B", "colour": "red"}"#).await;
    expect(&answer, 400, "INVALID_FIELD", "colour");
    expect_stored(&running, (1, 1, 1)).await;
}

#[tokio::test]
async fn what_is_no_event_gets_a_typed_error() {
    let running = Running::start().await;
    let token = running.token("ada@example.com").await;
    let (_, project, key) = running.project(&token).await;
    let deep = format!(r#"{{"message": "m", "extra": {}{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
    for event in ["[]", "null", "5", deep.as_str()] {
        expect(&running.post("/v1/events", &key, event).await, 400, "INVALID_FIELD", "json");
    }
    let large = format!(r#"{{"message": "{}"}}"#, "x".repeat(2 * 1024 * 1024));
    expect(&running.post("/v1/events", &key, &large).await, 413, "TOO_LARGE", "");
    expect(&running.post("/v1/events", "", r#"{"message": "m"}"#).await, 401, "CREDENTIALS_MISSING", "");
    let no_key = format!("mshr_{}", "0".repeat(48));
    expect(&running.post("/v1/events", &no_key, r#"{"message": "m"}"#).await, 401, "API_KEY_INVALID", "");
    let stats = running.get(&format!("/v1/projects/{project}/writer-stats"), &token).await;
    assert_eq!(stats.text("/stats/acceptedCount"), "0");
}

/// Sends as much of these bytes as a server takes, and all that it answers.
async fn pushed(address: &str, bytes: &[u8]) -> String {
    let (mut reader, mut writer) = TcpStream::connect(address).await.unwrap().into_split();
    let send = async {
        // It may close the connection before it has all of it.
        let _ = writer.write_all(bytes).await;
        let _ = writer.shutdown().await;
    };
    let mut answer = Vec::new();
    let ((), _) = tokio::join!(send, reader.read_to_end(&mut answer));
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn headers_of_ten_megabytes_are_refused_and_cost_no_memory() {
    const HEADERS: usize = 10 << 20;
    const CLIENTS: usize = 10;
    let running = Running::start().await;
    let token = running.token("ada@example.com").await;
    let org = &running.processes["org"];
    let gateway = &running.processes["gateway"];
    let before = [org, gateway].map(Process::peak_memory);

    let mut heads = Vec::new();
    for header in [format!("x-large: {}", "x".repeat(HEADERS)), "x-many: y\r\n".repeat(HEADERS / 11)] {
        heads.push(format!("GET /v1/orgs HTTP/1.1\r\nhost: x\r\n{header}\r\n\r\n"));
    }
    let http = running.address("gateway", "http");
    for head in &heads {
        for answer in join_all((0..CLIENTS).map(|_| pushed(&http, head.as_bytes()))).await {
            // Whoever still sends when the connection is closed may not get to see the answer.
            assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431 "), "{answer}");
        }
    }
    let client = http_client().http2_prior_knowledge().build().unwrap();
    for (server, path) in
        [(&http, "/v1/orgs"), (&running.address("org", "grpc"), "/mesher.org.v1.OrgService/ListOrgs")]
    {
        let url = format!("http://{server}{path}");
        for answer in
            join_all((0..CLIENTS).map(|_| client.get(&url).header("x-large", "x".repeat(HEADERS)).send()))
                .await
        {
            let status = answer.map(|answer| answer.status().as_u16());
            assert!(status.as_ref().map_or(true, |status| *status == 431), "{status:?}");
        }
    }

    let after = [org, gateway].map(Process::peak_memory);
    for (before, after) in before.iter().zip(after) {
        // A hundred of megabytes were sent to each at once.
        assert!(after < before + 32, "{before} MiB became {after} MiB");
    }
    assert_eq!(running.get("/v1/orgs", &token).await.status, 200, "others are served");
}
