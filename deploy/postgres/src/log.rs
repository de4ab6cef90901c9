//! The server's log: one file a run, the one before kept beside it.

use std::{
    fs::{self, File, OpenOptions},
    io::{Read as _, Seek as _, SeekFrom},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

use crate::{directory::DataDir, error::Error};

/// How much of the log's end an error shows.
const TAIL_BYTES: u64 = 4096;
const TAIL_LINES: usize = 20;

/// Puts the last run's log aside and opens a new one.
pub(crate) fn open(dir: &DataDir) -> Result<File, Error> {
    let path = dir.log();
    if path.exists() {
        fs::rename(&path, dir.old_log()).map_err(Error::io("rename", &path))?;
    }
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(&path)
        .map_err(Error::io("create", &path))?;
    dir.account().own(&path)?;
    Ok(file)
}

/// The last lines of a log; says so when it cannot be read.
pub(crate) fn tail(path: &Path) -> String {
    match read_end(path) {
        Ok(text) => {
            let lines: Vec<&str> = text.lines().collect();
            lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n")
        }
        Err(error) => format!("(it cannot be read: {error})"),
    }
}

fn read_end(path: &Path) -> std::io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
    let mut bytes = Vec::new();
    file.take(TAIL_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_of_a_long_log_is_its_last_lines() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let text: Vec<String> = (0..10_000).map(|line| format!("line {line}")).collect();
        fs::write(&path, text.join("\n")).unwrap();
        let tail = tail(&path);
        assert_eq!(tail.lines().count(), TAIL_LINES);
        assert!(tail.ends_with("line 9998\nline 9999"), "{tail}");
    }

    #[test]
    fn a_missing_log_does_not_hide_the_error_it_belongs_to() {
        assert!(tail(Path::new("/nonexistent/log")).starts_with("(it cannot be read"));
    }
}
