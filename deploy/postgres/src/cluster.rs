//! Makes the database cluster, with `initdb`.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io::Write as _,
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::Path,
    process::Stdio,
    time::Duration,
};

use tokio::{
    process::Command,
    time::{Instant, sleep, timeout},
};

use crate::{
    binaries::Binaries,
    directory::{DataDir, UNFINISHED},
    error::Error,
    process::quiet_environment,
    server::SUPERUSER,
};

/// `initdb` takes about a second; on a slow disk, where it syncs some 1,000 files, much longer.
const LIMIT: Duration = Duration::from_mins(5);

/// How long the removal of an unfinished cluster is tried.
const REMOVAL_LIMIT: Duration = Duration::from_secs(5);

/// Makes a cluster beside the place where it belongs, and moves it there when it is complete: an `initdb` that was cut
/// off leaves nothing that could be taken for a cluster.
pub(crate) async fn create(dir: &DataDir, binaries: &Binaries, sync: bool) -> Result<(), Error> {
    remove_unfinished(dir).await;
    tracing::info!(dir = %dir.path().display(), version = binaries.version(), "making a database cluster");
    write_password(dir)?;
    let unfinished = tempfile::Builder::new()
        .prefix(UNFINISHED)
        .permissions(Permissions::from_mode(0o700))
        .tempdir_in(dir.path())
        .map_err(Error::io("create a directory in", dir.path()))?;
    dir.account().own(unfinished.path())?;
    run_initdb(dir, binaries, unfinished.path(), sync).await?;
    let cluster = dir.cluster();
    fs::rename(unfinished.path(), &cluster).map_err(Error::io("create", &cluster))?;
    sync_directory(dir.path())
}

async fn run_initdb(dir: &DataDir, binaries: &Binaries, target: &Path, sync: bool) -> Result<(), Error> {
    let program = binaries.program("initdb");
    let mut command = dir.account().command(&program);
    quiet_environment(&mut command);
    command
        .current_dir(dir.path())
        .arg("--pgdata")
        .arg(target)
        .arg("--pwfile")
        .arg(dir.password())
        .args(["--username", SUPERUSER, "--auth", "scram-sha-256", "--encoding", "UTF8"])
        .args(locale(binaries.major()))
        .stdin(Stdio::null());
    if !sync {
        command.arg("--no-sync");
    }
    let mut command = Command::from(command);
    command.kill_on_drop(true);
    let output = timeout(LIMIT, command.output())
        .await
        .map_err(|_| Error::Init {
            program: program.clone(),
            output: format!("it did not finish within {} s", LIMIT.as_secs()),
        })?
        .map_err(|source| Error::Spawn { program: program.clone(), source })?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(Error::Init { program, output: format!("{said} ({})", output.status) })
}

/// Strings sort by their bytes, and letters of every language have a lower case, whatever machine the data moves to.
fn locale(major: u32) -> &'static [&'static str] {
    match major {
        17.. => &["--locale", "C", "--locale-provider", "builtin", "--builtin-locale", "C.UTF-8"],
        // PostgreSQL brings the locale along only from version 17 on, and not every system has it.
        _ if cfg!(target_os = "linux") => &["--locale", "C.UTF-8"],
        _ => &["--locale", "C"],
    }
}

/// A new password for a new cluster. It is on disk before the cluster is, so there is never one without the other.
fn write_password(dir: &DataDir) -> Result<(), Error> {
    let path = dir.password();
    let password = hex::encode(rand::random::<[u8; 24]>());
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&path)
        .map_err(Error::io("create", &path))?;
    writeln!(file, "{password}").and_then(|()| file.sync_all()).map_err(Error::io("write", &path))?;
    // initdb reads it as the server's user.
    dir.account().own(&path)
}

/// The superuser's password of the cluster that is there.
pub(crate) fn read_password(dir: &DataDir) -> Result<String, Error> {
    let path = dir.password();
    match fs::read_to_string(&path) {
        Ok(password) => Ok(password.trim_end().to_owned()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(Error::NoPassword { file: path }),
        Err(error) => Err(Error::io("read", path)(error)),
    }
}

/// Removes what an `initdb` that was cut off left behind. The lock is held, so it is nobody's.
async fn remove_unfinished(dir: &DataDir) {
    for entry in fs::read_dir(dir.path()).into_iter().flatten().flatten() {
        if !entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
            continue;
        }
        let path = entry.path();
        let deadline = Instant::now() + REMOVAL_LIMIT;
        // The `initdb` itself may still run, and write: it gives up when it misses its files.
        while let Err(error) = fs::remove_dir_all(&path)
            && path.exists()
        {
            if Instant::now() > deadline {
                tracing::warn!(path = %path.display(), %error, "cannot remove an unfinished cluster");
                break;
            }
            sleep(Duration::from_millis(50)).await;
        }
    }
}

fn sync_directory(path: &Path) -> Result<(), Error> {
    File::open(path).and_then(|dir| dir.sync_all()).map_err(Error::io("sync", path))
}
