//! A process and those that it started.

use std::{fs, time::Duration};

use rustix::process::{Pid, Signal, kill_process};

use crate::eventually;

/// A loaded machine may take a while to end a process.
const LIMIT: Duration = Duration::from_secs(30);

/// Kills a process and its children at once, and waits until all but the process itself, which its parent waits for, are
/// gone.
pub(crate) async fn kill(parent: u32) {
    // While it is stopped it starts no others. Where there is no `/proc`, there is no telling.
    signal(parent, Signal::STOP);
    eventually("the process stopped", LIMIT, async || {
        stat(parent).is_none_or(|(state, _)| "TZ".contains(state))
    })
    .await;
    let children = children(parent);
    for process in children.iter().chain([&parent]) {
        signal(*process, Signal::KILL);
    }
    eventually("the end of the processes", LIMIT, async || {
        children.iter().all(|child| stat(*child).is_none_or(|(state, _)| state == 'Z'))
    })
    .await;
}

fn signal(process: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(process).ok().and_then(Pid::from_raw) {
        // One that has just ended is as good as one that was killed.
        let _ = kill_process(pid, signal);
    }
}

fn children(parent: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|process| stat(*process).is_some_and(|(_, of)| of == parent))
        .collect()
}

/// A process's state and parent, by `/proc/PID/stat`: `7 (name) S 1 …`; a name may hold anything.
fn stat(process: u32) -> Option<(char, u32)> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let mut rest = text.rsplit_once(')')?.1.split_whitespace();
    Some((rest.next()?.chars().next()?, rest.next()?.parse().ok()?))
}
