//! What cannot be used is refused by name, and nothing in it is touched.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use mesher_postgres::{Error, Search, locate};
use mesher_testing::ScratchDir;

use crate::{connect, try_start};

#[tokio::test]
async fn data_of_another_major_version_is_refused() {
    let scratch = ScratchDir::new();
    let version = scratch.join("cluster/PG_VERSION");
    fs::create_dir(scratch.join("cluster")).unwrap();
    fs::write(&version, "14\n").unwrap();
    let options =
        mesher_postgres::Options::new(crate::binaries(Path::new("/nonexistent")).await, scratch.path());
    let error = mesher_postgres::start(options).await.unwrap_err();
    assert!(matches!(&error, Error::OtherVersion { made_by, .. } if made_by == "14"), "{error}");
    assert!(error.to_string().contains("was made by PostgreSQL 14"), "{error}");
    assert_eq!(fs::read_to_string(version).unwrap(), "14\n");
}

#[tokio::test]
async fn a_directory_with_something_else_in_it_is_refused() {
    let scratch = ScratchDir::new();
    fs::write(scratch.join("holiday.jpg"), "photo").unwrap();
    let error = try_start(scratch.path()).await.unwrap_err();
    assert!(matches!(&error, Error::NotOurs { entry, .. } if entry == "holiday.jpg"), "{error}");
    let names: Vec<_> =
        fs::read_dir(scratch.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["holiday.jpg"]);
}

#[tokio::test]
async fn a_cluster_that_is_none_is_refused() {
    let scratch = ScratchDir::new();
    fs::create_dir(scratch.join("cluster")).unwrap();
    fs::write(scratch.join("cluster/holiday.jpg"), "photo").unwrap();
    let error = try_start(scratch.path()).await.unwrap_err();
    assert!(matches!(error, Error::NotACluster { .. }), "{error}");
    assert!(scratch.join("cluster/holiday.jpg").exists());
}

#[tokio::test]
async fn a_file_for_a_data_directory_is_refused() {
    let scratch = ScratchDir::new();
    fs::write(scratch.join("data"), "").unwrap();
    let error = try_start(&scratch.join("data")).await.unwrap_err();
    assert!(error.to_string().contains(scratch.join("data").to_str().unwrap()), "{error}");
}

