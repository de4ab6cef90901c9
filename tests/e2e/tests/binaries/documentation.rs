//! The documentation of the API, held to what the services do, and read as people read it.

use std::{path::Path, process::Command};

use mesher_testing::{ScratchDir, tool};

use crate::{browser::show, running::Running};

/// What the documentation does not say of operations, or not all of it: the checks that do not hold.
const BEYOND: [(&str, &[&str]); 6] = [
    // What an event may be is Sentry's protocol, and its schema only an outline.
    ("store", &["negative_data_rejection", "positive_data_acceptance"]),
    // Each event of a batch has an answer of its own, whatever it is.
    ("storeBatch", &["negative_data_rejection"]),
    // A slug is made from the name, if the name has any letter that a slug can have.
    ("createOrg", &["positive_data_acceptance"]),
    ("createProject", &["positive_data_acceptance"]),
    // The last owner stays, and no schema can say what the password is.
    ("leaveOrg", &["positive_data_acceptance"]),
    ("changePassword", &["positive_data_acceptance"]),
];

/// How schemathesis is to sign in, and which parameters have these values.
fn config(token: &str, key: &str, parameters: &[(&str, &str)]) -> String {
    let mut lines = vec!["[parameters]".to_owned()];
    lines.extend(parameters.iter().map(|(name, value)| format!("{name:?} = {value:?}")));
    lines.push(format!("[auth.openapi.session]\nbearer = {token:?}"));
    lines.push(format!("[auth.openapi.apiKey]\napi_key = {key:?}"));
    for (operation, checks) in BEYOND {
        lines.push(format!("[[operations]]\ninclude-operation-id = {operation:?}"));
        lines.extend(checks.iter().map(|check| format!("checks.{check}.enabled = false")));
    }
    lines.join("\n")
}

/// Fails if schemathesis finds an answer that is not documented, a request that the documentation allows and a service
/// refuses, or the other way around.
fn probe(program: &Path, running: &Running, config: &str, operations: &[&str]) {
    let scratch = ScratchDir::new();
    let file = scratch.join("schemathesis.toml");
    std::fs::write(&file, config).unwrap();
    let ran = Command::new(program)
        .arg("--config-file")
        .arg(&file)
        .args(["run", &format!("{}/openapi.json", running.url())])
        .args(["--phases", "examples,coverage,fuzzing", "--max-examples", "10", "--generation-deterministic"])
        .args(["--no-color", "--request-timeout", "20"])
        .args(operations)
        .current_dir(scratch.path())
        .env("NO_PROXY", "*")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(ran.status.success(), "{said}\n{}", String::from_utf8_lossy(&ran.stderr));
}

#[tokio::test]
async fn the_services_do_what_the_documentation_says() {
    let Some(program) = tool("schemathesis", "whether the services do what the documentation says") else {
        return;
    };
    // It tries many logins, and keys that are none.
    let unlimited = [("MESHER_CLIENT_RATE_LIMIT", "none"), ("MESHER_BAD_KEY_RATE_LIMIT", "none")];
    let running = Running::start_with(&unlimited).await;
    let token = running.token("ada@example.com").await;
    let (org, project, key) = running.project(&token).await;
    let event = running.post("/v1/events", &key, r#"{"message": "one", "user": {"id": 1}}"#).await;
    running.post(&format!("/v1/projects/{project}/events:flush"), &token, "{}").await;
    // Not the last owner, who may not become less.
    running.token("bob@example.com").await;
    let bob = r#"{"email": "bob@example.com", "role": "ROLE_MEMBER"}"#;
    let bob = running.post(&format!("/v1/orgs/{org}/members"), &token, bob).await.text("/member/userId");

    let parameters = [
        ("path.org_id", org.as_str()),
        ("path.project_id", &project),
        ("path.user_id", &bob),
        ("path.event_id", &event.text("/eventId")),
        // No schema can say which tokens have been given.
        ("query.pageToken", ""),
    ];
    // These would end what the others need.
    let endings = ["logout", "revokeSession", "revokeAllSessions", "deleteProject", "removeMember"];
    let others: Vec<_> = endings.iter().flat_map(|id| ["--exclude-operation-id", id]).collect();
    probe(&program, &running, &config(&token, &key, &parameters), &others);
    let session = running.get("/v1/sessions/current", &token).await;
    assert_eq!(session.status, 200, "one of these ended the session, and what came after it said nothing");
    let only: Vec<_> = endings.iter().flat_map(|id| ["--include-operation-id", id]).collect();
    probe(&program, &running, &config(&token, &key, &[]), &only);
}

#[tokio::test]
async fn a_browser_shows_the_page_and_its_policy_stops_nothing() {
    let Some(program) = tool("chromium", "the documentation in a browser") else { return };
    let running = Running::start().await;
    let scratch = ScratchDir::new();
    let ran = show(&program, &scratch, &format!("{}/docs", running.url())).await;
    let (dom, log) = (String::from_utf8_lossy(&ran.stdout), String::from_utf8_lossy(&ran.stderr));
    assert!(ran.status.success(), "{log}");
    let document = running.get("/openapi.json", "").await.body;
    for item in document["paths"].as_object().unwrap().values() {
        for operation in item.as_object().unwrap().values() {
            let id = operation["operationId"].as_str().unwrap();
            assert!(dom.contains(&format!("<article id=\"{id}\">")), "{id} is not in {dom}");
        }
    }
    let filter = dom.split("<input").nth(1).and_then(|rest| rest.split('>').next()).unwrap();
    assert!(
        filter.contains("id=\"filter\"") && !filter.contains("hidden"),
        "the script did not run: {filter}"
    );
    let console: Vec<_> = log.lines().filter(|line| line.contains("CONSOLE")).collect();
    assert!(console.is_empty(), "{console:?}");
}
