//! What every Mesher service shares.
//!
//! A service's binary is [`bootstrap::run`] around its `spawn`; its `spawn` connects a [`db`] pool, puts a
//! [`server::ServerBuilder`] together and gives back a [`handle::Handle`]. A call passes [`rpc`] (trace, metrics,
//! bound), then [`access`] (who may call, from the options in the `.proto` files), then the service's own code,
//! whose errors become a [`status`].

pub mod access;
pub mod admin;
pub mod api_keys;
pub mod audit;
pub mod bootstrap;
pub mod causes;
pub mod clock;
pub mod config;
pub mod db;
pub mod handle;
pub mod id;
pub mod level;
pub mod network;
pub mod origin;
pub mod paging;
pub mod panicked;
pub mod payload;
pub mod public_url;
pub mod rate_limit;
pub mod rpc;
pub mod secret;
pub mod server;
pub mod status;
pub mod supervise;
pub mod telemetry;
pub mod text;
pub mod timeout;
pub mod tls;
