//! Command-line clients that tests need.

use std::{
    env,
    fs::Metadata,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

/// Finds a command-line client, in `target/tools/bin` or on PATH.
///
/// Without it the test is to return: it is [`skipped`].
///
/// # Panics
/// If it is missing, as [`skipped`].
pub fn tool(name: &str, not_tested: &str) -> Option<PathBuf> {
    let found = places().map(|dir| dir.join(name)).find(|path| is_program(path));
    if found.is_none() {
        skipped(&format!("{name} is not installed: {not_tested}"));
    }
    found
}

/// Says on the standard error why a test is skipped, which is seen although it passes.
///
/// # Panics
/// If the variable `CI` is set: there, nothing may be skipped.
#[track_caller]
pub fn skipped(why: &str) {
    // The test harness swallows what the print macros write in a test that passes.
    let _ = writeln!(std::io::stderr(), "SKIPPED: {why}");
    assert!(env::var_os("CI").is_none_or(|value| value.is_empty()), "nothing may be skipped here: {why}");
}

fn places() -> impl Iterator<Item = PathBuf> {
    let executable = env::current_exe().unwrap_or_default();
    let built: Vec<PathBuf> = executable.ancestors().map(|dir| dir.join("tools").join("bin")).collect();
    let path = env::var_os("PATH").unwrap_or_default();
    let on_path: Vec<PathBuf> = env::split_paths(&path).collect();
    built.into_iter().chain(on_path)
}

fn is_program(path: &Path) -> bool {
    let executable = |metadata: Metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0;
    path.metadata().is_ok_and(executable)
}