#[tokio::test]
async fn a_lost_or_changed_password_is_named_by_its_file() {
    let scratch = ScratchDir::new();
    let data_dir = scratch.join("data");
    try_start(&data_dir).await.unwrap().stop().await.unwrap();
    let file = data_dir.join("password");
    let password = fs::read_to_string(&file).unwrap();

    fs::write(&file, "another").unwrap();
    let error = try_start(&data_dir).await.unwrap_err();
    assert!(matches!(error, Error::WrongPassword { .. }), "{error}");

    fs::remove_file(&file).unwrap();
    let error = try_start(&data_dir).await.unwrap_err();
    assert!(matches!(error, Error::NoPassword { .. }), "{error}");
    assert!(error.to_string().contains(file.to_str().unwrap()), "{error}");

    fs::write(&file, password).unwrap();
    let postgres = try_start(&data_dir).await.unwrap();
    connect(&postgres).await;
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn a_directory_that_the_servers_user_cannot_enter_is_named() {
    if !rustix::process::geteuid().is_root() {
        // An ordinary user runs the server as themselves.
        return;
    }
    let scratch = ScratchDir::new();
    let closed = scratch.join("closed");
    fs::create_dir_all(closed.join("open")).unwrap();
    fs::set_permissions(&closed, Permissions::from_mode(0o700)).unwrap();
    let error = try_start(&closed.join("open/data")).await.unwrap_err();
    assert!(matches!(&error, Error::Unreachable { dir, .. } if *dir == closed), "{error}");
    assert!(error.to_string().contains("--data-dir"), "{error}");
}

#[tokio::test]
async fn an_empty_directory_that_is_closed_to_others_is_given_to_the_servers_user() {
    let scratch = ScratchDir::new();
    let data_dir = scratch.join("data");
    fs::create_dir(&data_dir).unwrap();
    fs::set_permissions(&data_dir, Permissions::from_mode(0o700)).unwrap();
    try_start(&data_dir).await.unwrap().stop().await.unwrap();
}

/// Makes programs that say that they are a version of PostgreSQL.
fn fake_binaries(dir: &Path, version: &str) {
    fs::create_dir_all(dir).unwrap();
    for name in ["postgres", "initdb"] {
        fs::write(dir.join(name), format!("#!/bin/sh\necho '{name} (PostgreSQL) {version}'\n")).unwrap();
        fs::set_permissions(dir.join(name), Permissions::from_mode(0o755)).unwrap();
    }
}

async fn locate_in(dir: &Path) -> Result<mesher_postgres::Binaries, Error> {
    locate(&Search { explicit: Some(dir.to_path_buf()), cache_dir: dir.join("cache"), data_dir: None }).await
}

#[tokio::test]
async fn a_directory_without_binaries_is_named_with_what_it_lacks() {
    let scratch = ScratchDir::new();
    let error = locate_in(scratch.path()).await.unwrap_err();
    let text = error.to_string();
    assert!(text.contains("no `postgres` in") && text.contains(scratch.path().to_str().unwrap()), "{text}");
    fake_binaries(scratch.path(), "17.2");
    fs::remove_file(scratch.join("initdb")).unwrap();
    let error = locate_in(scratch.path()).await.unwrap_err();
    assert!(error.to_string().contains("no `initdb` in"), "{error}");
}

#[tokio::test]
async fn binaries_that_are_too_old_or_broken_are_refused() {
    let scratch = ScratchDir::new();
    fake_binaries(scratch.path(), "14.20 (Debian 14.20-1)");
    let error = locate_in(scratch.path()).await.unwrap_err();
    assert!(matches!(&error, Error::TooOld { version, .. } if version == "14.20"), "{error}");
    fs::write(scratch.join("postgres"), "#!/bin/sh\necho 'libssl.so.3: not found' >&2\nexit 127\n").unwrap();
    let error = locate_in(scratch.path()).await.unwrap_err();
    assert!(error.to_string().contains("libssl.so.3: not found"), "{error}");
}

#[tokio::test]
async fn links_are_followed_and_the_root_of_an_installation_will_do() {
    let scratch = ScratchDir::new();
    fake_binaries(&scratch.join("pgsql/bin"), "17.2");
    let found = locate_in(&scratch.join("pgsql")).await.unwrap();
    assert_eq!(
        (found.dir(), found.version(), found.major()),
        (scratch.join("pgsql/bin").as_path(), "17.2", 17)
    );
    fs::create_dir(scratch.join("links")).unwrap();
    for name in ["postgres", "initdb"] {
        std::os::unix::fs::symlink(scratch.join("pgsql/bin").join(name), scratch.join("links").join(name))
            .unwrap();
    }
    assert_eq!(locate_in(&scratch.join("links")).await.unwrap().dir(), scratch.join("pgsql/bin"));
}

#[tokio::test]
async fn the_version_that_made_the_data_is_preferred() {
    let scratch = ScratchDir::new();
    fake_binaries(&scratch.join("cache/postgresql-99.1.0/bin"), "99.1");
    fake_binaries(&scratch.join("cache/postgresql-99.2.0/bin"), "99.2");
    fs::create_dir_all(scratch.join("data/cluster")).unwrap();
    fs::write(scratch.join("data/cluster/PG_VERSION"), "99\n").unwrap();
    let search = |data_dir| Search { explicit: None, cache_dir: scratch.join("cache"), data_dir };
    assert_eq!(locate(&search(Some(scratch.join("data")))).await.unwrap().version(), "99.2");
}
