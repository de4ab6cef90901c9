//! Stops a server that outlived the process that started it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{Instant, sleep};

use crate::{error::Error, socket};

/// How long a server gets for a fast shutdown, which writes out everything it holds in memory.
pub(crate) const FAST_LIMIT: Duration = Duration::from_secs(30);

/// How long it gets for an immediate one, which leaves the work to the next start.
pub(crate) const IMMEDIATE_LIMIT: Duration = Duration::from_secs(10);

/// What the pid file of a cluster says.
#[derive(Debug, Eq, PartialEq)]
struct PidFile {
    pid: i32,
    socket_dir: Option<PathBuf>,
}

/// Whose the process id in a pid file is.
#[derive(Debug, Eq, PartialEq)]
enum Owner {
    /// The server of this cluster.
    Server,
    /// A PostgreSQL process, of this cluster or of another.
    SomePostgres,
    /// Nobody, or something that is no PostgreSQL.
    Stranger,
}

/// Stops the server that still runs on a cluster, if there is one.
///
/// Gives the process id in the pid file if it has since gone to a process that is no PostgreSQL: the server would take
/// that for a running one and refuse to start.
pub(crate) async fn stop(cluster: &Path) -> Result<Option<i32>, Error> {
    let Some(file) = read_pid_file(cluster) else {
        return Ok(None);
    };
    let stale = match owner(file.pid, cluster) {
        Owner::Server => {
            tracing::info!(pid = file.pid, "stopping the PostgreSQL server that an earlier run left behind");
            stop_server(file.pid, cluster).await?;
            None
        }
        Owner::SomePostgres => None,
        Owner::Stranger => Some(file.pid),
    };
    if let Some(dir) = file.socket_dir {
        socket::remove_leftover(&dir);
    }
    Ok(stale)
}

async fn stop_server(pid: i32, cluster: &Path) -> Result<(), Error> {
    let wont_stop = || Error::WontStop { pid, dir: cluster.to_path_buf() };
    let id = Pid::from_raw(pid).ok_or_else(wont_stop)?;
    for (signal, limit) in [(Signal::INT, FAST_LIMIT), (Signal::QUIT, IMMEDIATE_LIMIT)] {
        // It may be gone by now, which the loop finds out; and where it may not be signalled, that it stays.
        let _ = kill_process(id, signal);
        let deadline = Instant::now() + limit;
        while Instant::now() < deadline {
            if owner(pid, cluster) != Owner::Server {
                return Ok(());
            }
            sleep(Duration::from_millis(20)).await;
        }
    }
    Err(wont_stop())
}

/// The file has the process id in its first line, and the socket's directory in its fifth.
fn read_pid_file(cluster: &Path) -> Option<PidFile> {
    let text = fs::read_to_string(cluster.join("postmaster.pid")).ok()?;
    let mut lines = text.lines();
    let pid = lines.next()?.trim().parse().ok().filter(|pid| *pid > 0)?;
    let socket_dir = lines.nth(3).filter(|line| !line.is_empty()).map(PathBuf::from);
    Some(PidFile { pid, socket_dir })
}

fn owner(pid: i32, cluster: &Path) -> Owner {
    let arguments = arguments(pid);
    let is_postgres = arguments
        .first()
        .is_some_and(|program| Path::new(program).file_name().is_some_and(|name| name == "postgres"));
    if !is_postgres {
        return Owner::Stranger;
    }
    // The server is always given its cluster by the same absolute path.
    let is_ours = arguments.iter().any(|argument| Path::new(argument) == cluster);
    if is_ours { Owner::Server } else { Owner::SomePostgres }
}

/// The command line of a process; empty if there is none, as that of a dead process that nobody waited for.
fn arguments(pid: i32) -> Vec<String> {
    if Path::new("/proc/self/cmdline").exists() {
        let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        return bytes
            .split(|byte| *byte == 0)
            .map(|part| String::from_utf8_lossy(part).into_owned())
            .collect();
    }
    let output = Command::new("ps").args(["-ww", "-o", "command=", "-p", &pid.to_string()]).output();
    let line = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    // `ps` does not say where an argument ends; the cluster is the last one, so its spaces do no harm.
    let Some((program, rest)) = line.trim().split_once(' ') else {
        return vec![line.trim().to_owned()];
    };
    let last = rest.split_once("-D ").map_or(rest, |(_, after)| after);
    vec![program.to_owned(), last.to_owned()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pid_file_is_read_whole_cut_off_and_empty() {
        let dir = tempfile::tempdir().unwrap();
        let read = |text: &str| {
            fs::write(dir.path().join("postmaster.pid"), text).unwrap();
            read_pid_file(dir.path())
        };
        let whole = "4711\n/data/cluster\n1700000000\n5432\n/data/run\n\n  1234  5\nready\n";
        assert_eq!(read(whole), Some(PidFile { pid: 4711, socket_dir: Some("/data/run".into()) }));
        assert_eq!(read("4711\n/data/cluster\n"), Some(PidFile { pid: 4711, socket_dir: None }));
        assert_eq!(read(""), None);
        assert_eq!(read("-4\n"), None);
    }

    #[test]
    fn a_process_that_is_no_postgres_is_a_stranger() {
        let this = i32::try_from(std::process::id()).unwrap();
        assert_eq!(owner(this, Path::new("/data/cluster")), Owner::Stranger);
    }
}
