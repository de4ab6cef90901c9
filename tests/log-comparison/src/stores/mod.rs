//! What is compared, behind the few things that the writer asks of its log.

mod fjall;
mod mesher;
mod okaywal;
mod plain;
mod raft_engine;
mod redb;

use std::path::Path;

pub use self::{
    fjall::Fjall, mesher::MesherLog, okaywal::OkayWal, plain::Plain, raft_engine::RaftEngine, redb::Redb,
};

/// All of them.
pub const NAMES: [&str; 6] =
    [Plain::NAME, MesherLog::NAME, OkayWal::NAME, RaftEngine::NAME, Fjall::NAME, Redb::NAME];

/// A queue of records on disk.
pub trait Store: Sized + Send + 'static {
    /// What it is called.
    const NAME: &str;

    /// Opens the store in a directory, and tells how many records it holds, having read them all or their index.
    fn open(directory: &Path) -> anyhow::Result<(Self, usize)>;
    /// Appends records behind all others; they are on the disk when it returns.
    fn commit(&mut self, payloads: &[&[u8]]) -> anyhow::Result<()>;
    /// Removes the oldest records. They need not be gone at once, nor stay away after a crash.
    fn settle_oldest(&mut self, count: usize) -> anyhow::Result<()>;
    /// Ends in order.
    fn close(self) -> anyhow::Result<()>;
}
