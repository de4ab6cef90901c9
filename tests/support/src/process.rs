//! The real binaries as processes.

use std::{
    collections::BTreeMap,
    env, fs,
    net::SocketAddr,
    path::PathBuf,
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::time::{Instant, sleep, timeout_at};

use crate::{output::Output, watchdog};

/// How long a binary may take to get ready, with everything else that the tests do at the same time.
const READY_LIMIT: Duration = Duration::from_mins(1);

/// How long the rest of the output may take after the process has ended: something it started may hold it open.
const OUTPUT_LIMIT: Duration = Duration::from_secs(2);

/// A process that a test started. It is killed when this is dropped, or when the test process ends; what it wrote is
/// shown when the test panics.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    output: Output,
}

impl Process {
    /// Starts one of the workspace's binaries. Of this process's own variables it does not get those that would
    /// configure it (`MESHER_…`, `OTEL_…`, `RUST_LOG`).
    ///
    /// # Panics
    /// If the binary was not built, or cannot be run.
    pub fn start(name: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        Self::start_under(&[], name, arguments, variables)
    }

    /// The same by another program, such as a tracer, with arguments of its own. It must become the binary: its process
    /// is the one that is signalled and killed.
    ///
    /// # Panics
    /// As [`Process::start`].
    pub fn start_under(program: &[&str], name: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Self {
        let path = binary(name);
        assert!(
            path.exists(),
            "{} is missing: run `cargo build --workspace --bins` first (`cargo test --workspace` builds it too)",
            path.display()
        );
        let mut command = match program {
            [] => Command::new(path),
            [program, its_own @ ..] => {
                let mut command = Command::new(program);
                command.args(its_own).arg(path);
                command
            }
        };
        for (variable, _) in env::vars_os() {
            let text = variable.to_string_lossy();
            if text.starts_with("MESHER_") || text.starts_with("OTEL_") || text == "RUST_LOG" {
                command.env_remove(&variable);
            }
        }
        command.args(arguments).envs(variables.iter().copied());
        Self::run(name, command)
    }

    /// Starts any command; `name` is what it is called in messages.
    ///
    /// # Panics
    /// If it cannot be run.
    pub fn run(name: &str, mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot run {name}: {error}"));
        watchdog::guard_process(child.id());
        let output = Output::default();
        if let Some(stdout) = child.stdout.take() {
            output.capture(stdout);
        }
        if let Some(stderr) = child.stderr.take() {
            output.capture(stderr);
        }
        Self { name: name.to_owned(), child, output }
    }

    /// Its process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The most memory that it ever had, in MiB.
    ///
    /// # Panics
    /// If the operating system does not say.
    pub fn peak_memory(&self) -> usize {
        let status = fs::read_to_string(format!("/proc/{}/status", self.id())).unwrap_or_default();
        let kib = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
        match kib.and_then(|kib| kib.parse::<usize>().ok()) {
            Some(kib) => kib / 1024,
            None => panic!("nothing is known of the memory of {}: {status}", self.name),
        }
    }

    /// What it wrote so far, standard output and standard error together: the last 4 MiB.
    pub fn output(&self) -> String {
        self.output.text()
    }

    /// Waits up to a minute for the line that says `NAME ready KEY=ADDRESS …`, and gives the addresses.
    ///
    /// # Panics
    /// If it ends before, or takes longer; shows what it wrote.
    pub async fn ready(&mut self) -> BTreeMap<String, SocketAddr> {
        let start = format!("{} ready ", self.name);
        let line = self.wait_for_line(|line| line.starts_with(&start), READY_LIMIT).await;
        parse_addresses(&line[start.len()..]).unwrap_or_else(|| panic!("no addresses in `{line}`"))
    }

    /// Waits for a line that `wanted` accepts, and gives it. Lines that were written before count too.
    ///
    /// # Panics
    /// If the output ends before, or the time is up; shows what it wrote.
    pub async fn wait_for_line(&mut self, mut wanted: impl FnMut(&str) -> bool, timeout: Duration) -> String {
        let deadline = Instant::now() + timeout;
        let mut changes = self.output.changes();
        loop {
            // The order matters: what was written before the end is found.
            let closed = self.output.is_closed();
            if let Some(line) = self.output.find(&mut wanted) {
                return line;
            }
            let (name, written) = (&self.name, || self.output.text());
            assert!(!closed, "{name} ended before it wrote the line waited for. It wrote:\n{}", written());
            let in_time = timeout_at(deadline, changes.changed()).await;
            assert!(
                in_time.is_ok(),
                "{name} did not write the line waited for within {timeout:?}. It wrote:\n{}",
                written()
            );
        }
    }

    /// Asks it to end (SIGTERM).
    pub fn terminate(&mut self) {
        self.signal(Signal::TERM);
    }

    /// Asks it to end as Ctrl-C does (SIGINT).
    pub fn interrupt(&mut self) {
        self.signal(Signal::INT);
    }

    /// Ends it at once (SIGKILL), with no chance to clean up; what it started goes on. Waits until it is gone.
    ///
    /// # Panics
    /// If the operating system refuses.
    pub fn kill(&mut self) {
        let killed = self.child.kill().and_then(|()| self.child.wait());
        assert!(killed.is_ok(), "{} cannot be killed: {killed:?}", self.name);
        watchdog::forget_process(self.child.id());
    }

    /// Waits until it has ended, and says how. The output is complete then.
    ///
    /// # Panics
    /// If the time is up; shows what it wrote.
    pub async fn wait(&mut self, timeout: Duration) -> ExitStatus {
        let deadline = Instant::now() + timeout;
        let status = loop {
            if let Some(status) = self.ended() {
                break status;
            }
            assert!(
                Instant::now() < deadline,
                "{} did not end within {timeout:?}. It wrote:\n{}",
                self.name,
                self.output.text()
            );
            sleep(Duration::from_millis(10)).await;
        };
        watchdog::forget_process(self.child.id());
        let deadline = Instant::now() + OUTPUT_LIMIT;
        let mut changes = self.output.changes();
        while !self.output.is_closed() && timeout_at(deadline, changes.changed()).await.is_ok() {}
        status
    }

    /// How it ended, if it has.
    ///
    /// # Panics
    /// If the operating system does not say.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        let status = self.child.try_wait();
        status.unwrap_or_else(|error| panic!("cannot wait for {}: {error}", self.name))
    }

