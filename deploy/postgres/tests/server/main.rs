//! The crate against a real PostgreSQL, as root or as an ordinary user.

#![expect(clippy::unwrap_used, reason = "what the tests share fails as they do")]

mod lifecycle;
mod refusals;
mod takeover;

use std::{path::Path, time::Duration};

use mesher_postgres::{Binaries, Error, Options, Postgres, Search, locate, start};
use mesher_testing::eventually;
use sqlx::{Connection as _, PgConnection};

const TIMEOUT: Duration = Duration::from_secs(30);

async fn binaries(data_dir: &Path) -> Binaries {
    let explicit = std::env::var_os("MESHER_POSTGRES_BIN").map(Into::into);
    let cache_dir = std::env::temp_dir().join("mesher-test-cache");
    locate(&Search { explicit, cache_dir, data_dir: Some(data_dir.to_path_buf()) }).await.unwrap()
}

async fn options(data_dir: &Path) -> Options {
    Options::new(binaries(data_dir).await, data_dir).set("fsync", "off")
}

async fn try_start(data_dir: &Path) -> Result<Postgres, Error> {
    start(options(data_dir).await).await
}

async fn connect(postgres: &Postgres) -> PgConnection {
    PgConnection::connect_with(&postgres.connect_options()).await.unwrap()
}

/// Writes a row that [`has_row`] finds.
async fn add_row(postgres: &Postgres) {
    let mut connection = connect(postgres).await;
    sqlx::query("CREATE TABLE kept (id int)").execute(&mut connection).await.unwrap();
    sqlx::query("INSERT INTO kept VALUES (1)").execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

async fn has_row(postgres: &Postgres) -> bool {
    let mut connection = connect(postgres).await;
    let count: i64 =
        sqlx::query_scalar("SELECT count(*) FROM kept").fetch_one(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    count == 1
}

fn is_alive(pid: u32) -> bool {
    // That of a process that ended and was not waited for is empty.
    std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| !line.is_empty())
}

async fn gone(pid: u32) {
    eventually("the end of the server", TIMEOUT, async || !is_alive(pid)).await;
}
