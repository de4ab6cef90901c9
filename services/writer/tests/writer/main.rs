//! The writer, over gRPC, on PostgreSQL.

#![expect(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod accounting;
mod disk;
mod issues;
mod limits;
mod locks;
mod midnight;
mod outage;
mod parcels;
mod retention;
mod storing;
mod support;
