//! The gateway over HTTP, in front of APIs that are made up for the tests, and of Mesher's own.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on should fail where it is")]

mod bodies;
mod bombs;
mod compressed;
mod conformance;
mod errors;
mod fields;
mod forwarding;
mod ingest;
mod limits;
mod names;
mod new_rpc;
mod openapi;
mod replicas;
mod rules;
mod sentry;
mod server;
mod slow;
mod specification;
mod streaming;
mod support;
mod tls;
mod writer;
