//! A bit that the disk did not keep, in the middle of what was written.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context as _;

use crate::{payload::Payloads, reopen::commit_many, stores::Store};

const RECORDS: usize = 2000;
/// The record that is damaged.
const DAMAGED: usize = 1000;

/// Writes records, changes a bit in the payload of one, and opens the store again.
pub fn damage<S: Store>(directory: &Path) -> anyhow::Result<()> {
    let _ = fs::remove_dir_all(directory);
    fs::create_dir_all(directory)?;
    let (mut store, _) = S::open(directory)?;
    commit_many(&mut store, RECORDS)?;
    store.close()?;
    let mut payloads = Payloads::new(1);
    let payload = (0..=DAMAGED).map(|_| payloads.next()).last().unwrap_or_default();
    let mut changed = false;
    for path in files(directory)? {
        let mut content = fs::read(&path)?;
        if let Some(at) = content.windows(16).position(|window| window == &payload[..16]) {
            content[at] ^= 1;
            fs::write(&path, content)?;
            changed = true;
        }
    }
    let said = match S::open(directory) {
        Ok((_, found)) => format!("{found} of {RECORDS} records are found"),
        Err(error) => format!("not opened: {error:#}"),
    };
    println!("{} | damage | {said}{}", S::NAME, if changed { "" } else { " (the payload was not found)" });
    fs::remove_dir_all(directory).context("the directory cannot be removed")
}

fn files(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else {
            found.push(path);
        }
    }
    Ok(found)
}
