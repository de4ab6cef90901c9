//! Whom the server runs as.

use std::{
    fmt, fs, io,
    os::unix::{fs::MetadataExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use rustix::{
    fs::{Gid, Uid, chown},
    io::Errno,
    process::geteuid,
};

use crate::error::Error;

const ROOT: u32 = 0;

/// Whom the server runs as.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) enum Account {
    /// The user of this process, who is not root.
    Own,
    /// Someone else, because this process is root.
    Other { name: String, uid: u32, gid: u32 },
}

impl Account {
    /// Root gives the server to whoever owns the cluster, so that data made by an ordinary user stays theirs; for new
    /// data to `postgres`, or else to `nobody`.
    pub(crate) fn for_cluster(cluster: &Path) -> Result<Self, Error> {
        if !geteuid().is_root() {
            return Ok(Self::Own);
        }
        let passwd = fs::read_to_string("/etc/passwd").map_err(Error::io("read", "/etc/passwd"))?;
        if let Ok(owner) = fs::metadata(cluster)
            && owner.uid() != ROOT
        {
            let (uid, gid) = (owner.uid(), owner.gid());
            let name =
                users(&passwd).find(|user| user.1 == uid).map_or(uid.to_string(), |user| user.0.to_owned());
            return Ok(Self::Other { name, uid, gid });
        }
        ["postgres", "nobody"]
            .into_iter()
            .find_map(|wanted| users(&passwd).find(|user| user.0 == wanted))
            .map(|(name, uid, gid)| Self::Other { name: name.to_owned(), uid, gid })
            .ok_or(Error::NoAccount)
    }

    /// Gives a file or directory to the server's user.
    pub(crate) fn own(&self, path: &Path) -> Result<(), Error> {
        let Self::Other { uid, gid, .. } = self else {
            return Ok(());
        };
        chown(path, Some(Uid::from_raw(*uid)), Some(Gid::from_raw(*gid)))
            .map_err(|error| Error::io("change the owner of", path)(error.into()))
    }

    /// A command that runs as the server's user.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        if let Self::Other { uid, gid, .. } = self {
            command.uid(*uid).gid(*gid);
        }
        command
    }

    /// Checks that the server's user can enter a directory. It is tried rather than read off the permissions, which
    /// are not all there is to it (access control lists, security modules).
    pub(crate) fn check_reach(&self, path: &Path, flag: &'static str) -> Result<(), Error> {
        if *self == Self::Own || self.can_enter(path)? {
            return Ok(());
        }
        let ancestors: Vec<&Path> = path.ancestors().collect();
        let mut dir = PathBuf::from(path);
        for ancestor in ancestors.into_iter().rev() {
            if !self.can_enter(ancestor)? {
                dir = ancestor.to_path_buf();
                break;
            }
        }
        Err(Error::Unreachable { account: self.to_string(), dir, path: path.to_path_buf(), flag })
    }

    fn can_enter(&self, dir: &Path) -> Result<bool, Error> {
        let tried = self
            .command(Path::new("true"))
            .current_dir(dir)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        match tried {
            Ok(_) => Ok(true),
            Err(error) if denied(&error, Errno::PERM) || denied(&error, Errno::INVAL) => {
                Err(Error::CannotSwitch { account: self.to_string(), source: error })
            }
            Err(error) if denied(&error, Errno::ACCESS) => Ok(false),
            Err(source) => Err(Error::Io { action: "enter", path: dir.to_path_buf(), source }),
        }
    }
}

impl fmt::Display for Account {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Own => formatter.write_str("the user of this process"),
            Self::Other { name, .. } => write!(formatter, "`{name}`"),
        }
    }
}

fn denied(error: &io::Error, errno: Errno) -> bool {
    error.raw_os_error() == Some(errno.raw_os_error())
}

/// The names, user ids and group ids in a passwd file.
fn users(passwd: &str) -> impl Iterator<Item = (&str, u32, u32)> {
    passwd.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let (name, _password) = (fields.next()?, fields.next()?);
        Some((name, fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_passwd_file_is_read_past_lines_that_are_none() {
        let passwd = "root:x:0:0:root:/root:/bin/bash\n# a comment\nbroken:x:y:1::\npostgres:x:101:104:,,,:/var:/bin/sh\n";
        let read: Vec<_> = users(passwd).collect();
        assert_eq!(read, [("root", 0, 0), ("postgres", 101, 104)]);
    }
}
