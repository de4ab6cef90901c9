//! What an earlier run left behind, and another that runs still.

use std::{
    env, fs,
    os::unix::{fs::MetadataExt as _, process::CommandExt as _},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use mesher_postgres::Error;
use mesher_testing::{Process, ScratchDir, eventually};
use rustix::process::{Pid, Signal, kill_process};

use crate::{TIMEOUT, add_row, connect, gone, has_row, is_alive, try_start};

const CHILD_DATA_DIR: &str = "TEST_CHILD_DATA_DIR";

/// Runs a server in a process of its own, which can be killed. It is this test executable, with a variable set.
fn child(data_dir: &Path) -> Process {
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args(["takeover::the_child_process", "--exact", "--nocapture"])
        .env(CHILD_DATA_DIR, data_dir)
        .env("TMPDIR", data_dir.parent().unwrap());
    Process::run("the child process", command)
}

#[tokio::test]
async fn the_child_process() {
    let Some(data_dir) = env::var_os(CHILD_DATA_DIR).map(PathBuf::from) else {
        return;
    };
    let postgres = try_start(&data_dir).await.unwrap();
    add_row(&postgres).await;
    // On a line of its own, after what the test harness wrote.
    let line = format!("\nserver {} socket {}\n", postgres.pid().unwrap(), postgres.socket_dir().display());
    std::io::Write::write_all(&mut std::io::stdout(), line.as_bytes()).unwrap();
    std::future::pending::<()>().await;
}

/// Kills a process that has started a server, and gives the server's process id and the socket's directory.
async fn leave_server_behind(data_dir: &Path) -> (u32, PathBuf) {
    let mut child = child(data_dir);
    let line = child.wait_for_line(|line| line.starts_with("server "), TIMEOUT).await;
    let (pid, socket_dir) = line["server ".len()..].split_once(" socket ").unwrap();
    child.kill();
    let pid = pid.parse().unwrap();
    assert!(is_alive(pid), "the server should outlive its parent");
    (pid, socket_dir.into())
}

#[tokio::test]
async fn a_server_that_outlived_its_parent_is_stopped_and_its_data_kept() {
    let scratch = ScratchDir::new();
    let (old, _) = leave_server_behind(&scratch.join("data")).await;
    let postgres = try_start(&scratch.join("data")).await.unwrap();
    assert!(!is_alive(old));
    assert_ne!(postgres.pid(), Some(old));
    assert!(has_row(&postgres).await);
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn a_socket_directory_that_outlived_its_parent_is_removed() {
    let scratch = ScratchDir::new();
    let data_dir = scratch.join("x".repeat(100));
    let (_, socket_dir) = leave_server_behind(&data_dir).await;
    assert!(!socket_dir.starts_with(&data_dir));
    let postgres = try_start(&data_dir).await.unwrap();
    assert!(!socket_dir.exists());
    assert!(has_row(&postgres).await);
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn a_pid_file_whose_number_went_to_another_program_does_no_harm() {
    let scratch = ScratchDir::new();
    let data_dir = scratch.join("data");
    let (old, _) = leave_server_behind(&data_dir).await;
    let pid_file = data_dir.join("cluster/postmaster.pid");
    kill_process(Pid::from_raw(i32::try_from(old).unwrap()).unwrap(), Signal::KILL).unwrap();
    gone(old).await;
    let mut command = Command::new("sleep");
    command.arg("600");
    if rustix::process::geteuid().is_root() {
        // PostgreSQL minds only the processes of its own user.
        command.uid(fs::metadata(data_dir.join("cluster")).unwrap().uid());
    }
    let stranger = Process::run("sleep", command);
    for file in [pid_file, data_dir.join("run/.s.PGSQL.5432.lock")] {
        let text = fs::read_to_string(&file).unwrap();
        fs::write(&file, text.replacen(&old.to_string(), &stranger.id().to_string(), 1)).unwrap();
    }
    let postgres = try_start(&data_dir).await.unwrap();
    assert!(has_row(&postgres).await);
    assert!(is_alive(stranger.id()));
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn a_directory_that_another_process_uses_is_refused_and_left_alone() {
    let scratch = ScratchDir::new();
    let data_dir = scratch.join("data");
    let mut child = child(&data_dir);
    child.wait_for_line(|line| line.starts_with("server "), TIMEOUT).await;
    let error = try_start(&data_dir).await.unwrap_err();
    assert!(matches!(&error, Error::InUse { owner, .. } if *owner == child.id().to_string()), "{error}");
    assert!(error.to_string().contains(data_dir.to_str().unwrap()), "{error}");
    child.kill();
    let postgres = try_start(&data_dir).await.unwrap();
    let error = try_start(&data_dir).await.unwrap_err();
    assert!(matches!(error, Error::InUse { .. }), "{error}");
    connect(&postgres).await;
    postgres.stop().await.unwrap();
}

#[tokio::test]
async fn a_first_start_that_was_cut_off_anywhere_is_followed_by_one_that_works() {
    for pause in [0, 50, 200, 400] {
        let scratch = ScratchDir::new();
        let data_dir = scratch.join("data");
        let mut child = child(&data_dir);
        eventually("the start of initdb", TIMEOUT, async || data_dir.join("password").exists()).await;
        tokio::time::sleep(Duration::from_millis(pause)).await;
        child.kill();
        let postgres = try_start(&data_dir).await.unwrap();
        connect(&postgres).await;
        postgres.stop().await.unwrap();
        let names =
            fs::read_dir(&data_dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        assert_eq!(names.filter(|name| name.starts_with("cluster.new")).count(), 0, "after {pause} ms");
    }
}
