//! Reading single records.

use std::io;

use super::{Position, Record, fs::FileSystem, segment::name};

/// Why a record cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// It is not there any more as it was written.
    #[error("the record is damaged: {0}")]
    Damaged(String),
    /// It cannot be read now; nothing is said about the record.
    #[error(transparent)]
    Io(io::Error),
}

/// Reads records that were committed; from whatever thread, while others are appended.
#[derive(Debug)]
pub struct Reader<'a, F: FileSystem> {
    fs: &'a F,
    /// The segment that was read from last: neighbours are often read one after the other.
    open: Option<(u64, F::File)>,
}

impl<'a, F: FileSystem> Reader<'a, F> {
    /// A reader of the log in `fs`.
    pub fn new(fs: &'a F) -> Self {
        Self { fs, open: None }
    }

    /// Where it reads.
    pub fn fs(&self) -> &'a F {
        self.fs
    }

    /// Reads a record.
    pub fn read(&mut self, position: Position) -> Result<Record, ReadError> {
        let bytes = self.bytes(position).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof => ReadError::Damaged(error.to_string()),
            _ => ReadError::Io(error),
        })?;
        Record::decode(&bytes).map_err(|error| ReadError::Damaged(error.to_string()))
    }

    fn bytes(&mut self, position: Position) -> io::Result<Vec<u8>> {
        let Position { segment, offset, length } = position;
        let file = match &self.open {
            Some((open, file)) if *open == segment => file,
            _ => &self.open.insert((segment, self.fs.open_to_read(&name(segment))?)).1,
        };
        self.fs.read(file, offset, length)
    }
}
