//! The project service: `mesher.project.v1.ProjectService`.
//!
//! A request passes [`service`] (proto to domain and back), the domain types of [`project`], and [`store`] (all
//! the SQL). Its errors are one enum, [`error::ProjectError`].

pub mod config;
pub mod error;
pub mod project;
pub mod service;
pub mod store;

use mesher_common::{access::Access, clock::Clock, db, handle::Handle, server::ServerBuilder};
use mesher_proto::mesher::project::v1::project_service_server::ProjectServiceServer;

pub use crate::config::Config;
use crate::{service::Service, store::Store};

/// The role that the service has in the database.
pub const DATABASE_ROLE: &str = "mesher_project";

/// Starts the service.
pub async fn spawn(config: Config) -> anyhow::Result<Handle> {
    let server = ServerBuilder::bind("project", config.listen, config.admin_listen, &config.tls).await?;
    let pool = db::connect(&config.database, DATABASE_ROLE).await?;
    let access = Access::new(pool.clone()).believing(config.peers);
    let urls = (config.public_url, config.gateway_url);
    let service = Service::new(access, Store::new(pool.clone()), urls, Clock::system());
    server.service(ProjectServiceServer::new(service)).needs_database(&pool).start().await
}
