//! A database of its own for every test.

use sqlx::{
    PgPool,
    postgres::{PgConnectOptions, PgPoolOptions},
};

use crate::cluster::{self, Created, Schema};

/// How many connections a test's own pool opens at most.
const POOL_CONNECTIONS: u32 = 5;

/// A database that no other test sees. It goes away with the server, at the end of the test process.
#[derive(Clone, Debug)]
pub struct TestDatabase {
    name: String,
    url: String,
    connect: PgConnectOptions,
    pool: PgPool,
}

impl TestDatabase {
    /// Makes a database with the newest schema, a copy of one that is migrated once a process. Starts the server the
    /// first time, which takes a few seconds; after that it takes some ten milliseconds.
    ///
    /// The variable `MESHER_POSTGRES_BIN` chooses the directory of PostgreSQL's binaries.
    ///
    /// # Panics
    /// If there is no PostgreSQL and none can be fetched, or it does not work.
    pub async fn new() -> Self {
        Self::with(Schema::Migrated).await
    }

    /// Makes a database without a schema.
    ///
    /// # Panics
    /// As [`TestDatabase::new`].
    pub async fn empty() -> Self {
        Self::with(Schema::None).await
    }

    async fn with(schema: Schema) -> Self {
        let created = cluster::create(schema).await;
        Self::of(created.unwrap_or_else(|error| panic!("no database for this test: {error}")))
    }

    pub(crate) fn of(created: Created) -> Self {
        let Created { connect, url, name } = created;
        let pool = PgPoolOptions::new().max_connections(POOL_CONNECTIONS).connect_lazy_with(connect.clone());
        Self { name, url, connect, pool }
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How to connect as the owner of the schema, a superuser.
    pub fn connect_options(&self) -> PgConnectOptions {
        self.connect.clone()
    }

    /// The same as a URL, for the `--database-url` of a binary.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// A pool of up to five connections as the owner, the same one every time. It belongs to the runtime of the test.
    pub fn pool(&self) -> &PgPool {
        &self.pool
    }
}
