//! The one schema history: every service's tables, roles and grants, embedded in the binaries.
//!
//! A migration never changes once it has landed; a change of the schema is a new file in `sql/`.

use sqlx::{
    ConnectOptions, Connection, PgConnection,
    migrate::{MigrateError, Migrator},
    postgres::PgConnectOptions,
};

static MIGRATOR: Migrator = sqlx::migrate!("./sql");

/// The oldest major version of PostgreSQL that the schema, and what is asked of it, is for.
pub const MIN_POSTGRES: u32 = 15;

/// Why a database cannot be used with this version of Mesher.
#[derive(Debug, thiserror::Error)]
pub enum SchemaError {
    /// The server is too old.
    #[error(
        "the database server is PostgreSQL {found}, and Mesher needs {MIN_POSTGRES} or newer: upgrade it, or use another"
    )]
    OldServer {
        /// The server's version, as it says it.
        found: String,
    },
    /// A migration failed; those before it stay.
    #[error("the schema cannot be migrated: {0}")]
    Migration(#[from] MigrateError),
    /// The schema is missing, or older than this version.
    #[error(
        "the schema is at version {found}, and this version of Mesher needs {expected}: run `mesher migrate`"
    )]
    Older {
        /// The newest migration that was applied; 0 for none.
        found: i64,
        /// The newest migration that this version knows.
        expected: i64,
    },
    /// The schema was migrated by a newer version.
    #[error(
        "the schema is at version {found}, and this version of Mesher knows only {expected}: upgrade Mesher"
    )]
    Newer {
        /// The newest migration that was applied.
        found: i64,
        /// The newest migration that this version knows.
        expected: i64,
    },
    /// The version could not be read.
    #[error("the version of the schema, or that of the server, cannot be read: {0}")]
    Unreadable(#[from] sqlx::Error),
}

/// The version of the newest migration.
pub fn version() -> i64 {
    MIGRATOR.iter().map(|migration| migration.version).max().unwrap_or(0)
}

/// Brings the schema of the database up to [`version`].
///
/// Several processes may call it at once: one migrates, the others wait and find nothing left to do. Refuses a server that
/// is too old for the schema.
pub async fn migrate(database: &PgConnectOptions) -> Result<(), SchemaError> {
    let mut connection = database.connect().await?;
    check_server(&mut connection).await?;
    MIGRATOR.run(&mut connection).await?;
    connection.close().await?;
    Ok(())
}

/// Refuses a schema that this version does not know, and a server that is too old for it.
pub async fn check(connection: &mut PgConnection) -> Result<(), SchemaError> {
    check_server(connection).await?;
    let found = match applied(connection).await {
        Ok(found) => found,
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some(UNDEFINED_TABLE) => 0,
        Err(error) => return Err(error.into()),
    };
    let expected = version();
    match found.cmp(&expected) {
        std::cmp::Ordering::Less => Err(SchemaError::Older { found, expected }),
        std::cmp::Ordering::Equal => Ok(()),
        std::cmp::Ordering::Greater => Err(SchemaError::Newer { found, expected }),
    }
}

async fn check_server(connection: &mut PgConnection) -> Result<(), SchemaError> {
    // 150014 for 15.14, and 90624 for 9.6.24.
    let asked =
        "SELECT current_setting('server_version_num')::int / 10000, current_setting('server_version')";
    let (major, found): (i32, String) = sqlx::query_as(asked).fetch_one(connection).await?;
    let is_new_enough = u32::try_from(major).is_ok_and(|major| major >= MIN_POSTGRES);
    if is_new_enough { Ok(()) } else { Err(SchemaError::OldServer { found }) }
}

const UNDEFINED_TABLE: &str = "42P01";

async fn applied(connection: &mut PgConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("SELECT coalesce(max(version), 0) FROM _sqlx_migrations WHERE success")
        .fetch_one(connection)
        .await
}
