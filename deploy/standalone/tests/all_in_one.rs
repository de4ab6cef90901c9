//! The all-in-one binary as a process, from its first start to its last.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::{
    fs,
    net::TcpListener,
    os::unix::process::CommandExt as _,
    path::Path,
    process::Command,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use sqlx::{Connection as _, PgConnection, postgres::PgConnectOptions};

use mesher_testing::{Authority, Process, ScratchDir, TestDatabase, eventually, http_client, tool};

/// Long enough for a loaded machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// Every listener on a free port.
#[rustfmt::skip]
const FREE_PORTS: [&str; 24] = [
    "--gateway-listen", "127.0.0.1:0", "--gateway-admin-listen", "127.0.0.1:0",
    "--org-listen", "127.0.0.1:0", "--org-admin-listen", "127.0.0.1:0",
    "--project-listen", "127.0.0.1:0", "--project-admin-listen", "127.0.0.1:0",
    "--user-listen", "127.0.0.1:0", "--user-admin-listen", "127.0.0.1:0",
    "--writer-listen", "127.0.0.1:0", "--writer-admin-listen", "127.0.0.1:0",
    "--issue-listen", "127.0.0.1:0", "--issue-admin-listen", "127.0.0.1:0",
];

/// Starts it. No event is flushed for its age: a test must not have to be faster than a timer.
fn start(arguments: &[&str]) -> Process {
    let arguments = [&FREE_PORTS[..], &["--flush-interval", "1h"], arguments].concat();
    Process::start("mesher", &arguments, &[])
}

fn start_on(data_dir: &Path) -> Process {
    start(&["--data-dir", data_dir.to_str().unwrap()])
}

async fn gateway(process: &mut Process) -> String {
    format!("http://{}", process.ready().await["gateway"])
}

fn client() -> reqwest::Client {
    http_client().build().unwrap()
}

async fn status(url: &str) -> u16 {
    client().get(url).send().await.unwrap().status().as_u16()
}

