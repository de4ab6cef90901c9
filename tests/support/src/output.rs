//! What a process wrote, kept for the assertions.

use std::{
    collections::VecDeque,
    io::{BufRead as _, BufReader, Read},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use tokio::sync::watch;

/// How much is kept; of more, the oldest lines go.
const MAX_BYTES: usize = 4 << 20;

/// A longer line is cut into several.
const MAX_LINE: u64 = 64 << 10;

/// The lines of a process's outputs, in the order in which they were read.
///
/// Threads read them, not tasks: a test that blocks its runtime must not block the process that it waits for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Output {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    kept: Mutex<Kept>,
    changes: watch::Sender<u64>,
}

#[derive(Debug, Default)]
struct Kept {
    lines: VecDeque<String>,
    bytes: usize,
    open: usize,
}

impl Output {
    /// Reads a stream to its end, on a thread.
    pub(crate) fn capture(&self, stream: impl Read + Send + 'static) {
        self.kept().open += 1;
        let output = self.clone();
        let spawned = thread::Builder::new().name("test-output".to_owned()).spawn(move || {
            output.read(stream);
            output.kept().open -= 1;
            output.shared.changes.send_modify(|changes| *changes += 1);
        });
        if let Err(error) = spawned {
            panic!("cannot start a thread to read a process's output: {error}");
        }
    }

    fn read(&self, stream: impl Read) {
        let mut stream = BufReader::new(stream);
        let mut line = Vec::new();
        while let Ok(1..) = stream.by_ref().take(MAX_LINE).read_until(b'\n', &mut line) {
            self.keep(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned());
            line.clear();
        }
    }

    fn keep(&self, line: String) {
        let mut kept = self.kept();
        kept.bytes += line.len();
        kept.lines.push_back(line);
        while kept.bytes > MAX_BYTES {
            let Some(oldest) = kept.lines.pop_front() else {
                break;
            };
            kept.bytes -= oldest.len();
        }
        drop(kept);
        self.shared.changes.send_modify(|changes| *changes += 1);
    }

    /// Everything that is kept.
    pub(crate) fn text(&self) -> String {
        let kept = self.kept();
        kept.lines.iter().flat_map(|line| [line.as_str(), "\n"]).collect()
    }

    /// The first line that is wanted, of those that are kept.
    pub(crate) fn find(&self, mut wanted: impl FnMut(&str) -> bool) -> Option<String> {
        self.kept().lines.iter().find(|line| wanted(line)).cloned()
    }

    /// Whether every stream has ended.
    pub(crate) fn is_closed(&self) -> bool {
        self.kept().open == 0
    }

    /// Sees every change from now on.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changes.subscribe()
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.shared.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_newest_lines_of_a_flood_are_kept() {
        let output = Output::default();
        for number in 0..100 {
            output.keep(format!("{number} {}", "x".repeat(MAX_BYTES / 10)));
        }
        let text = output.text();
        assert!(text.len() < MAX_BYTES + 100);
        assert!(output.find(|line| line.starts_with("99 ")).is_some());
        assert!(output.find(|line| line.starts_with("0 ")).is_none());
    }

    #[test]
    fn an_endless_line_is_cut_and_bytes_that_are_no_text_are_kept() {
        let output = Output::default();
        let long = "x".repeat(usize::try_from(MAX_LINE).unwrap() + 1);
        output.read([long.as_bytes(), b"\n\xff\r\nlast"].concat().as_slice());
        let lines: Vec<String> = output.text().lines().map(str::to_owned).collect();
        assert_eq!(lines[1..], ["x", "\u{fffd}", "last"]);
    }
}
