//! Cleans up after the test process, however it ends.
//!
//! Rust does not drop statics, and nothing is dropped in a process that is killed. So a shell outlives the test
//! process: it reads from a pipe that nobody else writes to, and the end of that pipe is the end of the process. It has
//! a process group of its own, which Ctrl-C does not reach, and holds none of the test's outputs, on whose end
//! `cargo test` waits.

use std::{
    io::Write as _,
    os::unix::process::CommandExt as _,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{LazyLock, Mutex, PoisonError},
};

const SCRIPT: &str = concat!(include_str!("remove.sh"), include_str!("watchdog.sh"));

static WATCHDOG: LazyLock<Mutex<Child>> = LazyLock::new(|| Mutex::new(start()));

/// Has a directory, which need not be there yet, removed when this process ends, and the PostgreSQL servers in it stopped.
pub(crate) fn guard_dir(dir: &Path) {
    tell("dir", dir.display());
}

/// Has a process killed when this one ends.
pub(crate) fn guard_process(id: u32) {
    tell("process", id);
}

/// Leaves alone a process that has ended: its id may be another's soon.
pub(crate) fn forget_process(id: u32) {
    tell("ended", id);
}

/// Removes a directory now.
pub(crate) fn remove(dir: &Path) {
    let script = concat!(include_str!("remove.sh"), "remove \"$1\"");
    let removed = Command::new("sh").args(["-c", script, "sh"]).arg(dir).stdin(Stdio::null()).status();
    if let Err(error) = removed {
        panic!("cannot run `sh` to remove {}: {error}", dir.display());
    }
}

fn tell(what: &str, which: impl std::fmt::Display) {
    let mut watchdog = WATCHDOG.lock().unwrap_or_else(PoisonError::into_inner);
    let told = watchdog.stdin.as_mut().map(|pipe| writeln!(pipe, "{what} {which}"));
    assert!(matches!(told, Some(Ok(()))), "the watchdog is gone: {told:?}");
}

fn start() -> Child {
    Command::new("sh")
        .args(["-c", SCRIPT, "mesher-test-watchdog"])
        .current_dir("/")
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|error| panic!("cannot run `sh`, which cleans up after the tests: {error}"))
}
