//! A file system that fails when it is told to, and forgets in a crash what was not synced: all of it, a part of it, or
//! with garbage where it was.

use std::{
    collections::BTreeMap,
    io,
    sync::{Arc, Mutex, MutexGuard},
};

use super::fs::FileSystem;

#[derive(Clone, Debug, Default)]
pub(super) struct Simulated {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<String, SimulatedFile>,
    /// Files that were removed, until the directory is synced.
    removed: BTreeMap<String, SimulatedFile>,
    /// How many calls succeed until one fails.
    fails_after: Option<usize>,
}

#[derive(Clone, Debug, Default)]
struct SimulatedFile {
    content: Vec<u8>,
    /// What a crash leaves of it at the least.
    durable: Vec<u8>,
    named: bool,
}

/// A generator of choices: small, and the same for the same seed.
#[derive(Debug)]
pub(super) struct Choices(pub(super) u64);

impl Choices {
    pub(super) fn below(&mut self, bound: usize) -> usize {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((z ^ (z >> 31)) % u64::try_from(bound).unwrap()).unwrap()
    }
}

impl Simulated {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Has a call fail after so many have succeeded.
    pub(super) fn fail_after(&self, calls: usize) {
        self.state().fails_after = Some(calls);
    }

    /// The machine crashes: what was not synced is lost, wholly or in part.
    pub(super) fn crash(&self, choices: &mut Choices) {
        let mut state = self.state();
        state.fails_after = None;
        for (name, file) in std::mem::take(&mut state.removed) {
            if choices.below(2) == 0 {
                state.files.entry(name).or_insert(file);
            }
        }
        state.files.retain(|_, file| file.named || choices.below(2) == 0);
        for file in state.files.values_mut() {
            let mut content = file.durable.clone();
            if file.content.starts_with(&content) {
                let unsynced = &file.content[content.len()..];
                content.extend(&unsynced[..choices.below(unsynced.len() + 1)]);
                if choices.below(3) == 0 && content.len() > file.durable.len() {
                    // A block that was allocated and never written.
                    let from = file.durable.len() + choices.below(content.len() - file.durable.len());
                    content[from..].fill(0);
                }
            }
            *file = SimulatedFile { durable: content.clone(), content, named: true };
        }
    }

    /// Changes a byte on the disk.
    pub(super) fn damage(&self, name: &str, offset: usize) {
        let mut state = self.state();
        let file = state.files.get_mut(name).unwrap();
        file.content[offset] ^= 0xff;
        file.durable = file.content.clone();
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.state().files.keys().cloned().collect()
    }

    fn call(&self) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.state();
        match &mut state.fails_after {
            Some(0) => {
                state.fails_after = None;
                Err(io::Error::other("simulated failure"))
            }
            Some(calls) => {
                *calls -= 1;
                Ok(state)
            }
            None => Ok(state),
        }
    }
}

fn missing() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl FileSystem for Simulated {
    type File = String;

    fn directory(&self) -> String {
        "simulated".to_owned()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.call()?.files.keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<String> {
        let mut state = self.call()?;
        if state.files.insert(name.to_owned(), SimulatedFile::default()).is_some() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        Ok(name.to_owned())
    }

    fn open(&self, name: &str) -> io::Result<String> {
        self.call()?.files.contains_key(name).then(|| name.to_owned()).ok_or_else(missing)
    }

    fn append(&self, file: &mut String, bytes: &[u8]) -> io::Result<()> {
        let half = &bytes[..bytes.len() / 2];
        let (result, written) = match self.call() {
            Ok(_) => (Ok(()), bytes),
            Err(error) => (Err(error), half),
        };
        self.state().files.get_mut(file).ok_or_else(missing)?.content.extend(written);
        result
    }

    fn sync(&self, file: &mut String) -> io::Result<()> {
        let mut state = self.call()?;
        let file = state.files.get_mut(file).ok_or_else(missing)?;
        file.durable = file.content.clone();
        Ok(())
    }

    fn truncate(&self, file: &mut String, length: u32) -> io::Result<()> {
        let mut state = self.call()?;
        let file = state.files.get_mut(file).ok_or_else(missing)?;
        file.content.truncate(usize::try_from(length).unwrap());
        Ok(())
    }

    fn read(&self, name: &str, offset: u32, length: u32) -> io::Result<Vec<u8>> {
        let state = self.call()?;
        let content = &state.files.get(name).ok_or_else(missing)?.content;
        let (from, length) = (usize::try_from(offset).unwrap(), usize::try_from(length).unwrap());
        content
            .get(from..from + length)
            .map(<[u8]>::to_vec)
            .ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    fn read_all(&self, name: &str) -> io::Result<Vec<u8>> {
        self.call()?.files.get(name).map(|file| file.content.clone()).ok_or_else(missing)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.call()?;
        let file = state.files.remove(name).ok_or_else(missing)?;
        if file.named {
            state.removed.insert(name.to_owned(), file);
        }
        Ok(())
    }

    fn sync_directory(&self) -> io::Result<()> {
        let mut state = self.call()?;
        state.removed.clear();
        for file in state.files.values_mut() {
            file.named = true;
        }
        Ok(())
    }
}
