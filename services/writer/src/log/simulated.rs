//! A file system that fails when it is told to, and forgets in a crash what was not synced: any of its blocks, which then
//! are as they were before, or the end of the file.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    ops::Range,
    sync::{Arc, Condvar, Mutex, MutexGuard},
};

pub(crate) use self::choices::Choices;
use self::file::{BLOCK, File};
use super::fs::FileSystem;

mod choices;
mod file;

/// A way to the file system. What is done by way of it fails after the next crash or kill: whoever held it is dead.
#[derive(Clone, Debug, Default)]
pub(crate) struct Simulated {
    state: Arc<Mutex<State>>,
    resumed: Arc<Condvar>,
    life: u64,
}

/// What can be made to fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Call {
    Look,
    Create,
    Write,
    Sync,
    Truncate,
    Remove,
    SyncDirectory,
}

impl Call {
    pub(crate) const CHANGES: [Self; 6] =
        [Self::Create, Self::Write, Self::Sync, Self::Truncate, Self::Remove, Self::SyncDirectory];
}

#[derive(Debug, Default)]
struct State {
    life: u64,
    files: BTreeMap<String, File>,
    /// Files that were removed, until the directory is synced.
    removed: BTreeMap<String, File>,
    /// The old names of files that have new ones, until the directory is synced.
    renamed: BTreeMap<String, String>,
    /// How many calls succeed until one fails.
    fails_after: Option<usize>,
    /// The calls that fail each time.
    failing: BTreeSet<Call>,
    /// The call that hangs.
    hanging: Option<Call>,
    /// How many bytes the files may have in all.
    capacity: Option<usize>,
    /// A byte of a file that is changed when something of the file is read.
    damaged_when_read: Option<(String, usize)>,
    /// What fails to be written again, and for what.
    rewriting: Option<io::ErrorKind>,
}

struct Hangs<'a>(&'a Simulated);

impl Drop for Hangs<'_> {
    fn drop(&mut self) {
        self.0.state().hanging = None;
        self.0.resumed.notify_all();
    }
}

impl Simulated {
    /// The bytes of a block: what a crash keeps or loses, and the disk gives or does not.
    pub(crate) const BLOCK: usize = BLOCK;

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// Has a call fail after so many have succeeded.
    pub(crate) fn fail_after(&self, calls: usize) {
        self.state().fails_after = Some(calls);
    }

    /// Has all calls of a kind fail until [`Simulated::heal`].
    pub(crate) fn fail(&self, call: Call) {
        self.state().failing.insert(call);
    }

