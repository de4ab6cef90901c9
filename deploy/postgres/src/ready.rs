//! Waits until the server takes connections, and makes the database.

use std::{path::Path, time::Duration};

use sqlx::{Connection as _, PgConnection, postgres::PgConnectOptions};
use tokio::{
    process::Child,
    time::{Instant, sleep, timeout},
};

use crate::{error::Error, log, server::DATABASE};

/// How long a server may take to answer at all.
const ANSWER_LIMIT: Duration = Duration::from_mins(1);

/// How long it may say that it is not ready yet: it is working through what a crash left in its write-ahead log, and
/// would have to begin again if it were stopped.
const RECOVERY_LIMIT: Duration = Duration::from_mins(10);

/// How long one connection may take.
const CONNECT_LIMIT: Duration = Duration::from_secs(10);

const CANNOT_CONNECT_NOW: &str = "57P03";
const INVALID_PASSWORD: &str = "28P01";

/// Waits until the server takes connections; fails early if it ends.
pub(crate) async fn wait(
    child: &mut Child,
    options: &PgConnectOptions,
    log: &Path,
    password_file: &Path,
) -> Result<PgConnection, Error> {
    let started = Instant::now();
    let mut recovering = false;
    let mut pause = Duration::from_millis(10);
    loop {
        if let Some(status) = child.try_wait().map_err(Error::io("watch the server of", log))? {
            return Err(Error::Exited { status, log: log.to_path_buf(), tail: log::tail(log) });
        }
        let why = match timeout(CONNECT_LIMIT, PgConnection::connect_with(options)).await {
            Ok(Ok(connection)) => return Ok(connection),
            Ok(Err(sqlx::Error::Database(error))) => match error.code().as_deref() {
                Some(CANNOT_CONNECT_NOW) => {
                    if !recovering && started.elapsed() > Duration::from_secs(1) {
                        tracing::info!("PostgreSQL recovers from an unclean stop");
                        recovering = true;
                    }
                    error.to_string()
                }
                Some(INVALID_PASSWORD) => {
                    return Err(Error::WrongPassword { file: password_file.to_path_buf() });
                }
                _ => {
                    return Err(Error::Refused {
                        action: "let Mesher in",
                        source: sqlx::Error::Database(error),
                    });
                }
            },
            Ok(Err(error)) => error.to_string(),
            Err(_) => "a connection was not answered".to_owned(),
        };
        let waited = started.elapsed();
        if waited > if recovering { RECOVERY_LIMIT } else { ANSWER_LIMIT } {
            return Err(Error::NotReady { waited, why, log: log.to_path_buf(), tail: log::tail(log) });
        }
        sleep(pause).await;
        pause = (pause * 2).min(Duration::from_millis(200));
    }
}

/// Makes Mesher's database if it is missing.
pub(crate) async fn create_database(mut connection: PgConnection) -> Result<(), Error> {
    let refused = |source| Error::Refused { action: "make the database `mesher`", source };
    let exists: bool = sqlx::query_scalar("SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)")
        .bind(DATABASE)
        .fetch_one(&mut connection)
        .await
        .map_err(refused)?;
    if !exists {
        sqlx::query("CREATE DATABASE mesher").execute(&mut connection).await.map_err(refused)?;
    }
    connection.close().await.map_err(refused)
}
