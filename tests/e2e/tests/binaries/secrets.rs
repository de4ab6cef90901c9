//! Secrets are shown nowhere: not in logs, traces, metrics, errors or `--help`.

use std::{fs, os::unix::fs::PermissionsExt as _};

use mesher_testing::{Process, ScratchDir, TestDatabase, eventually, http_client};

use crate::{
    running::{PATIENCE, Running, SERVICES},
    telemetry::Receiver,
};

/// Chosen so that nothing else has them in it.
const PASSWORD: &str = "Kx7-password-right";
const WRONG: &str = "Kx7-password-wrong";
const NEW: &str = "Kx7-password-other";
const PEPPER: &str = "Kx7-pepper-of-many-bytes";

#[tokio::test]
async fn secrets_are_in_no_log_trace_metric_error_or_help() {
    let receiver = Receiver::start().await;
    let scratch = ScratchDir::new();
    let pepper = scratch.join("pepper");
    fs::write(&pepper, PEPPER).unwrap();
    let database = TestDatabase::new().await;
    let url = database.url().to_owned();
    let variables = [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.endpoint.as_str()),
        ("MESHER_LOG", "debug"),
        ("MESHER_PASSWORD_PEPPER_FILE", pepper.to_str().unwrap()),
    ];
    let running = Running::start_on(database, &["--flush-interval", "1h"], &variables).await;

    let credentials = |password: &str| format!(r#"{{"email": "ada@example.com", "password": "{password}"}}"#);
    let mut errors = Vec::new();
    assert_eq!(running.post("/v1/users", "", &credentials(PASSWORD)).await.status, 200);
    errors.push(running.post("/v1/users", "", &credentials(PASSWORD)).await);
    errors.push(running.post("/v1/sessions", "", &credentials(WRONG)).await);
    let token = running.post("/v1/sessions", "", &credentials(PASSWORD)).await.text("/token");
    let (_, _, key) = running.project(&token).await;
    assert_eq!(running.post("/v1/events", &key, r#"{"message": "m"}"#).await.status, 202);
    errors.push(running.post("/v1/events", &key, r#"{"message": 5}"#).await);
    errors.push(running.get(&format!("/v1/orgs?access_token={token}"), &token).await);
    errors.push(running.get(&format!("/v1/orgs/{token}"), &token).await);
    errors.push(running.post("/v1/orgs", &token, &format!(r#"{{"{token}": "{PASSWORD}"}}"#)).await);
    let change = |current: &str| format!(r#"{{"currentPassword": "{current}", "newPassword": "{NEW}"}}"#);
    let path = "/v1/users/current:changePassword";
    errors.push(running.post(path, &token, &change(WRONG)).await);
    assert_eq!(running.post(path, &token, &change(PASSWORD)).await.status, 200);
    assert_eq!(running.send("DELETE", "/v1/sessions/current", &token, None).await.status, 200);
    for error in &errors {
        assert!((400..500).contains(&error.status), "{error:?}");
    }
    assert_eq!(errors[3].reason(), "INVALID_FIELD", "a token in the query is refused");

    let client = http_client().build().unwrap();
    let mut shown = String::new();
    for name in SERVICES.into_iter().chain(["gateway"]) {
        let metrics = format!("http://{}/metrics", running.address(name, "admin"));
        shown += &client.get(metrics).send().await.unwrap().text().await.unwrap();
        let of_database = ("MESHER_DATABASE_URL", url.as_str());
        let variables: Vec<_> = variables.into_iter().chain([of_database]).collect();
        let mut help = Process::start(&format!("mesher-{name}"), &["--help"], &variables);
        assert_eq!(help.wait(PATIENCE).await.code(), Some(0));
        shown += &help.output();
    }
    assert!(shown.contains("MESHER_DATABASE_URL"), "there is something to look at");
    for (name, process) in &running.processes {
        let log = process.output();
        assert!(log.contains("starting"), "{name} logs");
        shown += &log;
    }
    shown += &running.writer.process.output();
    shown += &eventually("the traces were received", PATIENCE, async || {
        let spans = receiver.text();
        if spans.contains("UserService/ChangePassword") && spans.contains("Store") {
            Ok(spans)
        } else {
            Err(format!("{} bytes", spans.len()))
        }
    })
    .await;
    let database_password = url.split(':').nth(2).unwrap().split('@').next().unwrap();
    // What is refused may be quoted to who sent it, but for the values of secrets.
    let answers = format!("{:?} {:?}", errors[0], [&errors[1], &errors[2], &errors[3], &errors[6]]);
    for secret in [PASSWORD, WRONG, NEW, PEPPER, &token, &key, database_password] {
        assert!(secret.len() > 10, "{secret}");
        let place = shown.find(secret).map(|at| shown[..at].lines().last().unwrap_or_default().to_owned());
        assert_eq!(place, None, "a secret is shown after this");
        assert!(!answers.contains(secret), "{answers}");
    }
}

#[tokio::test]
async fn what_a_database_url_has_in_it_by_mistake_is_in_no_log() {
    let misspelt = format!("postgres://u:p@127.0.0.1:1/none?pasword={PASSWORD}");
    let unknown = format!("postgres://u:p@127.0.0.1:1/none?sslpassword={PASSWORD}");
    let binaries = SERVICES.map(|service| format!("mesher-{service}"));
    let binaries = binaries.iter().map(|name| (name.as_str(), &[][..]));
    for (name, arguments) in binaries.chain([("mesher", &[][..]), ("mesher", &["migrate"])]) {
        for (url, parameter) in [(&misspelt, "`pasword`"), (&unknown, "`sslpassword`")] {
            let free = ["LISTEN", "ADMIN_LISTEN"].map(|kind| format!("MESHER_{kind}"));
            let mut variables = vec![("MESHER_DATABASE_URL", url.as_str()), ("MESHER_LOG", "trace")];
            variables.extend(free.iter().map(|variable| (variable.as_str(), "127.0.0.1:0")));
            let mut process = Process::start(name, arguments, &variables);
            assert_eq!(process.wait(PATIENCE).await.code(), Some(64), "{name}: {}", process.output());
            let output = process.output();
            assert!(output.contains(parameter) && !output.contains(PASSWORD), "{name}: {output}");
        }
    }
}

#[tokio::test]
async fn what_a_password_file_has_in_it_by_mistake_is_in_no_log() {
    let scratch = ScratchDir::new();
    let file = scratch.join("pgpass");
    fs::write(&file, format!("{PASSWORD}\n")).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let url = "postgres://nobody@127.0.0.1:1/none";
    let flags = ["migrate", "--database-url", url, "--database-wait", "0s"];
    let variables = [("PGPASSFILE", file.to_str().unwrap()), ("MESHER_LOG", "trace")];
    let mut process = Process::start("mesher", &flags, &variables);
    assert_eq!(process.wait(PATIENCE).await.code(), Some(1), "{}", process.output());
    assert!(!process.output().contains(PASSWORD), "{}", process.output());
}
