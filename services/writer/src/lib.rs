//! The writer: `mesher.writer.v1.WriterService`. It takes events in and stores them.
//!
//! An event passes [`service`] (proto to domain and back), [`limits`] (how many of a project, and with a key), [`admission`]
//! (what can be normalised is, what cannot be is refused), [`log`] (on disk and synced, before it is acknowledged), [`engine`] (bounded buffers by project, in shards,
//! flushed in batches) and [`store`] (all the SQL).
//! `docs/architecture.md` has the writer's contract, with the test for each promise.

pub mod admission;
pub mod arrivals;
pub mod config;
pub mod engine;
pub mod error;
pub mod event;
pub mod limits;
pub mod log;
mod log_dir;
pub mod row;
pub mod service;
pub mod store;
mod streamed;

use std::sync::Arc;

use anyhow::Context as _;
use mesher_common::{
    access::Access, api_keys::ApiKeys, clock::Clock, db, handle::Handle, server::ServerBuilder,
};
use mesher_proto::mesher::writer::v1::writer_service_server::WriterServiceServer;

pub use crate::config::Config;
use crate::{
    config::Durability,
    engine::{Engine, metrics::Metrics},
    limits::{Defaults, Limits},
    service::Service,
    store::Store,
};

/// The role that the service has in the database.
pub const DATABASE_ROLE: &str = "mesher_writer";

/// The most bytes in a request: a thousand events of a generous size.
const MAX_REQUEST_BYTES: usize = 16 * 1024 * 1024;

/// Starts the service.
pub async fn spawn(config: Config) -> anyhow::Result<Handle> {
    config.check()?;
    if config.writer.durability == Durability::Memory {
        log_dir::check_none_is_left(&config.writer)?;
    }
    let mut server = ServerBuilder::bind("writer", config.listen, config.admin_listen, &config.tls).await?;
    let pool = db::connect(&config.database, DATABASE_ROLE).await?;
    let clock = Clock::system();
    let store = Store::new(pool.clone());
    store
        .partitions()
        .ensure_ahead(&clock)
        .await
        .context("the partitions of the next days cannot be made")?;
    let partitions = store.partitions().clone();
    let retention = store.retention(config.writer.retention_days);
    let metrics = Metrics::new(server.registry());
    let settings = (&config.writer).into();
    let logs = match config.writer.durability {
        Durability::Disk => Some(log_dir::open(&config.writer).await?),
        Durability::Memory => None,
    };
    let limits = Limits::new(Defaults {
        project: config.writer.project_rate_limit.0,
        key: config.writer.key_rate_limit.0,
    });
    let (engine, shards) = Engine::new(settings, &Arc::new(limits.watch(store)), &metrics, logs);
    for shard in shards {
        server = server.background(|_| shard.run());
    }
    let times = clock.clone();
    let (keys, resolver) = ApiKeys::new(pool.clone(), config.writer.api_key_cache);
    let access = Access::new(pool.clone()).with_api_keys(keys);
    let service = Service::new(
        access,
        engine.clone(),
        limits,
        config.writer.durability,
        clock.clone(),
        server.shutdown_token(),
    );
    let service = WriterServiceServer::new(service).max_decoding_message_size(MAX_REQUEST_BYTES);
    let health = engine.health().clone();
    // With a log on disk events are taken in while the database is away.
    if config.writer.durability == Durability::Memory {
        server = server.needs_database(&pool);
    }
    server
        .service(service)
        .health_check(move || {
            let health = health.clone();
            async move { health.check() }
        })
        .background(|stop| partitions.keep_ahead(clock, stop))
        .background(|stop| retention.keep(times, stop))
        .background(|stop| resolver.run(stop))
        // No call is left that could bring more: the shards store what they have, and end.
        .drain(async move {
            engine.close();
            Ok(())
        })
        .start()
        .await
}
