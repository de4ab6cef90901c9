//! Directories that go away.

use std::{
    env,
    fs::{self, Permissions},
    io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use crate::watchdog;

/// Where Linux has a file system in memory that everyone can write to.
const IN_MEMORY: &str = "/dev/shm";

/// How much that file system must have free: containers often give it 64 MB.
const MIN_FREE_BYTES: u64 = 2 << 30;

/// How much memory must be available, so that there is enough left for everything else.
const MIN_AVAILABLE_KIB: u64 = 6 << 20;

/// An empty directory among the temporary files.
///
/// It is removed when this is dropped, or else when the test process ends, whichever way. A PostgreSQL server whose
/// data is in it, up to four directories deep, is stopped first: also one that a killed `mesher` left running. What is mounted
/// in it is unmounted.
#[derive(Debug)]
pub struct ScratchDir {
    path: PathBuf,
}

impl ScratchDir {
    /// Makes the directory.
    ///
    /// # Panics
    /// If it cannot be made.
    #[expect(clippy::new_without_default, reason = "a default value that is a new directory would surprise")]
    pub fn new() -> Self {
        Self::new_in(&env::temp_dir())
    }

    /// Makes the directory in memory where there is plenty of it: a copy of a database is some 900
    /// files, which are made ten times as fast there.
    pub(crate) fn new_in_memory() -> Self {
        if has_memory() { Self::new_in(Path::new(IN_MEMORY)) } else { Self::new() }
    }

    fn new_in(parent: &Path) -> Self {
        let parent = fs::canonicalize(parent).unwrap_or_else(|error| cannot_make(parent, &error));
        let path = parent.join(format!("mesher-test-{:016x}", rand::random::<u64>()));
        // First, so that there is no moment in which the directory is there and not guarded.
        watchdog::guard_dir(&path);
        // As root, PostgreSQL runs as someone else, who has to get through; the file mode mask may say otherwise.
        fs::create_dir(&path)
            .and_then(|()| fs::set_permissions(&path, Permissions::from_mode(0o711)))
            .unwrap_or_else(|error| cannot_make(&path, &error));
        Self { path }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Mounts a file system of so many bytes in it, in memory, and says where: nowhere if this user may not mount any.
    ///
    /// # Panics
    /// If there is something of that name.
    pub fn mount(&self, name: &str, bytes: u32) -> Option<PathBuf> {
        let place = self.join(name);
        fs::create_dir(&place).unwrap_or_else(|error| cannot_make(&place, &error));
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", &format!("size={bytes}"), "tmpfs"]).arg(&place);
        command.output().is_ok_and(|output| output.status.success()).then_some(place)
    }

    /// The path of something in it.
    pub fn join(&self, name: impl AsRef<Path>) -> PathBuf {
        self.path.join(name)
    }
}

impl Drop for ScratchDir {
    fn drop(&mut self) {
        watchdog::remove(&self.path);
    }
}

fn cannot_make(path: &Path, error: &io::Error) -> ! {
    panic!("cannot make a temporary directory, {}: {error}", path.display())
}

fn has_memory() -> bool {
    // Whoever says where temporary files go is obeyed.
    if env::var_os("TMPDIR").is_some() {
        return false;
    }
    let free = rustix::fs::statvfs(IN_MEMORY).map_or(0, |stat| stat.f_bavail.saturating_mul(stat.f_frsize));
    let available = fs::read_to_string("/proc/meminfo").ok().and_then(|text| {
        let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
        line.trim().strip_suffix("kB")?.trim().parse().ok()
    });
    free >= MIN_FREE_BYTES && available.unwrap_or(0) >= MIN_AVAILABLE_KIB
}