    fn signal(&mut self, signal: Signal) {
        // Once it has been waited for, its id may be another's.
        if self.ended().is_none()
            && let Some(pid) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw)
        {
            let _ = kill_process(pid, signal);
        }
    }
}

impl Drop for Process {
    #[expect(clippy::print_stderr, reason = "the test harness shows it below the panic's message")]
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        watchdog::forget_process(self.child.id());
        if std::thread::panicking() {
            eprintln!("--- {} wrote:\n{}---", self.name, self.output.text());
        }
    }
}

/// Cargo puts the binaries one directory above the test executables.
fn binary(name: &str) -> PathBuf {
    let executable = env::current_exe().unwrap_or_default();
    let dir = executable.ancestors().nth(2).unwrap_or(&executable);
    dir.join(name)
}

/// Reads `grpc=127.0.0.1:40001 admin=127.0.0.1:40002`.
fn parse_addresses(text: &str) -> Option<BTreeMap<String, SocketAddr>> {
    text.split_whitespace()
        .map(|pair| pair.split_once('=').and_then(|(key, value)| Some((key.to_owned(), value.parse().ok()?))))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_by_their_keys() {
        let addresses = parse_addresses("grpc=127.0.0.1:40001 admin=[::1]:40002").unwrap();
        assert_eq!(addresses["grpc"], "127.0.0.1:40001".parse().unwrap());
        assert_eq!(addresses["admin"], "[::1]:40002".parse().unwrap());
        assert_eq!(parse_addresses("grpc=localhost"), None);
    }
}
