//! Where PostgreSQL's binaries usually are.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

/// Where distributions put the server's programs. `*` stands for the version in a name.
const USUAL: &[&str] = &[
    "/usr/lib/postgresql/*/bin",
    "/usr/pgsql-*/bin",
    "/usr/lib/postgresql*/bin",
    "/usr/libexec/postgresql*",
    "/usr/local/pgsql/bin",
    "/opt/homebrew/opt/postgresql@*/bin",
    "/usr/local/opt/postgresql@*/bin",
    "/home/linuxbrew/.linuxbrew/opt/postgresql@*/bin",
    "/Applications/Postgres.app/Contents/Versions/*/bin",
];

/// The directories to look in, the best first: PATH, the usual places, what was fetched before.
pub(crate) fn candidates(cache_dir: &Path) -> Vec<PathBuf> {
    let on_path = env::var_os("PATH").unwrap_or_default();
    let on_path = env::split_paths(&on_path).filter_map(|dir| {
        // The programs look for their siblings beside the real file, not beside a link to it.
        let program = fs::canonicalize(dir.join("postgres")).ok()?;
        program.parent().map(Path::to_path_buf)
    });
    let usual = USUAL.iter().flat_map(|pattern| expand(Path::new(pattern)));
    let fetched = expand(&cache_dir.join("postgresql-*").join("bin"));
    let mut found = Vec::new();
    for dir in on_path.chain(usual).chain(fetched) {
        if dir.join("postgres").exists() && !found.contains(&dir) {
            found.push(dir);
        }
    }
    found
}

/// The directories that a pattern with at most one `*` stands for, the newest version first.
fn expand(pattern: &Path) -> Vec<PathBuf> {
    let starred = pattern
        .ancestors()
        .find(|path| path.file_name().is_some_and(|name| name.to_string_lossy().contains('*')));
    let Some((starred, parent)) = starred.and_then(|path| Some((path, path.parent()?))) else {
        return vec![pattern.to_path_buf()];
    };
    let name = starred.file_name().unwrap_or_default().to_string_lossy();
    let (before, after) = name.split_once('*').unwrap_or((&name, ""));
    let rest = pattern.strip_prefix(starred).unwrap_or(Path::new(""));
    let mut versions: Vec<(Vec<u32>, PathBuf)> = fs::read_dir(parent)
        .into_iter()
        .flatten()
        .filter_map(|entry| {
            let name = entry.ok()?.file_name().into_string().ok()?;
            let version = name.strip_prefix(before)?.strip_suffix(after)?;
            let numbers = version.split('.').map(str::parse).collect::<Result<_, _>>().ok()?;
            Some((numbers, parent.join(&name).join(rest)))
        })
        .collect();
    versions.sort();
    versions.into_iter().rev().map(|(_, path)| path).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_version_comes_first_by_number() {
        let root = tempfile::tempdir().unwrap();
        for name in ["pg-9.6", "pg-15", "pg-17.2", "pg-17.10", "pg-beta", "other"] {
            fs::create_dir_all(root.path().join(name).join("bin")).unwrap();
        }
        let found = expand(&root.path().join("pg-*").join("bin"));
        let expected = ["pg-17.10", "pg-17.2", "pg-15", "pg-9.6"];
        let expected: Vec<PathBuf> = expected.iter().map(|name| root.path().join(name).join("bin")).collect();
        assert_eq!(found, expected);
    }
}
