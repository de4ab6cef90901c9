//! PostgreSQL: connecting as a service's own role, and telling its errors apart.

use std::{borrow::Cow, io, time::Duration};

use mesher_migrations::SchemaError;
use sqlx::{Connection as _, PgConnection, PgPool, postgres::PgConnectOptions, postgres::PgPoolOptions};
use tokio::time::Instant;

use crate::{causes, config::DatabaseArgs, status};

/// How long a call waits for a free connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a statement may take; the server ends it then.
const STATEMENT_TIMEOUT: &str = "20s";
/// What the server has to know of a connection, so that a client that is lost holds no locks for hours.
const SETTINGS: [(&str, &str); 7] = [
    ("statement_timeout", STATEMENT_TIMEOUT),
    // Below the statement timeout, so that a statement that is ended for its time was slow, and did not wait for one lock.
    ("lock_timeout", "5s"),
    // Longer than any work is bounded to here: who lets a transaction lie for so long is gone.
    ("idle_in_transaction_session_timeout", "60s"),
    // That ends no COPY whose data do not come. There the server finds out by asking, after a minute in all,
    ("tcp_keepalives_idle", "30"),
    ("tcp_keepalives_interval", "10"),
    ("tcp_keepalives_count", "3"),
    // and it does not ask while the client still has to confirm what was sent to it.
    ("tcp_user_timeout", "60s"),
];
/// How long to wait between two tries to connect at the start.
const CONNECT_RETRY: Duration = Duration::from_millis(500);

/// Why a service could not begin to use its database.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// There was no connection until the wait was over.
    #[error(
        "the database at {place} cannot be used (tried for {waited:.1?}): see that it runs there, and that \
         --database-url is right: {source}"
    )]
    Unreachable {
        /// The host and the port, or the Unix socket.
        place: String,
        /// How long it was tried.
        waited: Duration,
        /// The last try's error.
        source: sqlx::Error,
    },
    /// The schema is not the one that this version needs.
    #[error(transparent)]
    Schema(#[from] SchemaError),
}

/// Connects to the database as `role`, when it is there and its schema is the one that this version needs. Waits
/// for both, up to [`DatabaseArgs::database_wait`]: the database and its migration may be starting, too.
pub async fn connect(args: &DatabaseArgs, role: &str) -> anyhow::Result<PgPool> {
    let options = as_role(args.database_url.connect_options()?, role);
    wait_for_schema(&options, args.database_wait).await?;
    let pool = PgPoolOptions::new()
        .max_connections(args.database_connections)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .after_connect(|connection, _| Box::pin(commit_durably(connection)))
        .connect_lazy_with(options);
    Ok(pool)
}

/// Has a commit mean that it is on disk, also where the server's default is to answer before that: the writer removes from
/// its log what is committed.
async fn commit_durably(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let set = "SELECT set_config('synchronous_commit', 'on', false)
               WHERE current_setting('synchronous_commit') = 'off'";
    sqlx::query(set).execute(connection).await.map(drop)
}

/// The same connection, but with the rights of `role`: of a login that may switch to it, or of the role's own.
fn as_role(options: PgConnectOptions, role: &str) -> PgConnectOptions {
    options.application_name(role).options([("role", role)]).options(SETTINGS)
}

/// Waits until the database takes connections, up to `wait`.
pub async fn wait_until_reachable(options: &PgConnectOptions, wait: Duration) -> Result<(), ConnectError> {
    retry(wait, async || open(options).await.map(drop)).await
}

async fn wait_for_schema(options: &PgConnectOptions, wait: Duration) -> Result<(), ConnectError> {
    retry(wait, async || {
        let mut connection = open(options).await?;
        mesher_migrations::check(&mut connection).await?;
        // The check is done; how the connection ends changes nothing.
        let _ = connection.close().await;
        Ok(())
    })
    .await
}

async fn open(options: &PgConnectOptions) -> Result<PgConnection, ConnectError> {
    let unreachable =
        |source| ConnectError::Unreachable { place: place(options), waited: Duration::ZERO, source };
    match tokio::time::timeout(ACQUIRE_TIMEOUT, PgConnection::connect_with(options)).await {
        Ok(connection) => connection.map_err(unreachable),
        Err(_) => Err(unreachable(sqlx::Error::PoolTimedOut)),
    }
}

/// Where a database is, without who connects to it and how.
fn place(options: &PgConnectOptions) -> String {
    let (host, port) = (options.get_host(), options.get_port());
    match options.get_socket() {
        Some(socket) => format!("{}, port {port}", socket.display()),
        None if host.contains(':') && !host.starts_with('[') => format!("[{host}]:{port}"),
        None => format!("{host}:{port}"),
    }
}

