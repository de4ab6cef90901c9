//! The user service: `mesher.user.v1.UserService`.
//!
//! A request passes [`service`] (proto to domain and back), the domain types of [`user`], [`email`] and
//! [`password`], and [`store`] (all the SQL). Its errors are one enum, [`error::UserError`].

pub mod config;
pub mod email;
pub mod error;
pub mod expiry;
pub mod members;
pub mod password;
pub mod service;
pub mod store;
pub mod user;

use mesher_common::{clock::Clock, db, handle::Handle, server::ServerBuilder};
use mesher_proto::mesher::user::v1::user_service_server::UserServiceServer;

pub use crate::config::Config;
use crate::{password::Hasher, service::Service, store::Store};

/// The role that the service has in the database.
pub const DATABASE_ROLE: &str = "mesher_user";

/// Starts the service.
pub async fn spawn(config: Config) -> anyhow::Result<Handle> {
    let server = ServerBuilder::bind("user", config.listen, config.admin_listen).await?;
    let pool = db::connect(&config.database, DATABASE_ROLE).await?;
    let hasher = Hasher::new(usize::from(config.users.password_hashes)).await?;
    let (store, clock) = (Store::new(pool.clone()), Clock::system());
    let service = Service::new(store.clone(), hasher, clock.clone(), &config.users);
    server
        .service(UserServiceServer::new(service))
        .needs_database(&pool)
        .background(|stop| expiry::delete_expired(store, clock, stop))
        .start()
        .await
}
