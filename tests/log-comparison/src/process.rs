//! What the system says of this process and of a directory.

use std::{fs, path::Path};

use anyhow::Context as _;

/// How many bytes this process has caused to be written to the disk.
pub fn written_bytes() -> anyhow::Result<u64> {
    field(&fs::read_to_string("/proc/self/io")?, "write_bytes:")
}

/// How many MiB of memory are this process's own now: a file that is mapped or cached is not among them.
pub fn memory_mib() -> anyhow::Result<u64> {
    Ok(field(&fs::read_to_string("/proc/self/status")?, "RssAnon:")? / 1024)
}

/// How many MiB the files in a directory take on the disk.
pub fn disk_mib(directory: &Path) -> anyhow::Result<f64> {
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    Ok(disk_bytes(directory)? as f64 / f64::from(1 << 20))
}

fn disk_bytes(directory: &Path) -> anyhow::Result<u64> {
    use std::os::unix::fs::MetadataExt as _;
    let mut bytes = 0;
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        bytes += if metadata.is_dir() { disk_bytes(&entry.path())? } else { metadata.blocks() * 512 };
    }
    Ok(bytes)
}

fn field(text: &str, name: &str) -> anyhow::Result<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name)).context("a field is missing")?;
    Ok(value.trim().trim_end_matches(" kB").parse()?)
}
