//! The figures, each with its references.

pub(crate) mod ack;
mod columns;
mod copy;
pub(crate) mod http;
pub(crate) mod ingest;
mod insert;
pub(crate) mod outage;
pub(crate) mod projects;
pub(crate) mod restart;
mod stored;
mod sync;
pub(crate) mod transcode;