async fn post(url: &str, body: &'static str) -> (u16, String) {
    let answer =
        client().post(url).header("content-type", "application/json").body(body).send().await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

const LOGIN: &str = r#"{"email": "me@example.com", "password": "correct horse"}"#;

/// The process id of the database server of a data directory that runs.
fn database_pid(data_dir: &Path) -> Option<u32> {
    let text = fs::read_to_string(data_dir.join("postgres/cluster/postmaster.pid")).ok()?;
    text.lines().next()?.parse().ok()
}

fn is_running(pid: u32) -> bool {
    // A zombie has ended; only its parent does not know yet.
    fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "))
}

#[tokio::test]
async fn it_prints_a_first_session_that_works_again_and_again_and_keeps_its_data_for_the_second_start() {
    let scratch = ScratchDir::new();
    let data_dir = scratch.join("data");
    let mut process = start_on(&data_dir);
    let gateway_url = gateway(&mut process).await;
    assert_eq!(status(&format!("{gateway_url}/readyz")).await, 200);

    if tool("curl", "the first session that mesher prints").is_some() {
        let output = process.output();
        // What is logged at the same time begins with the date.
        let printed = output.lines().filter(|line| !line.starts_with(|first: char| first.is_ascii_digit()));
        let lines = printed.skip_while(|line| !line.starts_with("MESHER="));
        let session = lines.take_while(|line| !line.is_empty()).collect::<Vec<_>>().join("\n");
        assert!(session.contains(&gateway_url), "{session}");
        for paste in 1..=2 {
            let ran = Command::new("sh").arg("-ec").arg(&session).output().unwrap();
            let answers = String::from_utf8_lossy(&ran.stdout);
            assert!(ran.status.success() && answers.contains("the shop is on fire"), "{paste}: {ran:?}");
            assert!(answers.contains(r#""storedCount":"1""#), "{paste}: {answers}");
            // Nobody pastes it twice in a second, by which the organization is named.
            let second = || SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
            let ended = second();
            eventually("the next second began", PATIENCE, async || second() > ended).await;
        }
    } else {
        post(&format!("{gateway_url}/v1/users"), LOGIN).await;
    }

    let database = database_pid(&data_dir).unwrap();
    process.interrupt();
    assert_eq!(process.wait(PATIENCE).await.code(), Some(0), "{}", process.output());
    assert!(!is_running(database), "the database was stopped too");

    let mut process = start_on(&data_dir);
    let gateway_url = gateway(&mut process).await;
    assert_eq!(
        post(&format!("{gateway_url}/v1/sessions"), LOGIN).await.0,
        200,
        "who registered before is known"
    );
    process.terminate();
    assert_eq!(process.wait(PATIENCE).await.code(), Some(0));
}

#[tokio::test]
async fn a_start_after_a_kill_copes_with_the_database_that_was_left_running() {
    let scratch = ScratchDir::new();
    let data_dir = scratch.join("data");
    let mut process = start_on(&data_dir);
    let gateway_url = gateway(&mut process).await;
    post(&format!("{gateway_url}/v1/users"), LOGIN).await;
    let left = database_pid(&data_dir).unwrap();
    process.kill();
    process.wait(PATIENCE).await;
    assert!(is_running(left), "nobody was there to stop it");

    let mut process = start_on(&data_dir);
    let gateway_url = gateway(&mut process).await;
    assert!(!is_running(left));
    assert_eq!(post(&format!("{gateway_url}/v1/sessions"), LOGIN).await.0, 200);
}

#[tokio::test]
async fn each_service_signs_in_to_the_database_as_its_own_role() {
    let scratch = ScratchDir::new();
    let data_dir = scratch.join("data");
    let mut process = start_on(&data_dir);
    let gateway_url = gateway(&mut process).await;
    // A service connects when it has something to ask: here whose session that is.
    let project = "/v1/projects/01900000-0000-7000-8000-000000000000";
    for path in [
        "/v1/orgs",
        "/v1/sessions",
        project,
        &format!("{project}/events"),
        &format!("{project}/writer-stats"),
    ] {
        let answer =
            client().get(format!("{gateway_url}{path}")).bearer_auth("0".repeat(64)).send().await.unwrap();
        assert_eq!(answer.status(), 401, "{path}");
    }
    let pid = fs::read_to_string(data_dir.join("postgres/cluster/postmaster.pid")).unwrap();
    let (port, socket_dir) = (pid.lines().nth(3).unwrap(), pid.lines().nth(4).unwrap());
    let password = fs::read_to_string(data_dir.join("postgres/password")).unwrap();
    let options = PgConnectOptions::new_without_pgpass()
        .socket(socket_dir)
        .port(port.parse().unwrap())
        .username("mesher")
        .password(password.trim())
        .database("mesher");
    let mut connection = PgConnection::connect_with(&options).await.unwrap();
    let logins: Vec<(String, String)> = sqlx::query_as(
        "SELECT DISTINCT application_name, usename::text FROM pg_stat_activity
         WHERE application_name LIKE 'mesher%' ORDER BY 1",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    let names: Vec<&str> = logins.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["mesher_issue", "mesher_org", "mesher_project", "mesher_user", "mesher_writer"]);
    assert!(logins.iter().all(|(service, login)| service == login), "{logins:?}");
}

#[tokio::test]
async fn a_second_one_on_the_same_data_is_refused() {
    let scratch = ScratchDir::new();
    let data_dir = scratch.join("data");
    let mut first = start_on(&data_dir);
    first.ready().await;
    let mut second = start_on(&data_dir);
    assert_eq!(second.wait(PATIENCE).await.code(), Some(1));
    assert!(second.output().contains("in use by another Mesher"), "{}", second.output());
}

#[tokio::test]
async fn a_port_in_use_is_named_and_nothing_is_started() {
    let scratch = ScratchDir::new();
    let data_dir = scratch.join("data");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut arguments = FREE_PORTS.to_vec();
    arguments[17] = &address;
    arguments.extend(["--data-dir", data_dir.to_str().unwrap()]);
    let mut process = Process::start("mesher", &arguments, &[]);
    assert_eq!(process.wait(PATIENCE).await.code(), Some(1));
    let expected = format!("cannot listen on {address}, the gRPC address of writer");
    assert!(process.output().contains(&expected), "{}", process.output());
    assert!(!data_dir.exists());
}

#[tokio::test]
async fn a_given_database_is_migrated_and_used() {
    let database = TestDatabase::empty().await;
    let scratch = ScratchDir::new();
    let data_dir = scratch.join("data");
    let mut process = start(&["--database-url", database.url(), "--data-dir", data_dir.to_str().unwrap()]);
    let gateway_url = gateway(&mut process).await;
    assert_eq!(post(&format!("{gateway_url}/v1/users"), LOGIN).await.0, 200);
    let users: i64 =
        sqlx::query_scalar("SELECT count(*) FROM users").fetch_one(database.pool()).await.unwrap();
    assert_eq!(users, 1);
    process.terminate();
    assert_eq!(process.wait(PATIENCE).await.code(), Some(0));
    assert!(!process.output().contains(database.url()), "the URL holds a password");
}

#[tokio::test]
async fn with_a_certificate_the_gateway_speaks_tls() {
    let (database, scratch, authority) =
        (TestDatabase::empty().await, ScratchDir::new(), Authority::new("ours"));
    authority.issue("gateway", "127.0.0.1", 3000);
    let [cert, key] = ["gateway.crt", "gateway.key"].map(|name| authority.file(name).display().to_string());
    let data_dir = scratch.join("data");
    let flags = ["--tls-cert", &cert, "--tls-key", &key, "--data-dir", data_dir.to_str().unwrap()];
    let mut process = start(&[&["--database-url", database.url()][..], &flags].concat());
    let gateway = format!("https://{}", process.ready().await["gateway"]);
    let answer = authority.client().build().unwrap().get(format!("{gateway}/readyz")).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let output = process.output();
    assert!(output.contains(&format!("MESHER={gateway}")), "the first session is with TLS, too: {output}");
    process.terminate();
    assert_eq!(process.wait(PATIENCE).await.code(), Some(0));
}

#[tokio::test]
async fn migrate_brings_a_database_up_to_date_and_ends() {
    let database = TestDatabase::empty().await;
    for _ in 0..2 {
        let mut process = Process::start("mesher", &["migrate"], &[("MESHER_DATABASE_URL", database.url())]);
        assert_eq!(process.wait(PATIENCE).await.code(), Some(0), "{}", process.output());
    }
    let version: i64 = sqlx::query_scalar("SELECT max(version) FROM _sqlx_migrations")
        .fetch_one(database.pool())
        .await
        .unwrap();
    assert_eq!(version, mesher_migrations::version());
}

#[tokio::test]
async fn it_runs_as_an_ordinary_user() {
    let scratch = ScratchDir::new();
    let mut command = Command::new(env!("CARGO_BIN_EXE_mesher"));
    if rustix::process::geteuid().is_root() {
        // Where the tests were built, another user may not get to.
        let copy = scratch.join("mesher");
        fs::copy(env!("CARGO_BIN_EXE_mesher"), &copy).unwrap();
        let home = scratch.join("home");
        fs::create_dir(&home).unwrap();
        std::os::unix::fs::chown(&home, Some(NOBODY), Some(NOBODY)).unwrap();
        command = Command::new(copy);
        command.uid(NOBODY).gid(NOBODY).env("HOME", &home).current_dir(&home);
    } else {
        command.env("HOME", scratch.path());
    }
    command.env_remove("XDG_DATA_HOME").args(FREE_PORTS);
    let mut process = Process::run("mesher", command);
    let gateway_url = gateway(&mut process).await;
    assert_eq!(status(&format!("{gateway_url}/readyz")).await, 200);
    process.interrupt();
    assert_eq!(process.wait(PATIENCE).await.code(), Some(0), "{}", process.output());
}

const NOBODY: u32 = 65534;

#[tokio::test]
async fn it_fails_when_its_database_does() {
    let scratch = ScratchDir::new();
    let data_dir = scratch.join("data");
    let mut process = start_on(&data_dir);
    let gateway_url = gateway(&mut process).await;
    let database = database_pid(&data_dir).unwrap();
    Command::new("kill").args(["-KILL", &database.to_string()]).status().unwrap();
    assert_eq!(process.wait(PATIENCE).await.code(), Some(1));
    eventually("the gateway was gone", PATIENCE, async || client().get(&gateway_url).send().await.is_err())
        .await;
    assert!(process.output().contains("postgresql failed"), "{}", process.output());
}

#[tokio::test]
async fn an_invalid_setting_is_named_and_the_status_is_64() {
    for (arguments, named) in [
        (&["--gateway-listen", "nowhere"][..], "--gateway-listen"),
        (&["--no-such-flag"], "--no-such-flag"),
        (&["--api-key-cache", "1h"], "--api-key-cache"),
        (&["--database-url", "postgres://u:hush@host:port/x"], "--database-url"),
        (&["--database-url", "garbage"], "it has the form postgres://USER:PASSWORD@HOST:PORT/NAME"),
        (&["--postgres-bin", "/nowhere"], "--postgres-bin"),
        (&["--otlp-endpoint", "localhost:4317"], "it has the form http://HOST:4317"),
        (&["--log", "info,=,"], "--log"),
    ] {
        let mut process = Process::start("mesher", arguments, &[]);
        assert_eq!(process.wait(PATIENCE).await.code(), Some(64), "{arguments:?}");
        assert!(
            process.output().contains(named) && !process.output().contains("hush"),
            "{}",
            process.output()
        );
    }
}