    /// Has all calls of a kind wait until what this gives is dropped.
    pub(crate) fn hang_at(&self, call: Call) -> impl Drop + '_ {
        self.state().hanging = Some(call);
        Hangs(self)
    }

    /// Has the files grow by so many bytes at the most, until [`Simulated::heal`].
    pub(crate) fn fill_up(&self, room: usize) {
        let mut state = self.state();
        state.capacity = Some(state.used() + room);
    }

    /// Has every call wait until what this gives is dropped.
    pub(crate) fn hang(&self) -> impl Drop + '_ {
        self.state()
    }

    /// Has what is written again fail for this, until [`Simulated::heal`].
    pub(crate) fn fail_to_rewrite(&self, kind: io::ErrorKind) {
        self.state().rewriting = Some(kind);
    }

    /// Has everything succeed, but for the reading of what cannot be read.
    pub(crate) fn heal(&self) {
        let mut state = self.state();
        state.rewriting = None;
        state.fails_after = None;
        state.failing.clear();
        state.capacity = None;
    }

    /// Another disk that is like this one.
    pub(crate) fn copy(&self) -> Self {
        let state = self.state();
        let copy = State {
            life: state.life,
            files: state.files.clone(),
            removed: state.removed.clone(),
            renamed: state.renamed.clone(),
            ..State::default()
        };
        Self { state: Arc::new(Mutex::new(copy)), resumed: Arc::default(), life: state.life }
    }

    /// The process is killed: gives the way for the next one, which finds everything as it was left.
    pub(crate) fn kill(&self) -> Self {
        self.heal();
        let mut state = self.state();
        state.life += 1;
        Self { state: Arc::clone(&self.state), resumed: Arc::clone(&self.resumed), life: state.life }
    }

    /// The machine crashes: what was not synced is lost, wholly or in part. Gives the way for what comes after.
    pub(crate) fn crash(&self, choices: &mut Choices) -> Self {
        let next = self.kill();
        let mut state = self.state();
        for (to, from) in std::mem::take(&mut state.renamed) {
            if choices.below(2) == 0
                && let Some(file) = state.files.remove(&to)
            {
                state.files.insert(from, file);
            }
        }
        for (name, file) in std::mem::take(&mut state.removed) {
            if choices.below(2) == 0 {
                state.files.entry(name).or_insert(file);
            }
        }
        state.files.retain(|_, file| file.named || choices.below(2) == 0);
        for file in state.files.values_mut() {
            file.crash(choices);
        }
        drop(state);
        next
    }

    /// Changes a byte on the disk, if the file is there.
    pub(crate) fn damage(&self, name: &str, offset: usize) {
        self.state().files.get_mut(name).into_iter().for_each(|file| file.damage(offset));
    }

    /// Changes a byte on the disk when next a single record of its file is read.
    pub(crate) fn damage_when_read(&self, name: &str, offset: usize) {
        self.state().damaged_when_read = Some((name.to_owned(), offset));
    }

    /// Has the disk not give the blocks of a part any more, whatever is written there, if the file is there.
    pub(crate) fn make_unreadable(&self, name: &str, part: Range<usize>) {
        let blocks = part.start / BLOCK..part.end.div_ceil(BLOCK);
        self.state().files.get_mut(name).into_iter().for_each(|file| file.unreadable.extend(blocks.clone()));
    }

    /// Has the disk give all blocks again.
    pub(crate) fn make_readable(&self) {
        self.state().files.values_mut().for_each(|file| file.unreadable.clear());
    }

    /// Whether the disk gives a part of a file.
    pub(crate) fn is_readable(&self, name: &str, part: &Range<usize>) -> bool {
        self.state().files[name].is_readable(part)
    }

    /// What a file holds.
    pub(crate) fn content(&self, name: &str) -> Vec<u8> {
        self.state().files[name].content.clone()
    }

    /// Has a file hold something else, synced.
    pub(crate) fn replace(&self, name: &str, content: Vec<u8>) {
        self.state().files.insert(name.to_owned(), File::synced(content));
    }

    pub(crate) fn names(&self) -> Vec<String> {
        self.state().files.keys().cloned().collect()
    }

    /// How many bytes the files have.
    pub(crate) fn used(&self) -> usize {
        self.state().used()
    }

    fn call(&self, call: Call) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.resumed.wait_while(self.state(), |state| state.hanging == Some(call)).unwrap();
        if state.life != self.life {
            return Err(io::Error::other("a call of the dead"));
        }
        match &mut state.fails_after {
            Some(0) => {
                state.fails_after = None;
                return Err(io::Error::other("simulated failure"));
            }
            Some(calls) => *calls -= 1,
            None => {}
        }
        if state.failing.contains(&call) {
            return Err(io::Error::other("simulated failure"));
        }
        Ok(state)
    }

    fn is_dead(&self) -> bool {
        self.state().life != self.life
    }
}

impl State {
    fn used(&self) -> usize {
        self.files.values().map(|file| file.content.len()).sum()
    }

    /// How many bytes more the files may have.
    fn room(&self) -> usize {
        self.capacity.map_or(usize::MAX, |capacity| capacity.saturating_sub(self.used()))
    }

