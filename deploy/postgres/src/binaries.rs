//! Finds PostgreSQL's server programs.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use crate::{directory, download, error::Error, places};

/// The oldest major version of PostgreSQL that Mesher supports.
pub const MIN_MAJOR: u32 = 15;

/// The programs that a usable directory has.
const PROGRAMS: [&str; 2] = ["postgres", "initdb"];

/// Where to look for PostgreSQL's binaries.
#[derive(Clone, Debug)]
pub struct Search {
    /// The directory that the user named; nowhere else is looked then.
    pub explicit: Option<PathBuf>,
    /// Where fetched binaries are kept. Made when something is fetched; about 100 MB a version.
    pub cache_dir: PathBuf,
    /// The data that they are for: binaries of the major version that made it are preferred.
    pub data_dir: Option<PathBuf>,
}

/// A directory with usable PostgreSQL binaries.
#[derive(Clone, Debug)]
pub struct Binaries {
    dir: PathBuf,
    version: String,
    major: u32,
}

impl Binaries {
    /// Where they are.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Their version as PostgreSQL writes it, such as `17.2`.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Their major version, such as 17.
    pub fn major(&self) -> u32 {
        self.major
    }

    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Looks at the binaries in a directory. Links are followed, and an installation's root stands for its `bin`.
    pub(crate) fn inspect(dir: &Path) -> Result<Self, Error> {
        let bin = dir.join("bin");
        let dir = if !dir.join("postgres").exists() && bin.join("postgres").exists() { &bin } else { dir };
        if let Some(program) = PROGRAMS.into_iter().find(|name| !dir.join(name).is_file()) {
            return Err(Error::NoBinaries { dir: dir.to_path_buf(), program });
        }
        let unusable = |why: String| Error::UnusableBinaries { dir: dir.to_path_buf(), why };
        let program = fs::canonicalize(dir.join("postgres")).map_err(|error| unusable(error.to_string()))?;
        let output = Command::new(&program)
            .arg("--version")
            .output()
            .map_err(|error| unusable(format!("`postgres --version` does not run: {error}")))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let Some((version, major)) = parse_version(&text).filter(|_| output.status.success()) else {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(unusable(format!("`postgres --version` says `{}{}`", text.trim(), said.trim())));
        };
        let dir = program.parent().unwrap_or(dir).to_path_buf();
        if major < MIN_MAJOR {
            return Err(Error::TooOld { dir, version });
        }
        Ok(Self { dir, version, major })
    }
}

/// Finds PostgreSQL's binaries: where the user says; else on PATH, in the distributions' usual places, and among what
/// was fetched before; else fetches them, which takes up to about ten minutes and is logged.
pub async fn locate(search: &Search) -> Result<Binaries, Error> {
    if let Some(dir) = &search.explicit {
        return Binaries::inspect(dir);
    }
    let (mut usable, mut passed_over) = (Vec::new(), String::new());
    for dir in places::candidates(&search.cache_dir) {
        match Binaries::inspect(&dir) {
            Ok(binaries) => usable.push(binaries),
            Err(error) => {
                tracing::debug!(%error, "passing over PostgreSQL binaries");
                let separator = if passed_over.is_empty() { " (" } else { "; " };
                let _ = write!(passed_over, "{separator}{error}");
            }
        }
    }
    if !passed_over.is_empty() {
        passed_over.push(')');
    }
    let wanted = search.data_dir.as_deref().and_then(directory::made_by);
    let position = match wanted {
        Some(major) => usable.iter().position(|binaries| binaries.major == major),
        None => (!usable.is_empty()).then_some(0),
    };
    if let Some(position) = position {
        return Ok(usable.swap_remove(position));
    }
    match download::fetch(&search.cache_dir, wanted).await {
        Ok(binaries) => Ok(binaries),
        // The start then says which version made the data.
        Err(why) if !usable.is_empty() => {
            tracing::warn!(%why, "the version of PostgreSQL that made the data could not be fetched");
            Ok(usable.swap_remove(0))
        }
        Err(download) => Err(Error::NotFound { passed_over, download }),
    }
}

/// Reads `postgres (PostgreSQL) 17.2 (Debian 17.2-1)`.
fn parse_version(text: &str) -> Option<(String, u32)> {
    let version = text.split_once("(PostgreSQL)")?.1.split_whitespace().next()?;
    let digits = version.find(|character: char| !character.is_ascii_digit()).unwrap_or(version.len());
    Some((version.to_owned(), version.get(..digits)?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_as_distributions_write_them() {
        let read = |text| parse_version(text).map(|(version, major)| format!("{version} {major}"));
        assert_eq!(
            read("postgres (PostgreSQL) 15.14 (Debian 15.14-0+deb12u1)\n").as_deref(),
            Some("15.14 15")
        );
        assert_eq!(read("postgres (PostgreSQL) 18.1\n").as_deref(), Some("18.1 18"));
        assert_eq!(read("postgres (PostgreSQL) 19beta1").as_deref(), Some("19beta1 19"));
        assert_eq!(read("postgres (PostgreSQL) 9.6.24").as_deref(), Some("9.6.24 9"));
        assert_eq!(read("postgres: command failed"), None);
    }
}
