//! The organization service: `mesher.org.v1.OrgService`.
//!
//! A request passes [`service`] (proto to domain and back), the domain types of [`org`], and [`store`] (all the
//! SQL). Its errors are one enum, [`error::OrgError`].

pub mod config;
pub mod error;
pub mod org;
pub mod service;
pub mod store;

use mesher_common::{access::Access, clock::Clock, db, handle::Handle, server::ServerBuilder};
use mesher_proto::mesher::org::v1::org_service_server::OrgServiceServer;

pub use crate::config::Config;
use crate::{service::Service, store::Store};

/// The role that the service has in the database.
pub const DATABASE_ROLE: &str = "mesher_org";

/// Starts the service.
pub async fn spawn(config: Config) -> anyhow::Result<Handle> {
    let server = ServerBuilder::bind("org", config.listen, config.admin_listen, &config.tls).await?;
    let pool = db::connect(&config.database, DATABASE_ROLE).await?;
    let access = Access::new(pool.clone()).believing(config.peers);
    let service = Service::new(access, Store::new(pool.clone()), Clock::system());
    server.service(OrgServiceServer::new(service)).needs_database(&pool).start().await
}
