//! A directory in memory.

use std::{
    collections::BTreeMap,
    io,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use mesher_writer::log::fs::FileSystem;

/// Files by their names.
pub(super) type Files = BTreeMap<String, Vec<u8>>;

#[derive(Clone, Debug, Default)]
pub(super) struct Memory(Arc<Mutex<Files>>);

impl Memory {
    pub(super) fn new(files: Files) -> Self {
        Self(Arc::new(Mutex::new(files)))
    }

    /// A copy of all that there is.
    pub(super) fn files(&self) -> Files {
        self.lock().clone()
    }

    /// All that there is, to change it.
    pub(super) fn lock(&self) -> MutexGuard<'_, Files> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, name: &str, work: impl FnOnce(&mut Vec<u8>) -> io::Result<T>) -> io::Result<T> {
        self.lock().get_mut(name).ok_or_else(|| io::ErrorKind::NotFound.into()).and_then(work)
    }
}

impl FileSystem for Memory {
    type File = String;

    fn directory(&self) -> String {
        "memory".to_owned()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.lock().keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<String> {
        match self.lock().insert(name.to_owned(), Vec::new()) {
            None => Ok(name.to_owned()),
            Some(_) => Err(io::ErrorKind::AlreadyExists.into()),
        }
    }

    fn open(&self, name: &str) -> io::Result<String> {
        self.with(name, |_| Ok(name.to_owned()))
    }

    fn write(&self, file: &mut String, offset: u32, bytes: &[u8]) -> io::Result<()> {
        self.with(file, |content| {
            let end = index(offset) + bytes.len();
            content.resize(content.len().max(end), 0);
            content[index(offset)..end].copy_from_slice(bytes);
            Ok(())
        })
    }

    fn append(&self, file: &mut String, bytes: &[u8]) -> io::Result<()> {
        self.with(file, |content| {
            content.extend(bytes);
            Ok(())
        })
    }

    fn sync(&self, _: &mut String) -> io::Result<()> {
        Ok(())
    }

    fn rewrite(&self, name: &str, part: Range<u32>) -> io::Result<()> {
        self.read(&name.to_owned(), part.start, part.end - part.start).map(drop)
    }

    fn truncate(&self, file: &mut String, length: u32) -> io::Result<()> {
        // As a file system does: a file that is shorter grows.
        self.with(file, |content| {
            content.resize(index(length), 0);
            Ok(())
        })
    }

    fn open_to_read(&self, name: &str) -> io::Result<String> {
        self.open(name)
    }

    fn read(&self, file: &String, offset: u32, length: u32) -> io::Result<Vec<u8>> {
        self.with(file, |content| {
            let part = content.get(index(offset)..index(offset).saturating_add(index(length)));
            part.map(<[u8]>::to_vec).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
        })
    }

    fn read_all(&self, name: &str) -> io::Result<Vec<u8>> {
        self.with(name, |content| Ok(content.clone()))
    }

    fn length(&self, file: &String) -> io::Result<u32> {
        self.with(file, |content| Ok(u32::try_from(content.len()).unwrap_or(u32::MAX)))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut files = self.lock();
        let content = files.remove(from).ok_or(io::ErrorKind::NotFound)?;
        files.insert(to.to_owned(), content);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.lock().remove(name).map(drop).ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn sync_directory(&self) -> io::Result<()> {
        Ok(())
    }
}

/// A length in a file as one in memory.
pub(super) fn index(length: u32) -> usize {
    usize::try_from(length).unwrap_or(usize::MAX)
}
