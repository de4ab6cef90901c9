//! The first session over REST: as README.md has it, and route by route.

use std::process::Command;

use mesher_testing::tool;

use crate::running::Running;

/// The code block of README.md that begins with `first`.
fn readme_block(first: &str) -> String {
    let readme = include_str!("../../../../README.md");
    let mut blocks = readme.split("```sh\n").skip(1).map(|rest| rest.split("```").next().unwrap_or_default());
    blocks
        .find(|block| block.starts_with(first))
        .unwrap_or_else(|| panic!("README.md has no {first}"))
        .to_owned()
}

#[tokio::test]
async fn the_first_session_of_the_readme_works() {
    let session = readme_block("MESHER=");
    assert_eq!(
        session,
        include_str!("../../../../deploy/standalone/first_session.sh"),
        "mesher prints the same"
    );
    if tool("curl", "the first session of README.md").is_none() {
        return;
    }
    let running = Running::start().await;
    let session = session.replace("http://127.0.0.1:8080", &running.url());
    let ran = Command::new("sh").arg("-ec").arg(session).output().unwrap();
    let answers = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success() && answers.contains(r#""message":"the shop is on fire""#), "{ran:?}");
}

#[tokio::test]
async fn every_row_of_the_api_works_over_rest() {
    let running = Running::start().await;
    let token = running.token("ada@example.com").await;
    let (org, project, key) = running.project(&token).await;
    let (org_path, project_path) = (format!("/v1/orgs/{org}"), format!("/v1/projects/{project}"));

    // Users and sessions.
    let me = running.get("/v1/sessions/current", &token).await.text("/user/userId");
    assert_eq!(running.get(&format!("/v1/users/{me}"), &token).await.text("/user/email"), "ada@example.com");

    // Organizations and members.
    assert_eq!(running.get("/v1/orgs", &token).await.text("/orgs/0/orgId"), org);
    assert_eq!(running.get(&org_path, &token).await.text("/org/slug"), "acme");
    running.token("bob@example.com").await;
    let members = format!("{org_path}/members");
    let added =
        running.post(&members, &token, r#"{"email": "bob@example.com", "role": "ROLE_MEMBER"}"#).await;
    let bob = format!("{members}/{}", added.text("/member/userId"));
    let changed = running.send("PATCH", &bob, &token, Some(r#"{"role": "ROLE_ADMIN"}"#.to_owned())).await;
    assert_eq!(changed.text("/member/role"), "ROLE_ADMIN");
    assert_eq!(running.get(&members, &token).await.text("/members/0/role"), "ROLE_ADMIN");
    assert_eq!(running.send("DELETE", &bob, &token, None).await.status, 200);

    // Projects and keys.
    assert_eq!(
        running.get(&format!("{org_path}/projects"), &token).await.text("/projects/0/projectId"),
        project
    );
    let renamed = running.send("PATCH", &project_path, &token, Some(r#"{"name": "New"}"#.to_owned())).await;
    assert_eq!(renamed.text("/project/name"), "New");
    assert_eq!(running.get(&project_path, &token).await.text("/project/name"), "New");

    // Events: one, several, flushed, counted, listed, read.
    let stored = running.post("/v1/events", &key, r#"{"message": "one", "tags": {"a": "b"}}"#).await;
    assert_eq!((stored.status, stored.text("/durability").as_str()), (202, "DURABILITY_DISK"));
    let batch = running.post("/v1/events:batch", &key, r#"[{"message": "two"}, 5]"#).await;
    assert_eq!(batch.status, 202, "{batch:?}");
    assert_eq!(batch.text("/results/1/error/status"), "INVALID_ARGUMENT");
    let flushed = running.post(&format!("{project_path}/events:flush"), &token, "{}").await;
    assert_eq!(flushed.text("/storedCount"), "2");
    let stats = running.get(&format!("{project_path}/writer-stats"), &token).await;
    assert_eq!(
        (stats.text("/stats/storedCount").as_str(), stats.text("/stats/refusedCount").as_str()),
        ("2", "1")
    );
    let listed = running.get(&format!("{project_path}/events?page_size=1"), &token).await;
    assert_eq!(listed.text("/events/0/message"), "two");
    let next = listed.text("/nextPageToken");
    let listed = running.get(&format!("{project_path}/events?pageSize=1&pageToken={next}"), &token).await;
    assert_eq!(listed.text("/events/0/eventId"), stored.text("/eventId"));
    let event = running.get(&format!("{project_path}/events/{}", stored.text("/eventId")), &token).await;
    assert_eq!(
        (event.text("/event/level").as_str(), event.text("/payload/tags/a").as_str()),
        ("LEVEL_ERROR", "b")
    );

    // The end of the key, the project and the session.
    let listed = running.get(&format!("{project_path}/api-keys"), &token).await;
    assert!(!listed.body.to_string().contains(&key), "a key is shown once");
    let revoke = format!("/v1/api-keys/{}:revoke", listed.text("/apiKeys/0/keyId"));
    assert!(!running.post(&revoke, &token, "").await.text("/apiKey/revokeTime").is_empty());
    assert_eq!(running.send("DELETE", &project_path, &token, None).await.status, 200);
    assert_eq!(running.get(&project_path, &token).await.status, 404);
    assert_eq!(running.send("DELETE", "/v1/sessions/current", &token, None).await.status, 200);
    assert_eq!(running.get("/v1/sessions/current", &token).await.reason(), "SESSION_INVALID");
}
