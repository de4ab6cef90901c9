//! All of Mesher in one process: the five services and the gateway, on a PostgreSQL server that is started with them
//! when no database is given.
//!
//! Each service is started by its own `spawn`, listens on its own port, and has its own role in the database, exactly
//! as when it runs by itself. `mesher migrate` brings a database's schema up to date and ends.

pub mod config;
mod database;
mod greeting;
mod services;

use std::process::ExitCode;

use anyhow::Context as _;
use mesher_common::{bootstrap, causes::chain, handle::Handle};

use crate::config::{Cli, Command, Config, MigrateArgs};

const NAME: &str = "mesher";

/// The whole of `main`.
pub fn main() -> ExitCode {
    let cli = match bootstrap::parse::<Cli>() {
        Ok(cli) => cli,
        Err(code) => return code,
    };
    match cli.command {
        None => {
            let scheme = cli.config.gateway_scheme();
            bootstrap::run_with(NAME, cli.config, spawn, |handle| {
                bootstrap::println(&greeting::text(handle, scheme));
            })
        }
        Some(Command::Migrate(args)) => {
            let process = args.process.clone();
            bootstrap::run_once(NAME, &process, migrate(args))
        }
    }
}

/// Starts everything. The services are the children of what is returned, under their names; the gateway stops first and
/// the database last.
pub async fn spawn(config: Config) -> anyhow::Result<Handle> {
    services::check_tls(&config)?;
    database::check(&config).await?;
    services::check_ports(&config).await?;
    let (logins, server) = database::open(&config).await?;
    match services::spawn(&config, &logins).await {
        Ok(mut handles) => {
            handles.extend(server);
            Ok(Handle::group(NAME, handles))
        }
        Err(error) => {
            if let Some(server) = server
                && let Err(second) = server.shutdown().await
            {
                // The first error is the one to tell.
                tracing::warn!(error = %chain(second.as_ref()), "postgresql was not stopped in order");
            }
            Err(error)
        }
    }
}

async fn migrate(args: MigrateArgs) -> anyhow::Result<ExitCode> {
    let options = args.database_url.connect_options()?;
    database::migrate(&options, args.database_wait).await.context("the migration failed")?;
    Ok(ExitCode::SUCCESS)
}
