//! Bad input over REST: a clear, typed error each, and nothing is stored.

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
