//! The binaries: built by cargo where it runs this, and otherwise found beside this one.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, bail};

const NAMES: [&str; 3] = ["mesher-gateway", "mesher-org", "mesher-writer"];

/// The directory that cargo builds into, by where this binary is.
pub(crate) fn target_dir() -> anyhow::Result<PathBuf> {
    let executable = env::current_exe().context("this binary does not know where it is")?;
    let target = executable.ancestors().nth(2).context("this binary is in no target directory")?;
    Ok(target.to_path_buf())
}

/// The directory of the release binaries. Under cargo they are built first, which is quick when they are up to date already.
pub(crate) fn directory() -> anyhow::Result<PathBuf> {
    let target = target_dir()?;
    if let Some(cargo) = env::var_os("CARGO") {
        let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml");
        let mut command = Command::new(cargo);
        // What cargo says of this package would have build scripts that look at it run again, here and at the next build.
        for (variable, _) in env::vars_os() {
            let name = variable.to_string_lossy();
            if name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_") {
                command.env_remove(&variable);
            }
        }
        let built = command
            .args(["build", "--release", "--quiet"])
            .args(NAMES.into_iter().flat_map(|name| ["--package", name]))
            // Together with this package: alone, their dependencies would have fewer features, and be built twice.
            .args(["--package", env!("CARGO_PKG_NAME")])
            .arg("--manifest-path")
            .arg(manifest)
            .arg("--target-dir")
            .arg(&target)
            .status()
            .context("cargo cannot be run")?;
        if !built.success() {
            bail!("{NAMES:?} could not be built ({built})");
        }
    }
    let directory = target.join("release");
    for name in NAMES {
        if !directory.join(name).is_file() {
            bail!("{name} is missing: run `cargo build --release --package {name}`");
        }
    }
    Ok(directory)
}
