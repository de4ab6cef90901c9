//! PostgreSQL, with the settings that it has by default where they are about safety.

use std::{env, path::PathBuf};

use anyhow::{Context as _, bail};
use mesher_postgres::{Binaries, Error, Options, Postgres, Search, locate, start};
use sqlx::{Connection as _, PgConnection};

/// Said although most of them are the defaults: they are what makes a commit safe, and the figures worth something.
const SETTINGS: &[(&str, &str)] = &[
    ("fsync", "on"),
    ("synchronous_commit", "on"),
    ("full_page_writes", "on"),
    ("autovacuum", "on"),
    // A scan that starts in the middle would copy the rows out in another order than they came in.
    ("synchronize_seqscans", "off"),
];

/// A server that can be stopped and started again.
pub(crate) struct Server {
    options: Options,
    running: Option<Postgres>,
    url: String,
    version: String,
}

impl Server {
    /// Starts it on `data_dir`, and makes the schema.
    pub(crate) async fn start(data_dir: PathBuf, cache_dir: PathBuf) -> anyhow::Result<Self> {
        let binaries = binaries(cache_dir).await?;
        let version = binaries.version().to_owned();
        let mut options = Options::new(binaries, data_dir);
        for (name, value) in SETTINGS {
            options = options.set(*name, *value);
        }
        let running = start(options.clone()).await?;
        mesher_migrations::migrate(&running.connect_options()).await?;
        Ok(Self { options, url: running.url(), running: Some(running), version })
    }

    /// Stops a server that a run left on `data_dir` when it was killed: whoever starts it again takes it over. Data that
    /// cannot be started is of no use; only that of a run that goes on is left alone.
    pub(crate) async fn stop_leftover(data_dir: PathBuf, cache_dir: PathBuf) -> anyhow::Result<()> {
        match start(Options::new(binaries(cache_dir).await?, data_dir)).await {
            Ok(left) => Ok(left.stop().await?),
            Err(error @ Error::InUse { .. }) => Err(error.into()),
            Err(_) => Ok(()),
        }
    }

    /// PostgreSQL's version.
    pub(crate) fn version(&self) -> &str {
        &self.version
    }

    /// What the writer connects to.
    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// The process id of the server.
    pub(crate) fn id(&self) -> anyhow::Result<u32> {
        self.running.as_ref().and_then(Postgres::pid).context("PostgreSQL is not running")
    }

    /// A connection as the superuser, without a limit to how long statements take.
    pub(crate) async fn connect(&self) -> anyhow::Result<PgConnection> {
        let running = self.running.as_ref().context("PostgreSQL is not running")?;
        Ok(PgConnection::connect_with(&running.connect_options()).await?)
    }

    /// Stops it in order.
    pub(crate) async fn stop(&mut self) -> anyhow::Result<()> {
        if let Some(running) = self.running.take() {
            running.stop().await?;
        }
        Ok(())
    }

    /// Starts it again, where it was.
    pub(crate) async fn start_again(&mut self) -> anyhow::Result<()> {
        let running = start(self.options.clone()).await?;
        let same = running.url() == self.url;
        self.running = Some(running);
        if !same {
            bail!("PostgreSQL's socket is elsewhere after a restart: choose a shorter --dir");
        }
        Ok(())
    }

    /// Makes what is to be measured begin alike: no events, no issues, and nothing left to be written out.
    pub(crate) async fn clear(&self) -> anyhow::Result<()> {
        let mut connection = self.connect().await?;
        sqlx::query("TRUNCATE events").execute(&mut connection).await?;
        let issues: bool = sqlx::query_scalar("SELECT to_regclass('public.issues') IS NOT NULL")
            .fetch_one(&mut connection)
            .await?;
        if issues {
            sqlx::query("TRUNCATE issues CASCADE").execute(&mut connection).await?;
        }
        checkpoint(&mut connection).await
    }

    /// Empties the table of events alone.
    pub(crate) async fn clear_events(&self) -> anyhow::Result<()> {
        let mut connection = self.connect().await?;
        sqlx::query("TRUNCATE events").execute(&mut connection).await?;
        checkpoint(&mut connection).await
    }
}

async fn binaries(cache_dir: PathBuf) -> anyhow::Result<Binaries> {
    let explicit = env::var_os("MESHER_POSTGRES_BIN").filter(|dir| !dir.is_empty()).map(PathBuf::from);
    Ok(locate(&Search { explicit, cache_dir, data_dir: None }).await?)
}

async fn checkpoint(connection: &mut PgConnection) -> anyhow::Result<()> {
    sqlx::query("CHECKPOINT").execute(connection).await?;
    Ok(())
}
