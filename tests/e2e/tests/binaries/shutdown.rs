//! SIGTERM: nothing that was acknowledged is lost, and the exit status is 0, or 130 when a second one cuts it off.

use mesher_testing::{KillablePostgres, TestDatabase, eventually, http_client};
use sqlx::Connection as _;
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use crate::{
    accounts::Accounts,
    chance,
    load::{Load, ledger::Difference},
    running::{PATIENCE, Running},
};

/// How many events are acknowledged before the signal.
const EVENTS: usize = 500;

#[tokio::test]
async fn on_sigterm_every_binary_stops_in_order_and_the_writer_stores_what_it_has() {
    let mut running = Running::start().await;
    let token = running.token("ada@example.com").await;
    let (_, project, key) = running.project(&token).await;
    for n in 0..30 {
        assert_eq!(running.post("/v1/events", &key, &format!(r#"{{"message": "{n}"}}"#)).await.status, 202);
    }
    let stats = running.get(&format!("/v1/projects/{project}/writer-stats"), &token).await;
    assert_eq!(stats.text("/stats/bufferedCount"), "30");

    // Somebody watches the writer's health, and would for ever.
    let writer = format!("http://{}", running.address("writer", "grpc"));
    let writer = tonic::transport::Endpoint::from_shared(writer).unwrap().connect().await.unwrap();
    let mut health = HealthClient::new(writer);
    let mut watch = health.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert!(watch.message().await.unwrap().is_some());

    // The way of the events, in the order of a rolling stop: the gateway first.
    for name in ["gateway", "org", "project", "user", "issue", "writer"] {
        let process = match name {
            "writer" => &mut running.writer.process,
            _ => running.processes.get_mut(name).unwrap(),
        };
        process.terminate();
        assert_eq!(process.wait(PATIENCE).await.code(), Some(0), "{name}: {}", process.output());
    }
    let stored: i64 =
        sqlx::query_scalar("SELECT count(*) FROM events").fetch_one(running.database.pool()).await.unwrap();
    assert_eq!(stored, 30);
}

#[tokio::test]
async fn on_sigterm_under_load_every_event_that_was_acknowledged_is_stored() {
    // Without a log the oldest would make room for others if the buffer were full, and rightly.
    let memory = ["--durability", "memory", "--buffer-events", "1000000"];
    for durability in [&["--durability", "disk"][..], &memory] {
        let flags = [&["--flush-interval", "50ms"], durability].concat();
        let mut running = Running::start_on(TestDatabase::new().await, &flags, &[]).await;
        let token = running.token("ada@example.com").await;
        let (_, projects) = running.projects(&token, &["Shop", "Bank", "Blog"]).await;
        let load = Load::start(running.ways(&projects), chance::seed());
        load.progress(EVENTS).await;
        let status = running.writer.terminate().await;
        assert_eq!(status.code(), Some(0), "{}", running.writer.process.output());
        let ledger = load.stop().await;
        let difference = ledger.compare(running.database.pool()).await.unwrap();
        assert_eq!(difference, Difference::default(), "{durability:?}");
    }
}

#[tokio::test]
async fn on_sigterm_without_a_database_every_event_that_was_acknowledged_is_left_to_the_next_start() {
    let mut postgres = KillablePostgres::start().await;
    // Nothing is stored before the signal.
    let flags = ["--flush-interval", "1h", "--flush-events", "1000000"];
    let mut running = Running::start_on(postgres.database().clone(), &flags, &[]).await;
    let token = running.token("ada@example.com").await;
    let (_, projects) = running.projects(&token, &["Shop", "Bank", "Blog"]).await;
    let load = Load::start(running.ways(&projects), chance::seed());
    load.progress(EVENTS).await;
    postgres.kill().await;
    let status = running.writer.terminate().await;
    assert_eq!(status.code(), Some(0), "{}", running.writer.process.output());
    let ledger = load.stop().await;
    postgres.start_again().await;
    let difference = ledger.compare(running.database.pool()).await.unwrap();
    assert_eq!(difference, Difference { missing: ledger.acknowledged(), ..Difference::default() });

    running.writer.start_again();
    running.writer.ready().await;
    let accounts = Accounts { client: running.writer.client(), token };
    for (project, _) in &projects {
        accounts.settled(project).await;
    }
    assert_eq!(ledger.compare(running.database.pool()).await.unwrap(), Difference::default());
}

#[tokio::test]
async fn on_sigterm_a_writer_is_not_ready_while_a_call_is_held_and_a_second_one_cuts_it_off() {
    let flags = ["--flush-interval", "1h", "--shutdown-grace", "1h"];
    let mut running = Running::start_on(TestDatabase::new().await, &flags, &[]).await;
    let token = running.token("ada@example.com").await;
    let (_, project, key) = running.project(&token).await;
    assert_eq!(running.post("/v1/events", &key, r#"{"message": "kept"}"#).await.status, 202);

    let database = running.database.clone();
    let mut blocker = sqlx::PgConnection::connect_with(&database.connect_options()).await.unwrap();
    sqlx::raw_sql("BEGIN; LOCK TABLE events IN ACCESS EXCLUSIVE MODE").execute(&mut blocker).await.unwrap();
    let accounts = Accounts { client: running.writer.client(), token };
    let held = tokio::spawn({
        let (accounts, project) = (accounts.clone(), project.clone());
        async move { accounts.flush(&project).await }
    });
    let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted";
    eventually("the flush waited for the table", PATIENCE, async || {
        sqlx::query_scalar::<_, i64>(waiting).fetch_one(database.pool()).await.unwrap() > 0
    })
    .await;
    let writer = format!("http://{}", running.writer.address("grpc"));
    let writer = tonic::transport::Endpoint::from_shared(writer).unwrap().connect().await.unwrap();
    let watch = HealthClient::new(writer).watch(HealthCheckRequest::default()).await;
    let mut watch = watch.unwrap().into_inner();
    assert_eq!(watch.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    let ready = format!("http://{}/readyz", running.writer.address("admin"));
    let client = http_client().build().unwrap();
    let is_ready = async || client.get(&ready).send().await.unwrap().status().as_u16();
    assert_eq!(is_ready().await, 200);

    let process = &mut running.writer.process;
    process.terminate();
    eventually("the writer was not ready any more", PATIENCE, async || is_ready().await == 503).await;
    // It says so, or ends the stream; those who watch take the one for the other.
    let told = tokio::time::timeout(PATIENCE, watch.message()).await.unwrap();
    if let Ok(Some(told)) = told {
        assert_eq!(told.status(), ServingStatus::NotServing);
    }
    assert!(process.ended().is_none() && !held.is_finished(), "the call is held: {}", process.output());
    process.terminate();
    assert_eq!(process.wait(PATIENCE).await.code(), Some(130), "{}", process.output());
    held.await.unwrap().unwrap_err();

    sqlx::raw_sql("ROLLBACK").execute(&mut blocker).await.unwrap();
    running.writer.start_again();
    running.writer.ready().await;
    assert_eq!(accounts.settled(&project).await.stored_count, 1);
}

#[tokio::test]
async fn the_gateway_is_not_ready_without_a_service_and_names_it() {
    let mut running = Running::start().await;
    let admin = format!("http://{}", running.address("gateway", "admin"));
    let client = http_client().build().unwrap();
    let ready = async |base: &str| {
        let answer = client.get(format!("{base}/readyz")).send().await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    };
    assert_eq!(ready(&admin).await.0, 200);
    running.processes.get_mut("issue").unwrap().kill();
    running.processes.get_mut("issue").unwrap().wait(PATIENCE).await;
    for base in [admin, running.url()] {
        let (status, text) = ready(&base).await;
        assert!(status == 503 && text.contains("issue") && !text.contains("writer"), "{status} {text}");
    }
    let token = running.token("ada@example.com").await;
    let (_, project, _) = running.project(&token).await;
    let answer = running.get(&format!("/v1/projects/{project}/events"), &token).await;
    assert_eq!((answer.status, answer.reason().as_str()), (503, "SERVICE_UNAVAILABLE"));
}
