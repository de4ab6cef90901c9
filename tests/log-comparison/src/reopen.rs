//! Reopening with what an outage of the database left behind, and settling it.

use std::{fs, path::Path, time::Instant};

use anyhow::ensure;

use crate::{payload::Payloads, process, stores::Store};

/// How many records are left behind.
pub const RECORDS: usize = 200_000;
/// How many are committed, and how many are settled, at once.
const GROUP: usize = 256;

/// Writes the records, and leaves them as a process does that is killed.
pub fn fill<S: Store>(directory: &Path) -> anyhow::Result<()> {
    let _ = fs::remove_dir_all(directory);
    fs::create_dir_all(directory)?;
    let start = Instant::now();
    let (mut store, _) = S::open(directory)?;
    commit_many(&mut store, RECORDS)?;
    let memory = process::memory_mib()?;
    std::mem::forget(store);
    print::<S>("fill", start, memory, directory)
}

/// Commits so many records, in groups.
pub fn commit_many<S: Store>(store: &mut S, count: usize) -> anyhow::Result<()> {
    let mut payloads = Payloads::new(1);
    let mut left = count;
    while left > 0 {
        let group: Vec<Vec<u8>> = (0..left.min(GROUP)).map(|_| payloads.next()).collect();
        store.commit(&group.iter().map(Vec::as_slice).collect::<Vec<_>>())?;
        left -= group.len();
    }
    Ok(())
}

/// Opens the store, and finds out what is in it.
pub fn reopen<S: Store>(directory: &Path, expected: usize) -> anyhow::Result<()> {
    let start = Instant::now();
    let (store, found) = S::open(directory)?;
    ensure!(found == expected, "{found} records are found instead of {expected}");
    let memory = process::memory_mib()?;
    print::<S>(if expected == 0 { "reopen when empty" } else { "reopen" }, start, memory, directory)?;
    store.close()
}

/// Settles all records, the oldest first.
pub fn settle<S: Store>(directory: &Path) -> anyhow::Result<()> {
    let (mut store, found) = S::open(directory)?;
    let start = Instant::now();
    let mut left = found;
    while left > 0 {
        let settled = left.min(GROUP);
        store.settle_oldest(settled)?;
        left -= settled;
    }
    let memory = process::memory_mib()?;
    print::<S>("settle", start, memory, directory)?;
    store.close()
}

fn print<S: Store>(step: &str, start: Instant, memory: u64, directory: &Path) -> anyhow::Result<()> {
    let seconds = start.elapsed().as_secs_f64();
    println!("{} | {step} | {seconds:.2} | {memory} | {:.1}", S::NAME, process::disk_mib(directory)?);
    Ok(())
}
