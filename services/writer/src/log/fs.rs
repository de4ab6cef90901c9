//! The few things that the log asks of a file system, so that a test can be one that fails and crashes.

use std::{
    fmt::Debug,
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    ops::Range,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustix::{
    fs::{FallocateFlags, fallocate},
    io::Errno,
};

/// A directory of files.
pub trait FileSystem: Clone + Debug + Send + Sync + 'static {
    /// An open file.
    type File: Debug + Send + 'static;

    /// The directory, for messages.
    fn directory(&self) -> String;
    /// The names of the files.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Makes a new file, which must not be there yet. Its name is only safe after [`FileSystem::sync_directory`].
    fn create(&self, name: &str) -> io::Result<Self::File>;
    /// Sets space aside for a new file that will have about so many bytes, if there is so much.
    fn reserve(&self, _file: &Self::File, _bytes: u32) {}
    /// Gives back what was set aside for a file that will not grow.
    fn release(&self, _name: &str) {}
    /// Opens a file for appending.
    fn open(&self, name: &str) -> io::Result<Self::File>;
    /// Writes all of `bytes` to a file that was made, from `offset` on, or fails with a part of them written.
    fn write(&self, file: &mut Self::File, offset: u32, bytes: &[u8]) -> io::Result<()>;
    /// Appends all of `bytes` to a file that was opened, or fails with a part of them written.
    fn append(&self, file: &mut Self::File, bytes: &[u8]) -> io::Result<()>;
    /// Makes what was written safe from a crash.
    fn sync(&self, file: &mut Self::File) -> io::Result<()>;
    /// Writes a part of a file once more, as it is, and makes it safe from a crash. After a sync that failed a system may take
    /// for written what is not, and no later sync writes it.
    fn rewrite(&self, name: &str, part: Range<u32>) -> io::Result<()>;
    /// Cuts a file off.
    fn truncate(&self, file: &mut Self::File, length: u32) -> io::Result<()>;
    /// Opens a file for reading parts of it.
    fn open_to_read(&self, name: &str) -> io::Result<Self::File>;
    /// Reads a part of a file; an error if it is shorter.
    fn read(&self, file: &Self::File, offset: u32, length: u32) -> io::Result<Vec<u8>>;
    /// Reads a file.
    fn read_all(&self, name: &str) -> io::Result<Vec<u8>>;
    /// How many bytes a file has that was opened for reading.
    fn length(&self, file: &Self::File) -> io::Result<u32>;
    /// Removes a file. It may be back after a crash, until [`FileSystem::sync_directory`].
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Gives a file another name, in the place of a file that has it already. It may have the old one after a crash, until
    /// [`FileSystem::sync_directory`].
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Makes the names of files safe from a crash.
    fn sync_directory(&self) -> io::Result<()>;
}

/// Whether an error says that the disk does not give what is there: a sector is bad, or a file system with checksums finds
/// a block changed. Other errors are about the system, and say nothing of what is on the disk.
pub fn is_unreadable(error: &io::Error) -> bool {
    Errno::from_io_error(error) == Some(Errno::IO)
}

/// A directory on the disk.
#[derive(Clone, Debug)]
pub struct Directory {
    path: PathBuf,
    /// Whoever uses the directory keeps others from it, also a job that outlives the one who began it.
    _lock: Option<Arc<File>>,
}

impl Directory {
    /// The directory at `path`, which is made if it is missing.
    pub fn create(path: &Path) -> io::Result<Self> {
        fs::create_dir_all(path)?;
        // The names on the way to it must outlive a crash as well as those in it.
        for directory in path.ancestors().filter(|ancestor| ancestor.is_dir()) {
            // Directories above may be another user's: what is there already needs no sync.
            if File::open(directory).and_then(|directory| directory.sync_all()).is_err() {
                break;
            }
        }
        Ok(Self { path: path.to_owned(), _lock: None })
    }

    /// The same, with a locked file that is held for as long as anyone uses the directory.
    #[must_use]
    pub fn locked_by(self, lock: Arc<File>) -> Self {
        Self { _lock: Some(lock), ..self }
    }
}

impl FileSystem for Directory {
    type File = File;

    fn directory(&self) -> String {
        self.path.display().to_string()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let names =
            fs::read_dir(&self.path)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
        names.collect()
    }

    fn create(&self, name: &str) -> io::Result<File> {
        OpenOptions::new().write(true).create_new(true).open(self.path.join(name))
    }

    /// Takes the search for space out of each sync: a sixth of its time on ext4.
    fn reserve(&self, file: &File, bytes: u32) {
        if fallocate(file, FallocateFlags::KEEP_SIZE, 0, bytes.into()).is_err() {
            // Not all file systems can. One that is nearly full is to give to others what it set aside.
            give_back(file);
        }
    }

    fn release(&self, name: &str) {
        if let Ok(file) = OpenOptions::new().write(true).open(self.path.join(name)) {
            give_back(&file);
        }
    }

    fn open(&self, name: &str) -> io::Result<File> {
        OpenOptions::new().append(true).open(self.path.join(name))
    }

    fn write(&self, file: &mut File, offset: u32, bytes: &[u8]) -> io::Result<()> {
        file.write_all_at(bytes, offset.into())
    }

    fn append(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        file.write_all(bytes)
    }

    fn sync(&self, file: &mut File) -> io::Result<()> {
        file.sync_data()
    }

    fn rewrite(&self, name: &str, part: Range<u32>) -> io::Result<()> {
        let bytes = self.read(&self.open_to_read(name)?, part.start, part.end.saturating_sub(part.start))?;
        // Not to be appended to: it would be written at the end, wherever it belongs.
        let mut file = OpenOptions::new().write(true).open(self.path.join(name))?;
        self.write(&mut file, part.start, &bytes)?;
        self.sync(&mut file)
    }

    fn truncate(&self, file: &mut File, length: u32) -> io::Result<()> {
        file.set_len(length.into())
    }

    fn open_to_read(&self, name: &str) -> io::Result<File> {
        File::open(self.path.join(name))
    }

    fn read(&self, file: &File, offset: u32, length: u32) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
        file.read_exact_at(&mut bytes, offset.into())?;
        Ok(bytes)
    }

    fn read_all(&self, name: &str) -> io::Result<Vec<u8>> {
        fs::read(self.path.join(name))
    }

    fn length(&self, file: &File) -> io::Result<u32> {
        u32::try_from(file.metadata()?.len()).map_err(|_| io::ErrorKind::FileTooLarge.into())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path.join(name))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path.join(from), self.path.join(to))
    }

    fn sync_directory(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }
}

/// Cuts a file off where it ends, which takes what was set aside behind from it. What cannot be given back is as if it were
/// used.
fn give_back(file: &File) {
    let _ = file.metadata().and_then(|metadata| file.set_len(metadata.len()));
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use mesher_testing::ScratchDir;

    use super::*;

    #[test]
    fn what_is_set_aside_is_no_part_of_a_file_and_is_given_back() {
        let scratch = ScratchDir::new();
        let directory = Directory::create(scratch.path()).unwrap();
        let mut file = directory.create("file").unwrap();
        directory.reserve(&file, 1 << 20);
        directory.write(&mut file, 0, b"abc").unwrap();
        directory.sync(&mut file).unwrap();
        assert_eq!(directory.read_all("file").unwrap(), b"abc");
        directory.release("file");
        directory.write(&mut file, 3, b"def").unwrap();
        assert_eq!(directory.read_all("file").unwrap(), b"abcdef");
        // In units of 512 bytes.
        assert!(file.metadata().unwrap().blocks() < 100);
        directory.release("no file");
    }
}
