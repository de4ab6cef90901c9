//! The user service: `mesher.user.v1.UserService`.
//!
//! A request passes [`service`] (proto to domain and back), the domain types of [`user`], [`email`] and
//! [`password`], and [`store`] (all the SQL). Its errors are one enum, [`error::UserError`].

pub mod audit;
pub mod config;
mod convert;
pub mod email;
pub mod error;
pub mod expiry;
pub mod guessing;
mod login;
pub mod members;
mod metrics;
pub mod networks;
pub mod password;
pub mod pepper;
pub mod service;
pub mod sessions;
pub mod store;
pub mod user;

use mesher_common::{access::Access, clock::Clock, db, handle::Handle, server::ServerBuilder};
use mesher_proto::mesher::user::v1::user_service_server::UserServiceServer;

pub use crate::config::Config;
use crate::{metrics::Metrics, password::Hasher, pepper::Peppers, service::Service, store::Store};

/// The role that the service has in the database.
pub const DATABASE_ROLE: &str = "mesher_user";

/// Starts the service.
pub async fn spawn(config: Config) -> anyhow::Result<Handle> {
    let mut server = ServerBuilder::bind("user", config.listen, config.admin_listen, &config.tls).await?;
    let peppers = Peppers::read(&config.users.passwords.password_pepper_file)?;
    let pool = db::connect(&config.database, DATABASE_ROLE).await?;
    let hasher = Hasher::new(&config.users.passwords, peppers).await?;
    let days = config.users.audit_retention_days;
    let (store, clock) = (Store::new(pool.clone()), Clock::system());
    match store.kinds_of_hashes().await {
        Ok(kinds) => kinds.iter().for_each(|(hash, accounts)| hasher.note(hash, *accounts)),
        // It takes note of each when it comes to it.
        Err(error) => tracing::warn!(%error, "it is not known how passwords were hashed before"),
    }
    let metrics = Metrics::new(server.registry());
    let access = Access::new(pool.clone()).believing(config.peers);
    let service = Service::new(access, store.clone(), hasher, clock, metrics, &config.users);
    server
        .service(UserServiceServer::new(service))
        .needs_database(&pool)
        .background(|stop| expiry::delete_expired(store, days, stop))
        .start()
        .await
}
