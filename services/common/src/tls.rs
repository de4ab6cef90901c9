//! TLS for the listeners and for the clients of Mesher's own processes: rustls with the cryptography of ring, version 1.2 at
//! the least.
//!
//! Certificates, keys and authorities are files ([`ListenerTlsArgs`], [`UpstreamTlsArgs`]), read at the start and when they change
//! (`reload`): new connections get the new ones, and those that are there go on. [`incoming()`] takes connections in for a gRPC
//! server, [`connect`] makes those of a gRPC client, and a [`Transport`] is a connection of either kind.

mod args;
pub mod connect;
mod files;
mod incoming;
mod metrics;
mod reload;
mod settings;
#[cfg(test)]
mod tests;
mod transport;

pub use self::{
    args::{ListenerTlsArgs, UpstreamTlsArgs},
    connect::{Connector, UpstreamTls},
    files::TlsError,
    incoming::{Acceptor, incoming},
    metrics::{Failed, Metrics},
    reload::Reloader,
    settings::{HTTP_1_1, HTTP_2},
    transport::Transport,
};
