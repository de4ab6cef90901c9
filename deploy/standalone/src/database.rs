//! The database: one that is given, or a PostgreSQL server that is started here and stopped with everything else.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use mesher_common::{
    config::{ConfigError, DatabaseUrl, default_data_dir},
    db,
    handle::Handle,
};
use mesher_postgres::{Options, Postgres, Search, locate, start};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, postgres::PgConnectOptions};
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use crate::config::Config;

/// The connections of the services, their start-up checks, and someone with psql.
const SPARE_CONNECTIONS: u32 = 20;
const SERVICES: u32 = 5;

/// What may be started is what may be given.
const _: () = assert!(mesher_postgres::MIN_MAJOR == mesher_migrations::MIN_POSTGRES);

/// The roles of the services.
const ROLES: [&str; SERVICES as usize] = [
    mesher_org::DATABASE_ROLE,
    mesher_project::DATABASE_ROLE,
    mesher_user::DATABASE_ROLE,
    mesher_writer::DATABASE_ROLE,
    mesher_issue::DATABASE_ROLE,
];

/// How the services sign in.
#[derive(Debug)]
pub(crate) enum Logins {
    /// As the owner of the schema, whose rights each gives up for those of its role: the database is somebody else's,
    /// and so are the passwords of its roles.
    Shared(DatabaseUrl),
    /// Each as its role, with a password that is made at every start.
    Own(BTreeMap<&'static str, DatabaseUrl>),
}

impl Logins {
    /// How the service of a role signs in.
    pub(crate) fn of(&self, role: &'static str) -> anyhow::Result<DatabaseUrl> {
        match self {
            Self::Shared(url) => Ok(url.clone()),
            Self::Own(urls) => urls.get(role).cloned().with_context(|| format!("{role} has no login")),
        }
    }
}

/// Fails if the database that is given, or the PostgreSQL to start, cannot be what was meant, before anything is started.
pub(crate) async fn check(config: &Config) -> anyhow::Result<()> {
    if let Some(url) = &config.database_url {
        url.connect_options()?;
    } else if config.postgres_bin.is_some() {
        // Nowhere else is looked then, and nothing is fetched.
        let located = locate(&search(config)?).await;
        located.map_err(|error| ConfigError { flag: "--postgres-bin", reason: error.to_string() })?;
    }
    Ok(())
}

/// Gives the logins of a migrated database, and the server if it was started for it.
pub(crate) async fn open(config: &Config) -> anyhow::Result<(Logins, Option<Handle>)> {
    if let Some(url) = &config.database_url {
        migrate(&url.connect_options()?, config.database_wait).await?;
        return Ok((Logins::Shared(url.clone()), None));
    }
    let server = serve(config).await?;
    let logins = match migrate(&server.connect_options(), config.database_wait).await {
        Ok(()) => make_logins(&server).await,
        Err(error) => Err(error),
    };
    match logins {
        Ok(logins) => Ok((logins, Some(supervise(server)))),
        Err(error) => {
            // The first error is the one to tell.
            if let Err(second) = server.stop().await {
                tracing::warn!(error = %second, "postgresql was not stopped in order");
            }
            Err(error)
        }
    }
}

/// Gives every service's role a new password.
async fn make_logins(server: &Postgres) -> anyhow::Result<Logins> {
    // The passwords stand in the statements: neither side is to log those, whatever becomes of them.
    let options = server.connect_options().disable_statement_logging();
    let silent = [
        ("log_statement", "none"),
        ("log_min_error_statement", "panic"),
        ("log_min_duration_statement", "-1"),
    ];
    let mut connection = options.options(silent).connect().await?;
    let mut urls = BTreeMap::new();
    for role in ROLES {
        let password = Zeroizing::new(hex::encode(rand::random::<[u8; 24]>()));
        // A statement of this kind takes no parameters; there is nothing in hexadecimal digits that would need quoting.
        let statement = AssertSqlSafe(format!("ALTER ROLE {role} PASSWORD '{}'", *password));
        sqlx::query(statement).execute(&mut connection).await.context("a service's login cannot be made")?;
        urls.insert(role, server.url_as(role, &password).parse().map_err(anyhow::Error::msg)?);
    }
    connection.close().await?;
    Ok(Logins::Own(urls))
}

/// Migrates a database, when it is there.
pub(crate) async fn migrate(database: &PgConnectOptions, wait: Duration) -> anyhow::Result<()> {
    db::wait_until_reachable(database, wait).await?;
    mesher_migrations::migrate(database).await?;
    tracing::info!(version = mesher_migrations::version(), "the schema is up to date");
    Ok(())
}

async fn serve(config: &Config) -> anyhow::Result<Postgres> {
    let binaries = locate(&search(config)?).await?;
    let connections = config.database_connections * SERVICES + SPARE_CONNECTIONS;
    let options = Options::new(binaries, cluster_dir(&data_dir(config)?));
    Ok(start(options.set("max_connections", connections.to_string())).await?)
}

/// Where the PostgreSQL to start is looked for.
fn search(config: &Config) -> anyhow::Result<Search> {
    let data_dir = data_dir(config)?;
    Ok(Search {
        explicit: config.postgres_bin.clone(),
        cache_dir: data_dir.join("postgres-binaries"),
        data_dir: Some(cluster_dir(&data_dir)),
    })
}

/// Where everything is that is kept on this machine.
pub(crate) fn data_dir(config: &Config) -> anyhow::Result<PathBuf> {
    match &config.data_dir {
        Some(dir) => Ok(std::path::absolute(dir)?),
        None => Ok(default_data_dir("--data-dir")?),
    }
}

fn cluster_dir(data_dir: &Path) -> PathBuf {
    data_dir.join("postgres")
}

/// The server as something that runs until it is told to stop.
fn supervise(mut server: Postgres) -> Handle {
    let shutdown = CancellationToken::new();
    let stop = shutdown.clone();
    let task = tokio::spawn(async move {
        tokio::select! {
            error = server.exited() => return Err(error.into()),
            () = stop.cancelled() => {}
        }
        server.stop().await?;
        Ok(())
    });
    Handle::new("postgresql", Vec::new(), shutdown, task)
}
