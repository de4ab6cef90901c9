//! Start, use, stop.

use std::{fs, net::TcpListener, os::unix::fs::MetadataExt as _, str::FromStr as _};

use mesher_postgres::{Error, start};
use mesher_testing::{ScratchDir, eventually};
use rustix::process::{Pid, Signal, getpgid, kill_process};
use sqlx::{Connection as _, PgConnection, postgres::PgConnectOptions};

use crate::{TIMEOUT, add_row, connect, gone, has_row, is_alive, options, try_start};

#[tokio::test]
async fn a_second_start_finds_the_data_of_the_first() {
    let scratch = ScratchDir::new();
    let data_dir = scratch.join("a new/data dir, \"quoted\"");
    let postgres = try_start(&data_dir).await.unwrap();
    let (pid, password) = (postgres.pid().unwrap(), postgres.password().to_owned());
    add_row(&postgres).await;
    postgres.stop().await.unwrap();
    assert!(!is_alive(pid));
    assert_eq!(fs::read_dir(data_dir.join("run")).unwrap().count(), 0, "the socket is still there");

    let postgres = try_start(&data_dir).await.unwrap();
    assert!(has_row(&postgres).await);
    assert_eq!(postgres.password(), password);
    assert!(data_dir.join("postgres.log.1").exists());
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn the_password_is_for_its_owner_alone_and_shown_nowhere() {
    let scratch = ScratchDir::new();
    let postgres = try_start(&scratch.join("data")).await.unwrap();
    let file = scratch.join("data/password");
    assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o600);
    assert_eq!(fs::read_to_string(&file).unwrap().trim(), postgres.password());
    assert_eq!(postgres.password().len(), 48);
    assert!(!format!("{postgres:?}").contains(postgres.password()));
    let without = PgConnectOptions::from_str(&postgres.url()).unwrap().password("wrong");
    assert!(PgConnection::connect_with(&without).await.is_err());
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn the_url_reaches_the_database() {
    let scratch = ScratchDir::new();
    let postgres = try_start(&scratch.join("it's 100% data")).await.unwrap();
    let mut connection = PgConnection::connect(&postgres.url()).await.unwrap();
    let database: String =
        sqlx::query_scalar("SELECT current_database()").fetch_one(&mut connection).await.unwrap();
    assert_eq!(database, "mesher");
    connection.close().await.unwrap();
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn text_is_utf8_in_byte_order_with_lower_case_in_every_language() {
    let scratch = ScratchDir::new();
    let postgres = try_start(&scratch.join("data")).await.unwrap();
    let mut connection = connect(&postgres).await;
    let found: (String, String, bool) =
        sqlx::query_as("SELECT current_setting('server_encoding'), lower('ÄÉЖ'), 'Z' < 'a'")
            .fetch_one(&mut connection)
            .await
            .unwrap();
    assert_eq!(found, ("UTF8".to_owned(), "äéж".to_owned(), true));
    connection.close().await.unwrap();
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn settings_reach_the_server_and_the_last_one_counts() {
    let scratch = ScratchDir::new();
    let options =
        options(&scratch.join("data")).await.set("max_connections", "20").set("max_connections", "30");
    let postgres = start(options).await.unwrap();
    let mut connection = connect(&postgres).await;
    let found: (String, String, String) = sqlx::query_as(
        "SELECT current_setting('max_connections'), current_setting('shared_buffers'), \
         current_setting('listen_addresses')",
    )
    .fetch_one(&mut connection)
    .await
    .unwrap();
    assert_eq!(found, ("30".to_owned(), "128MB".to_owned(), String::new()));
    connection.close().await.unwrap();
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn a_setting_that_is_none_is_reported_with_the_servers_own_words() {
    let scratch = ScratchDir::new();
    let error =
        start(options(&scratch.join("data")).await.set("shared_buffers", "plenty")).await.unwrap_err();
    assert!(matches!(error, Error::Exited { .. }), "{error}");
    assert!(
        error.to_string().contains("invalid value for parameter \"shared_buffers\": \"plenty\""),
        "{error}"
    );
}

#[tokio::test]
async fn tcp_is_there_when_asked_for_and_a_port_in_use_is_named() {
    let scratch = ScratchDir::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let error = start(options(&scratch.join("data")).await.tcp_port(port)).await.unwrap_err();
    assert!(error.to_string().contains(&format!("port {port} on 127.0.0.1")), "{error}");
    drop(taken);
    let postgres = start(options(&scratch.join("data")).await.tcp_port(port)).await.unwrap();
    let tcp = PgConnectOptions::new_without_pgpass()
        .host("127.0.0.1")
        .port(port)
        .username("mesher")
        .password(postgres.password());
    PgConnection::connect_with(&tcp).await.unwrap().close().await.unwrap();
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn a_data_directory_with_a_long_path_has_its_socket_elsewhere() {
    let scratch = ScratchDir::new();
    let data_dir = scratch.join("x".repeat(100));
    let postgres = try_start(&data_dir).await.unwrap();
    let socket_dir = postgres.socket_dir().to_path_buf();
    assert!(!socket_dir.starts_with(scratch.path()));
    assert_eq!(fs::metadata(&socket_dir).unwrap().mode() & 0o777, 0o700);
    add_row(&postgres).await;
    postgres.stop().await.unwrap();
    assert!(!socket_dir.exists());
}

#[tokio::test]
async fn a_server_that_dies_is_noticed_and_can_be_started_again_at_once() {
    let scratch = ScratchDir::new();
    let mut postgres = try_start(&scratch.join("data")).await.unwrap();
    add_row(&postgres).await;
    // What is busy does not notice at once that its server is gone, and holds on to the shared memory.
    let mut connection = connect(&postgres).await;
    let busy = tokio::spawn(async move {
        let query = "SELECT count(*) FROM generate_series(1, 8000) a, generate_series(1, 8000) b";
        let _ = sqlx::query(query).execute(&mut connection).await;
    });
    let mut connection = connect(&postgres).await;
    eventually("the start of the query", TIMEOUT, async || {
        let query = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE query LIKE '%8000%' AND state = 'active' \
                     AND pid <> pg_backend_pid())";
        sqlx::query_scalar::<_, bool>(query).fetch_one(&mut connection).await.unwrap()
    })
    .await;
    let pid = i32::try_from(postgres.pid().unwrap()).unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
    let error = tokio::time::timeout(TIMEOUT, postgres.exited()).await.unwrap();
    assert!(error.to_string().contains("signal: 9"), "{error}");
    postgres.stop().await.unwrap();
    let postgres = try_start(&scratch.join("data")).await.unwrap();
    assert!(has_row(&postgres).await);
    postgres.stop().await.unwrap();
    busy.await.unwrap();
}

#[tokio::test]
async fn the_server_is_out_of_reach_of_a_terminals_ctrl_c() {
    let scratch = ScratchDir::new();
    let postgres = try_start(&scratch.join("data")).await.unwrap();
    let pid = Pid::from_raw(i32::try_from(postgres.pid().unwrap()).unwrap()).unwrap();
    assert_eq!(getpgid(Some(pid)).unwrap(), pid);
    assert_ne!(getpgid(None).unwrap(), pid);
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn a_dropped_server_stops_and_the_next_start_waits_for_it() {
    let scratch = ScratchDir::new();
    let postgres = try_start(&scratch.join("data")).await.unwrap();
    let pid = postgres.pid().unwrap();
    add_row(&postgres).await;
    drop(postgres);
    let postgres = try_start(&scratch.join("data")).await.unwrap();
    assert!(!is_alive(pid));
    assert!(has_row(&postgres).await);
    let pid = postgres.pid().unwrap();
    drop(postgres);
    gone(pid).await;
    eventually("the end of the socket", TIMEOUT, async || {
        fs::read_dir(scratch.join("data/run")).unwrap().count() == 0
    })
    .await;
}
