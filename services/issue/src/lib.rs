//! The issue service: `mesher.issue.v1.IssueService`.
//!
//! A request passes [`service`] (proto to domain and back), the domain types of [`event`], and [`store`] (all the
//! SQL). Its errors are one enum, [`error::IssueError`].

pub mod config;
pub mod error;
pub mod event;
pub mod json;
pub mod service;
pub mod store;

use mesher_common::{db, handle::Handle, server::ServerBuilder};
use mesher_proto::mesher::issue::v1::issue_service_server::IssueServiceServer;

pub use crate::config::Config;
use crate::{service::Service, store::Store};

/// The role that the service has in the database.
pub const DATABASE_ROLE: &str = "mesher_issue";

/// Starts the service.
pub async fn spawn(config: Config) -> anyhow::Result<Handle> {
    let server = ServerBuilder::bind("issue", config.listen, config.admin_listen, &config.tls).await?;
    let pool = db::connect(&config.database, DATABASE_ROLE).await?;
    let service = Service::new(Store::new(pool.clone()));
    server.service(IssueServiceServer::new(service)).needs_database(&pool).start().await
}