/// Tries until it succeeds, cannot succeed any more, or `wait` is over.
async fn retry(
    wait: Duration,
    mut attempt: impl AsyncFnMut() -> Result<(), ConnectError>,
) -> Result<(), ConnectError> {
    let started = Instant::now();
    let mut told = false;
    loop {
        let error = match attempt().await {
            Ok(()) => return Ok(()),
            // A schema does not get older, nor a server newer while it runs. Everything else may come right: a database
            // may be starting, and roles and passwords are made by the migration and by whoever runs it.
            Err(error @ ConnectError::Schema(SchemaError::Newer { .. } | SchemaError::OldServer { .. })) => {
                return Err(error);
            }
            Err(error) => error,
        };
        let waited = started.elapsed();
        if waited >= wait {
            return Err(match error {
                ConnectError::Unreachable { place, source, .. } => {
                    ConnectError::Unreachable { place, waited, source }
                }
                ConnectError::Schema(error) => ConnectError::Schema(error),
            });
        }
        if !told {
            tracing::info!(error = %causes::chain(&error), "waiting for the database");
            told = true;
        }
        tokio::time::sleep(CONNECT_RETRY).await;
    }
}

/// Does `work` with a connection of `pool`, for as long as `limit` once there is one: the server ends a statement that takes too long,
/// but nobody says so when the network swallows what is said. For work that no call's deadline bounds.
pub async fn bounded<T>(
    pool: &PgPool,
    limit: Duration,
    work: impl AsyncFnOnce(&mut PgConnection) -> Result<T, DatabaseError>,
) -> Result<T, DatabaseError> {
    let mut connection = pool.acquire().await?;
    if let Ok(result) = tokio::time::timeout(limit, work(&mut connection)).await {
        return result;
    }
    // In the middle of something: the pool could not tell whether it is still of use.
    drop(connection.detach());
    Err(DatabaseError::Unavailable(sqlx::Error::Io(io::ErrorKind::TimedOut.into())))
}

/// An error of a query, sorted by what a caller can do about it.
#[derive(Debug, thiserror::Error)]
pub enum DatabaseError {
    /// The database is away, or too busy: the same query may succeed later.
    #[error("the database is not available")]
    Unavailable(#[source] sqlx::Error),
    /// The query cannot succeed as it is.
    #[error("a query failed")]
    Query(#[source] sqlx::Error),
}

impl DatabaseError {
    /// The constraint that a row violated.
    pub fn constraint(&self) -> Option<&str> {
        match self {
            Self::Query(sqlx::Error::Database(error)) => error.constraint(),
            Self::Query(_) | Self::Unavailable(_) => None,
        }
    }

    /// What the database, or the way to it, says.
    pub fn cause(&self) -> String {
        match self {
            Self::Query(cause) | Self::Unavailable(cause) => cause.to_string(),
        }
    }

    /// PostgreSQL's error code.
    pub fn sqlstate(&self) -> Option<String> {
        match self {
            Self::Query(sqlx::Error::Database(error)) | Self::Unavailable(sqlx::Error::Database(error)) => {
                error.code().map(Cow::into_owned)
            }
            Self::Query(_) | Self::Unavailable(_) => None,
        }
    }
}

impl From<sqlx::Error> for DatabaseError {
    fn from(error: sqlx::Error) -> Self {
        let unavailable = match &error {
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::BeginFailed
            // A connection cut off in the middle of a message.
            | sqlx::Error::Protocol(_) => true,
            sqlx::Error::Database(error) => error.code().is_some_and(|code| unavailable(&code)),
            _ => false,
        };
        if unavailable { Self::Unavailable(error) } else { Self::Query(error) }
    }
}

/// The classes of PostgreSQL's error codes that say nothing against the query: connection exceptions (08),
/// transaction rollback such as a deadlock (40), insufficient resources (53), operator intervention such as a
/// shutdown or a statement timeout (57), system errors such as a full disk (58), a read-only server (25006), a transaction
/// that lay idle for too long (25P03), and a lock that somebody else holds (55P03).
fn unavailable(code: &str) -> bool {
    ["25006", "25P03", "55P03"].contains(&code)
        || ["08", "40", "53", "57", "58"].iter().any(|class| code.starts_with(class))
}

impl From<&DatabaseError> for tonic::Status {
    fn from(error: &DatabaseError) -> Self {
        match error {
            DatabaseError::Unavailable(cause) => status::database_unavailable(cause),
            DatabaseError::Query(cause) => status::internal(cause),
        }
    }
}

impl From<DatabaseError> for tonic::Status {
    fn from(error: DatabaseError) -> Self {
        (&error).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::DatabaseUrl;

    #[tokio::test]
    async fn what_cannot_be_connected_to_is_named_with_the_cause_once_and_without_the_password() {
        for (url, place) in [
            ("postgres://u:secret@127.0.0.1:1/x", "127.0.0.1:1 "),
            ("postgres://u:secret@[::1]:1/x", "[::1]:1 "),
            ("postgres://u:secret@%2Fnowhere:7/x", "/nowhere, port 7 "),
        ] {
            let options = url.parse::<DatabaseUrl>().unwrap().connect_options().unwrap();
            let error = wait_until_reachable(&options, Duration::ZERO).await.unwrap_err();
            let ConnectError::Unreachable { source: sqlx::Error::Io(cause), .. } = &error else {
                panic!("{error}");
            };
            let told = causes::chain(&error);
            assert!(told.contains(place) && !told.contains("secret"), "{told}");
            assert_eq!(told.matches(&cause.to_string()).count(), 1, "{told}");
        }
    }
}
