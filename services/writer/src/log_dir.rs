//! Where the log is on disk, and whether a writer without one may leave it alone.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use mesher_common::config::{ConfigError, default_data_dir};

use crate::{
    config::WriterArgs,
    engine::{Logs, SEGMENT_BYTES},
};

/// Opens the logs, or makes them.
pub(crate) async fn open(args: &WriterArgs) -> anyhow::Result<Logs> {
    let (path, shards) = (path(args)?, args.shards.get());
    Ok(tokio::task::spawn_blocking(move || Logs::open(&path, shards, SEGMENT_BYTES)).await??)
}

/// Refuses to go on without a log where one is left with events: nobody would store them.
pub(crate) fn check_none_is_left(args: &WriterArgs) -> Result<(), ConfigError> {
    // Where there can be no directory, nothing was ever written to it.
    let Ok(path) = path(args) else { return Ok(()) };
    let why = match is_left(&path) {
        Ok(false) => return Ok(()),
        Ok(true) => {
            "holds what a writer with --durability disk acknowledged, of which some may not be stored: \
                     start with --durability disk until it is empty, or move it away"
                .to_owned()
        }
        Err(error) => format!("cannot be looked at: {error}"),
    };
    Err(ConfigError { flag: "--durability", reason: format!("the log in {} {why}", path.display()) })
}

fn path(args: &WriterArgs) -> Result<PathBuf, ConfigError> {
    match &args.log_dir {
        Some(path) => Ok(path.clone()),
        None => Ok(default_data_dir("--log-dir")?.join("log")),
    }
}

/// Whether there is a segment: those are removed of which all is stored.
fn is_left(path: &Path) -> io::Result<bool> {
    for shard in entries(path)? {
        if shard.is_dir() && entries(&shard)?.iter().any(|file| file.extension() == Some("log".as_ref())) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn entries(path: &Path) -> io::Result<Vec<PathBuf>> {
    match fs::read_dir(path) {
        Ok(entries) => entries.map(|entry| Ok(entry?.path())).collect(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use chrono::Utc;
    use clap::Parser as _;
    use mesher_common::id::ProjectId;
    use mesher_testing::ScratchDir;

    use super::*;
    use crate::{
        Config,
        admission::{Sent, admit},
        log::{Log, fs::Directory},
    };

    #[test]
    fn a_log_with_events_is_not_left_behind() {
        let directory = ScratchDir::new();
        let log_dir = directory.join("log").display().to_string();
        let arguments = ["mesher-writer", "--database-url", "postgres://localhost/m", "--log-dir", &log_dir];
        let args = Config::try_parse_from(arguments).unwrap().writer;
        assert!(check_none_is_left(&args).is_ok(), "there is none");
        // As a writer leaves it that has stored all.
        Logs::open(&directory.join("log"), 2, SEGMENT_BYTES).unwrap();
        assert!(check_none_is_left(&args).is_ok());

        let shard = Directory::create(&directory.join("log").join("shard-0")).unwrap();
        let mut log = Log::open(shard, SEGMENT_BYTES, |_| ()).unwrap().0;
        let event = admit(ProjectId::new(), &Sent::Json(br#"{"message":"m"}"#), Utc::now()).unwrap();
        log.commit(&[event.record()]).unwrap();
        drop(log);
        let error = check_none_is_left(&args).unwrap_err();
        assert_eq!(error.flag, "--durability");
        assert!(error.reason.contains(&log_dir) && error.reason.contains("until it is empty"), "{error}");
    }
}
