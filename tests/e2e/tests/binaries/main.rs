//! The six real binaries as processes, used as people use them.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod bad_input;
mod crash;
mod documentation;
mod grpc;
mod rest;
mod running;
mod shutdown;
mod telemetry;
