//! Where the server's Unix socket is.

use std::{
    env,
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use crate::{
    directory::{DataDir, make_private},
    error::Error,
};

/// The longest path of a socket, in bytes (`sun_path` less the closing NUL).
const MAX_PATH: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

/// How the names of socket directories outside the data directory begin.
const PREFIX: &str = "mesher-postgres-";

/// A directory that only the server's user, and this process, can enter.
#[derive(Debug)]
pub(crate) struct SocketDir {
    path: PathBuf,
    // Removes the directory when dropped.
    _temporary: Option<TempDir>,
}

impl SocketDir {
    /// In the data directory, or among the temporary files where that path would be too long for a socket.
    pub(crate) fn create(dir: &DataDir, port: u16) -> Result<Self, Error> {
        let run = dir.run();
        if fits(&run, port) {
            if !run.exists() {
                make_private(&run)?;
            }
            dir.account().own(&run)?;
            return Ok(Self { path: run, _temporary: None });
        }
        let temporary = env::temp_dir();
        // What tempfile appends has six characters.
        let parent = if fits(&temporary.join(PREFIX).join("123456"), port) {
            temporary
        } else {
            PathBuf::from("/tmp")
        };
        let created = tempfile::Builder::new()
            .prefix(PREFIX)
            .permissions(Permissions::from_mode(0o700))
            .tempdir_in(&parent)
            .map_err(Error::io("create a directory in", &parent))?;
        dir.account().own(created.path())?;
        dir.account().check_reach(created.path(), "TMPDIR")?;
        Ok(Self { path: created.path().to_path_buf(), _temporary: Some(created) })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// As the server's setting `unix_socket_directories` wants it: a list, whose elements may be quoted.
    pub(crate) fn setting(&self) -> String {
        format!("\"{}\"", self.path.to_string_lossy().replace('"', "\"\""))
    }
}

/// Removes the socket directory that a server left among the temporary files when it was killed.
pub(crate) fn remove_leftover(dir: &Path) {
    if dir.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PREFIX)) {
        // Only an empty directory goes: what is in use, or is not ours, stays.
        let _ = fs::remove_dir(dir);
    }
}

fn fits(dir: &Path, port: u16) -> bool {
    // A path that is not UTF-8 could not be part of a URL.
    dir.to_str().is_some_and(|dir| dir.len() + format!("/.s.PGSQL.{port}").len() <= MAX_PATH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_of_the_greatest_length_fits_and_one_byte_more_does_not() {
        let path = |length: usize| PathBuf::from(format!("/{}", "x".repeat(length - 1)));
        let rest = "/.s.PGSQL.5432".len();
        assert!(fits(&path(MAX_PATH - rest), 5432));
        assert!(!fits(&path(MAX_PATH - rest + 1), 5432));
    }

    #[test]
    fn a_path_with_separators_stays_one_element() {
        let dir = SocketDir { path: PathBuf::from("/a, \"b\""), _temporary: None };
        assert_eq!(dir.setting(), r#""/a, ""b""""#);
    }
}
