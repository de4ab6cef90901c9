//! What the machine is: a figure says nothing without it.

use std::{fs, path::Path};

use anyhow::{Context as _, bail};
use serde::Serialize;

/// The machine that the figures are of.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Host {
    pub(crate) processor: String,
    pub(crate) cores: usize,
    pub(crate) memory_mib: u64,
    pub(crate) kernel: String,
    pub(crate) file_system: String,
    pub(crate) postgres: String,
}

impl Host {
    /// This machine, with the file system that `dir` is on. One in memory is refused: a sync costs nothing there, and all
    /// figures would be of something else.
    pub(crate) fn of(dir: &Path, postgres: &str) -> anyhow::Result<Self> {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let processor = field(&cpuinfo, "model name").unwrap_or("unknown").to_owned();
        let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let memory =
            field(&meminfo, "MemTotal").and_then(|text| text.strip_suffix(" kB")?.parse::<u64>().ok());
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned();
        let mounts =
            fs::read_to_string("/proc/self/mounts").context("the mounted file systems cannot be read")?;
        let (kind, device) = file_system(&mounts, dir).context("the directory is on no file system")?;
        if ["tmpfs", "ramfs"].contains(&kind) {
            bail!(
                "{} is in memory ({kind}), where a sync costs nothing: choose a directory on a disk with --dir",
                dir.display()
            );
        }
        Ok(Self {
            processor,
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_mib: memory.unwrap_or_default() / 1024,
            kernel,
            file_system: format!("{kind} on {device}"),
            postgres: postgres.to_owned(),
        })
    }
}

fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim())
}

/// The kind and the device of what is mounted closest above a directory. Of two at the same place the later one is seen.
fn file_system<'a>(mounts: &'a str, dir: &Path) -> Option<(&'a str, &'a str)> {
    let mounted = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ');
        let (device, place, kind) = (fields.next()?, fields.next()?, fields.next()?);
        dir.starts_with(place).then_some((place.len(), kind, device))
    });
    mounted.max_by_key(|(length, ..)| *length).map(|(_, kind, device)| (kind, device))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_closest_mount_is_found() {
        let mounts = "/dev/sda / ext4 rw 0 0\ntmpfs /tmp tmpfs rw 0 0\n/dev/sdb /tmp/disk xfs rw 0 0\n";
        let of = |dir: &str| file_system(mounts, Path::new(dir)).unwrap();
        assert_eq!(of("/home"), ("ext4", "/dev/sda"));
        assert_eq!(of("/tmp/x"), ("tmpfs", "tmpfs"));
        assert_eq!(of("/tmp/disk/y"), ("xfs", "/dev/sdb"));
        assert_eq!(of("/tmpfoo"), ("ext4", "/dev/sda"));
    }
}
