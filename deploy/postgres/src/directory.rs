//! The data directory: what lies in it, whose it is, and that only one Mesher uses it.

use std::{
    fs::{self, DirBuilder, File, OpenOptions},
    io::{Read as _, Write as _},
    os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};

use crate::{account::Account, binaries::Binaries, error::Error};

/// How the name of a cluster in the making begins.
pub(crate) const UNFINISHED: &str = "cluster.new-";

const CLUSTER: &str = "cluster";
const LOCK: &str = "lock";
const LOG: &str = "postgres.log";
const OLD_LOG: &str = "postgres.log.1";
const PASSWORD: &str = "password";
const RUN: &str = "run";

/// A data directory that this process holds the lock of, for as long as this value lives.
#[derive(Debug)]
pub(crate) struct DataDir {
    path: PathBuf,
    account: Account,
    // Rust opens files close-on-exec: the server does not inherit the lock, and so cannot keep it after this process.
    _lock: File,
}

impl DataDir {
    /// Makes the directory if there is none, refuses one that holds something else, and locks it.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let path = std::path::absolute(path).map_err(Error::io("find", path))?;
        if !path.exists() {
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent).map_err(Error::io("create", parent))?;
            }
            make_private(&path)?;
        }
        let path = fs::canonicalize(&path).map_err(Error::io("find", &path))?;
        refuse_foreign(&path)?;
        let account = Account::for_cluster(&path.join(CLUSTER))?;
        if account != Account::Own {
            // The way there first: a directory that the server cannot use is left as it is.
            account.check_reach(path.parent().unwrap_or(&path), "--data-dir")?;
            if fs::metadata(&path).map_err(Error::io("read", &path))?.uid() == 0 {
                account.own(&path)?;
            }
            account.check_reach(&path, "--data-dir")?;
        }
        let lock = lock(&path)?;
        account.own(&path.join(LOCK))?;
        Ok(Self { path, account, _lock: lock })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn account(&self) -> &Account {
        &self.account
    }

    pub(crate) fn cluster(&self) -> PathBuf {
        self.path.join(CLUSTER)
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.path.join(LOG)
    }

    pub(crate) fn old_log(&self) -> PathBuf {
        self.path.join(OLD_LOG)
    }

    pub(crate) fn password(&self) -> PathBuf {
        self.path.join(PASSWORD)
    }

    pub(crate) fn run(&self) -> PathBuf {
        self.path.join(RUN)
    }

    /// Whether there is a cluster; an error if there is something that these binaries cannot use.
    pub(crate) fn has_cluster(&self, binaries: &Binaries) -> Result<bool, Error> {
        let cluster = self.cluster();
        let version = cluster.join("PG_VERSION");
        match fs::read_to_string(&version) {
            Ok(made_by) if made_by.trim() == binaries.major().to_string() => Ok(true),
            Ok(made_by) => Err(Error::OtherVersion {
                dir: cluster,
                made_by: made_by.trim().to_owned(),
                binaries: binaries.dir().to_path_buf(),
                found: binaries.major(),
            }),
            Err(_) if is_absent_or_empty(&cluster) => Ok(false),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Err(Error::NotACluster { dir: cluster })
            }
            Err(error) => Err(Error::io("read", version)(error)),
        }
    }
}

/// The major version of PostgreSQL that made the data in a data directory, if there is any.
pub(crate) fn made_by(data_dir: &Path) -> Option<u32> {
    fs::read_to_string(data_dir.join(CLUSTER).join("PG_VERSION")).ok()?.trim().parse().ok()
}

/// Makes a directory that only its owner can enter.
pub(crate) fn make_private(path: &Path) -> Result<(), Error> {
    DirBuilder::new().mode(0o700).create(path).map_err(Error::io("create", path))
}

fn is_absent_or_empty(dir: &Path) -> bool {
    match fs::read_dir(dir) {
        Ok(mut entries) => entries.next().is_none(),
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    }
}

fn refuse_foreign(path: &Path) -> Result<(), Error> {
    let is_ours = |name: &str| {
        // A file system that is mounted there has a `lost+found`.
        [CLUSTER, LOCK, LOG, OLD_LOG, PASSWORD, RUN, "lost+found"].contains(&name)
            || name.starts_with(UNFINISHED)
    };
    let mut names = Vec::new();
    for entry in fs::read_dir(path).map_err(Error::io("read", path))? {
        let entry = entry.map_err(Error::io("read", path))?;
        names.push(entry.file_name().to_string_lossy().into_owned());
    }
    if names.iter().any(|name| name == CLUSTER) {
        return Ok(());
    }
    names.sort();
    match names.into_iter().find(|name| !is_ours(name)) {
        Some(entry) => Err(Error::NotOurs { dir: path.to_path_buf(), entry }),
        None => Ok(()),
    }
}

fn lock(dir: &Path) -> Result<File, Error> {
    let path = dir.join(LOCK);
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(Error::io("open", &path))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => {
            let mut owner = String::new();
            let _ = file.read_to_string(&mut owner);
            let owner = if owner.trim().is_empty() { "unknown" } else { owner.trim() }.to_owned();
            return Err(Error::InUse { dir: dir.to_path_buf(), owner });
        }
        Err(error) => return Err(Error::io("lock", &path)(error.into())),
    }
    file.set_len(0)
        .and_then(|()| writeln!(file, "{}", std::process::id()))
        .map_err(Error::io("write", &path))?;
    Ok(file)
}
