//! The six real binaries as processes, used as people use them.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod accounts;
mod bad_input;
mod browser;
mod chance;
mod counts;
mod crash;
mod documentation;
mod failover;
mod grpc;
mod load;
mod replicas;
mod rest;
mod running;
mod sdks;
mod secrets;
mod sentry;
mod shutdown;
mod synced;
mod telemetry;
mod tls;
mod writer;
