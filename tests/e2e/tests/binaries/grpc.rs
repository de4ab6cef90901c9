//! The services straight over gRPC, with the real grpcurl, which knows of them only what their reflection says.

use std::{path::PathBuf, process::Command};

use mesher_testing::tool;
use serde_json::Value;

use crate::running::{Running, SERVICES};

struct Grpcurl {
    program: PathBuf,
}

impl Grpcurl {
    fn run(&self, arguments: &[&str]) -> Result<String, String> {
        let output = Command::new(&self.program).arg("-plaintext").args(arguments).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
    }

    fn call(&self, address: &str, header: &str, rpc: &str, request: &str) -> Value {
        let answer = self.run(&["-H", header, "-d", request, address, rpc]);
        serde_json::from_str(&answer.unwrap_or_else(|error| panic!("{rpc} {request}: {error}"))).unwrap()
    }
}

fn text(value: &Value, pointer: &str) -> String {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_else(|| panic!("no {pointer} in {value}"))
        .to_owned()
}

#[tokio::test]
async fn the_first_session_works_by_grpcurl_straight_at_the_services() {
    let Some(program) = tool("grpcurl", "the services with a real gRPC client") else {
        return;
    };
    let grpcurl = Grpcurl { program };
    let running = Running::start().await;
    let at = |service: &str| running.address(service, "grpc");

    for service in SERVICES {
        let listed = grpcurl.run(&[&at(service), "list"]).unwrap();
        let own = listed.lines().find(|line| line.starts_with("mesher.")).unwrap().to_owned();
        assert!(own.starts_with(&format!("mesher.{service}.v1.")), "{listed}");
        assert!(listed.contains("grpc.health.v1.Health"), "{listed}");
        let described = grpcurl.run(&[&at(service), "describe", &own]).unwrap();
        assert!(described.contains("may call it"), "comments are described too: {described}");
        let health = grpcurl.call(
            &at(service),
            "x: y",
            "grpc.health.v1.Health/Check",
            &format!(r#"{{"service": "{own}"}}"#),
        );
        assert_eq!(text(&health, "/status"), "SERVING");
    }

    let user = "mesher.user.v1.UserService";
    let credentials = r#"{"email": "ada@example.com", "password": "correct horse"}"#;
    grpcurl.call(&at("user"), "x: y", &format!("{user}/Register"), credentials);
    let login = grpcurl.call(&at("user"), "x: y", &format!("{user}/Login"), credentials);
    let session = format!("authorization: Bearer {}", text(&login, "/token"));
    let org = grpcurl.call(&at("org"), &session, "mesher.org.v1.OrgService/CreateOrg", r#"{"name": "Acme"}"#);
    let request = format!(r#"{{"org_id": "{}", "name": "Shop"}}"#, text(&org, "/org/orgId"));
    let project =
        grpcurl.call(&at("project"), &session, "mesher.project.v1.ProjectService/CreateProject", &request);
    let request = format!(r#"{{"project_id": "{}"}}"#, text(&project, "/project/projectId"));
    let created =
        grpcurl.call(&at("project"), &session, "mesher.project.v1.ProjectService/CreateApiKey", &request);
    let key = format!("x-mesher-key: {}", text(&created, "/secret"));
    let event = r#"{"event": {"message": "by grpcurl", "extra": {"n": 1}}}"#;
    let stored = grpcurl.call(&at("writer"), &key, "mesher.writer.v1.WriterService/Store", event);
    let flushed = grpcurl.call(&at("writer"), &session, "mesher.writer.v1.WriterService/Flush", &request);
    assert_eq!(text(&flushed, "/storedCount"), "1");
    let streamed = r#"{"sequence": 1, "events": [{"event": {"message": "streamed"}}]}"#;
    let answer = grpcurl.call(&at("writer"), &key, "mesher.writer.v1.WriterService/StoreStream", streamed);
    assert_eq!(text(&answer, "/sequence"), "1");
    let listed = grpcurl.call(&at("issue"), &session, "mesher.issue.v1.IssueService/ListEvents", &request);
    assert_eq!(text(&listed, "/events/0/message"), "by grpcurl");
    let request = format!(
        r#"{{"project_id": "{}", "event_id": "{}"}}"#,
        text(&project, "/project/projectId"),
        text(&stored, "/eventId")
    );
    let event = grpcurl.call(&at("issue"), &session, "mesher.issue.v1.IssueService/GetEvent", &request);
    assert_eq!(event.pointer("/payload/extra/n"), Some(&Value::from(1)));

    // Straight at a service, a stranger gets no further than over REST.
    let refused =
        grpcurl.run(&["-d", &request, &at("issue"), "mesher.issue.v1.IssueService/GetEvent"]).unwrap_err();
    assert!(refused.contains("Unauthenticated") && refused.contains("CREDENTIALS_MISSING"), "{refused}");
    let gone = grpcurl.run(&[&at("issue"), "mesher.issue.v1.IssueService/NoSuchRpc"]).unwrap_err();
    assert!(gone.contains("does not include a method"), "{gone}");
}