    fn file(&mut self, name: &str) -> io::Result<&mut File> {
        self.files.get_mut(name).ok_or_else(missing)
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
        Ok(self.call(Call::Look)?.files.keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<String> {
        let mut state = self.call(Call::Create)?;
        if state.files.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        state.files.insert(name.to_owned(), File::default());
        Ok(name.to_owned())
    }

    fn open(&self, name: &str) -> io::Result<String> {
        self.call(Call::Look)?.files.contains_key(name).then(|| name.to_owned()).ok_or_else(missing)
    }

    fn write(&self, file: &mut String, offset: u32, bytes: &[u8]) -> io::Result<()> {
        let result = self.call(Call::Write).map(drop);
        if self.is_dead() {
            return result;
        }
        let mut state = self.state();
        let offset = usize::try_from(offset).unwrap();
        let length = state.file(file)?.content.len();
        assert!(offset <= length, "a hole in {file}");
        // What is there already takes no more room.
        let room = state.room().saturating_add(length - offset);
        let (written, result) = match result {
            Err(error) => (bytes.len() / 2, Err(error)),
            Ok(()) if room < bytes.len() => (room, Err(io::ErrorKind::StorageFull.into())),
            Ok(()) => (bytes.len(), Ok(())),
        };
        let written = &bytes[..written.min(room)];
        let content = &mut state.file(file)?.content;
        content.resize(length.max(offset + written.len()), 0);
        content[offset..offset + written.len()].copy_from_slice(written);
        result
    }

    fn append(&self, file: &mut String, bytes: &[u8]) -> io::Result<()> {
        let length = self.state().file(file).map_or(0, |file| file.content.len());
        self.write(file, u32::try_from(length).unwrap(), bytes)
    }

    fn sync(&self, file: &mut String) -> io::Result<()> {
        let result = self.call(Call::Sync).map(drop);
        if self.is_dead() {
            return result;
        }
        let mut state = self.state();
        let file = state.file(file)?;
        if result.is_err() {
            let from = if file.doubtful.is_empty() { file.unsynced_from() } else { file.doubtful.start };
            file.doubtful = from..file.content.len();
        } else {
            file.durable = file.content.clone();
        }
        result
    }

    fn rewrite(&self, name: &str, part: Range<u32>) -> io::Result<()> {
        let mut state = self.call(Call::Write)?;
        if let Some(kind) = state.rewriting {
            return Err(kind.into());
        }
        let file = state.file(name)?;
        let part = usize::try_from(part.start).unwrap()..usize::try_from(part.end).unwrap();
        assert!(part.end <= file.content.len(), "{part:?} of {name}");
        file.read(part.clone())?;
        // What is written again is not taken for written any more.
        if part.end >= file.doubtful.end {
            file.doubtful.end = part.start.clamp(file.doubtful.start, file.doubtful.end);
        }
        drop(state);
        self.sync(&mut name.to_owned())
    }

    fn truncate(&self, file: &mut String, length: u32) -> io::Result<()> {
        let mut state = self.call(Call::Truncate)?;
        let file = state.file(file)?;
        file.content.truncate(usize::try_from(length).unwrap());
        file.doubtful.end = file.doubtful.end.min(file.content.len()).max(file.doubtful.start);
        Ok(())
    }

    fn open_to_read(&self, name: &str) -> io::Result<String> {
        self.open(name)
    }

    fn read(&self, file: &String, offset: u32, length: u32) -> io::Result<Vec<u8>> {
        let mut state = self.call(Call::Look)?;
        let (from, length) = (usize::try_from(offset).unwrap(), usize::try_from(length).unwrap());
        if let Some((_, offset)) = state.damaged_when_read.take_if(|(name, _)| name == file) {
            state.file(file)?.damage(offset);
        }
        state.file(file)?.read(from..from + length)
    }

    fn read_all(&self, name: &str) -> io::Result<Vec<u8>> {
        let mut state = self.call(Call::Look)?;
        let file = state.file(name)?;
        file.read(0..file.content.len())
    }

    fn length(&self, file: &String) -> io::Result<u32> {
        Ok(u32::try_from(self.call(Call::Look)?.file(file)?.content.len()).unwrap())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.call(Call::Remove)?;
        let file = state.files.remove(name).ok_or_else(missing)?;
        if file.named {
            state.removed.insert(name.to_owned(), file);
        }
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.call(Call::Remove)?;
        let file = state.files.remove(from).ok_or_else(missing)?;
        state.files.insert(to.to_owned(), file);
        state.renamed.insert(to.to_owned(), from.to_owned());
        Ok(())
    }

    fn sync_directory(&self) -> io::Result<()> {
        let mut state = self.call(Call::SyncDirectory)?;
        state.removed.clear();
        state.renamed.clear();
        for file in state.files.values_mut() {
            file.named = true;
        }
        Ok(())
    }
}
