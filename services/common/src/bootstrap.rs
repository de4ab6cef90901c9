//! What every binary does around its service: configuration, log, signals, orderly shutdown, exit status.
//!
//! | exit status | when |
//! |---|---|
//! | 0 | stopped in order after SIGTERM or SIGINT |
//! | 1 | could not start, failed while running, or did not stop within the grace period |
//! | 64 | the configuration is invalid |
//! | 130 | a second signal cut the shutdown off |

use std::{ffi::OsString, pin::pin, process::ExitCode, sync::LazyLock, time::Duration};

use anyhow::Context as _;
use tikv_jemallocator::Jemalloc;
use tokio::{
    runtime::{Builder, Runtime},
    signal::unix::{Signal, SignalKind, signal},
};

use crate::{
    causes::chain,
    config::{ConfigError, ProcessArgs, ProcessConfig},
    handle::Handle,
    telemetry::Telemetry,
};

// Here, so that every binary has it.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

/// `EX_USAGE` of sysexits.h.
const EXIT_USAGE: u8 = 64;
const EXIT_ABORTED: u8 = 130;

/// How long what is left of the tasks may take to be dropped, which tells a PostgreSQL server of this process to stop. It
/// takes no time, but for a job on a thread of its own, such as a sync of a disk that does not answer: that is left behind.
const LEAVE_LIMIT: Duration = Duration::from_millis(500);

/// Runs a service from the command line to its end: the whole of a `main`.
///
/// `name` is the binary's name. `spawn` starts the service; what it returned is reported on standard output as
/// one line, `NAME ready KIND=ADDRESS …`, once it serves.
pub fn run<C: ProcessConfig>(
    name: &'static str,
    spawn: impl AsyncFnOnce(C) -> anyhow::Result<Handle>,
) -> ExitCode {
    match parse::<C>() {
        Ok(config) => run_with(name, config, spawn, |handle| println(&handle.ready_line(name))),
        Err(code) => code,
    }
}

/// The version of every binary, with the revision that it was built from where the build was told of one, by the variable
/// `MESHER_REVISION`.
pub fn version() -> &'static str {
    static VERSION: LazyLock<String> = LazyLock::new(|| at_revision(option_env!("MESHER_REVISION")));
    &VERSION
}

fn at_revision(revision: Option<&str>) -> String {
    let version = env!("CARGO_PKG_VERSION");
    match revision {
        None | Some("") => version.to_owned(),
        Some(revision) => format!("{version} ({revision})"),
    }
}

/// Reads the configuration from the command line and the environment, or says what is wrong with it.
pub fn parse<C: clap::Parser>() -> Result<C, ExitCode> {
    parse_from(std::env::args_os()).map_err(|error| {
        // Nothing is left to do when the terminal is gone.
        let _ = error.print();
        if error.use_stderr() { ExitCode::from(EXIT_USAGE) } else { ExitCode::SUCCESS }
    })
}

fn parse_from<C: clap::Parser>(
    arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>,
) -> Result<C, clap::Error> {
    let mut command = C::command().version(version());
    let mut matches = command.try_get_matches_from_mut(arguments)?;
    C::from_arg_matches_mut(&mut matches).map_err(|error| error.format(&mut command))
}

/// As [`run`], with a configuration that was read already, and reporting by `announce`.
pub fn run_with<C: ProcessConfig>(
    name: &'static str,
    config: C,
    spawn: impl AsyncFnOnce(C) -> anyhow::Result<Handle>,
    announce: impl FnOnce(&Handle),
) -> ExitCode {
    let process = config.process().clone();
    run_once(name, &process, async move {
        let mut signals = Signals::new()?;
        serve(name, config, spawn, announce, async || signals.next().await).await
    })
}

/// Runs one piece of work that ends by itself, with a log and traces around it.
pub fn run_once(
    name: &'static str,
    process: &ProcessArgs,
    work: impl Future<Output = anyhow::Result<ExitCode>>,
) -> ExitCode {
    let runtime = match Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(name, &anyhow::Error::new(error).context("no runtime")),
    };
    run_on(runtime, async move {
        let telemetry = match Telemetry::init(name, process) {
            Ok(telemetry) => telemetry,
            Err(error) => return fail(name, &error),
        };
        let code = match work.await {
            Ok(code) => code,
            Err(error) => fail(name, &error),
        };
        send_traces(telemetry).await;
        code
    })
}

/// Runs `work` to its end, and waits for nothing that it left behind.
fn run_on(runtime: Runtime, work: impl Future<Output = ExitCode>) -> ExitCode {
    let code = runtime.block_on(work);
    // Dropped, it would wait for jobs that block, for as long as they take and deaf to signals.
    runtime.shutdown_timeout(LEAVE_LIMIT);
    code
}

/// Sends the spans that wait, until a signal says that there is no time for it.
async fn send_traces(telemetry: Telemetry) {
    // The exporter blocks; it must not block the thread that drives its connection.
    let sent = tokio::task::spawn_blocking(move || telemetry.flush());
    match Signals::new() {
        Ok(mut signals) => tokio::select! {
            _ = sent => {}
            () = signals.next() => tracing::warn!("some traces were not sent"),
        },
        Err(_) => drop(sent.await),
    }
}

/// Starts a service and runs it until it fails, or `signal` comes; the next one cuts its shutdown off.
async fn serve<C: ProcessConfig>(
    name: &'static str,
    config: C,
    spawn: impl AsyncFnOnce(C) -> anyhow::Result<Handle>,
    announce: impl FnOnce(&Handle),
    mut signal: impl AsyncFnMut(),
) -> anyhow::Result<ExitCode> {
    let grace = config.process().shutdown_grace;
    tracing::info!(name, version = version(), ?config, "starting");
    let mut handle = tokio::select! {
        handle = spawn(config) => handle?,
        () = signal() => {
            tracing::info!(name, "stopping before it has started");
            return Ok(ExitCode::SUCCESS);
        }
    };
    announce(&handle);
    let failure = tokio::select! {
        error = handle.failed() => {
            tracing::error!(name, error = %chain(error.as_ref()), "failed");
            Some(error)
        }
        () = signal() => None,
    };
    // The rest of what failed is brought down in order, so that what it holds is not lost with it.
    tracing::info!(name, ?grace, "stopping");
    let mut is_told = failure.is_none();
    let mut stopping = pin!(tokio::time::timeout(grace, handle.shutdown()));
    let stopped = loop {
        tokio::select! {
            stopped = &mut stopping => break stopped,
            () = signal() => {
                if is_told {
                    tracing::warn!(name, "cut off by a second signal");
                    return Ok(ExitCode::from(EXIT_ABORTED));
                }
                tracing::info!(name, "is stopping already; a second signal cuts that off");
                is_told = true;
            }
        }
    };
    let stopped = stopped.with_context(|| format!("did not stop within {grace:?}")).flatten();
    match (failure, stopped) {
        (None, Ok(())) => {
            tracing::info!(name, "stopped");
            Ok(ExitCode::SUCCESS)
        }
        (None, Err(error)) | (Some(error), Ok(())) => Err(error),
        (Some(failure), Err(error)) => {
            tracing::error!(name, error = %chain(error.as_ref()), "another error during the shutdown");
            Err(failure)
        }
    }
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Says on standard error why the process ends; the log may not be there yet, or filter errors out.
fn fail(name: &str, error: &anyhow::Error) -> ExitCode {
    #[expect(clippy::print_stderr, reason = "the last words of a process, for whoever started it")]
    {
        eprintln!("{name}: {}", chain(error.as_ref()));
    }
    if error.downcast_ref::<ConfigError>().is_some() { ExitCode::from(EXIT_USAGE) } else { ExitCode::FAILURE }
}

/// Prints a line on standard output for whoever started the process.
pub fn println(line: &str) {
    use std::io::Write as _;
    // A closed standard output is no reason to stop serving.
    let _ = writeln!(std::io::stdout(), "{line}");
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
    use tokio_util::sync::CancellationToken;

    use super::*;

    type Sender = UnboundedSender<()>;

    /// Long enough for a loaded machine.
    const PATIENCE: Duration = Duration::from_mins(1);

    #[derive(Debug, clap::Parser)]
    #[command(name = "test")]
    struct Config {
        #[command(flatten)]
        process: ProcessArgs,
    }

    impl ProcessConfig for Config {
        fn process(&self) -> &ProcessArgs {
            &self.process
        }
    }

    fn config() -> Config {
        parse_from(["test", "--shutdown-grace", "1h"]).unwrap()
    }

    fn broken() -> Handle {
        let task = tokio::spawn(async { anyhow::bail!("the cause") });
        Handle::new("broken", Vec::new(), CancellationToken::new(), task)
    }

    /// Serves a service that does not stop, in whose shutdown `signals` come, and `others`: how it ends.
    async fn end(others: Vec<Handle>, signals: usize, announce: impl FnOnce(&Sender)) -> ExitCode {
        let (sender, mut signal) = unbounded_channel();
        let shutdown = CancellationToken::new();
        let (told, while_stopping) = (shutdown.clone(), sender.clone());
        let task = tokio::spawn(async move {
            told.cancelled().await;
            (0..signals).for_each(|_| while_stopping.send(()).unwrap());
            std::future::pending().await
        });
        let stuck = Handle::new("stuck", Vec::new(), shutdown, task);
        let group = Handle::group("all", std::iter::once(stuck).chain(others).collect());
        let signal = async || signal.recv().await.unwrap();
        let served = serve("test", config(), async |_| Ok(group), |_| announce(&sender), signal);
        tokio::time::timeout(PATIENCE, served).await.unwrap().unwrap()
    }

    #[test]
    fn a_binary_tells_its_version_and_the_revision_that_it_was_built_from() {
        let told = parse_from::<Config>(["test", "--version"]).unwrap_err();
        assert_eq!(told.to_string(), format!("test {}\n", version()));
        let plain = env!("CARGO_PKG_VERSION");
        for (revision, expected) in
            [(None, plain), (Some(""), plain), (Some("4d712bc"), &format!("{plain} (4d712bc)"))]
        {
            assert_eq!(at_revision(revision), expected);
        }
        assert_eq!(at_revision(option_env!("MESHER_REVISION")), version());
    }

    #[test]
    fn a_job_that_blocks_keeps_no_process_from_ending() {
        let (done, is_done) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        std::thread::spawn(move || {
            let (started, is_started) = tokio::sync::oneshot::channel();
            let runtime = Builder::new_multi_thread().enable_all().build().unwrap();
            let code = run_on(runtime, async move {
                tokio::task::spawn_blocking(move || {
                    started.send(()).unwrap();
                    let _ = released.recv();
                });
                is_started.await.unwrap();
                ExitCode::from(EXIT_ABORTED)
            });
            let _ = done.send(code);
        });
        let ended = is_done.recv_timeout(PATIENCE);
        drop(release);
        assert_eq!(ended, Ok(ExitCode::from(EXIT_ABORTED)));
    }

    #[tokio::test]
    async fn a_second_signal_cuts_a_shutdown_off() {
        let code = end(vec![], 1, |signals| signals.send(()).unwrap()).await;
        assert_eq!(code, ExitCode::from(EXIT_ABORTED));
    }

    #[tokio::test]
    async fn signals_are_heard_also_when_something_has_failed() {
        assert_eq!(end(vec![broken()], 2, |_| ()).await, ExitCode::from(EXIT_ABORTED));
    }

    #[tokio::test]
    async fn what_failed_is_told_when_the_rest_has_stopped() {
        let served = serve("test", config(), async |_| Ok(broken()), |_| (), std::future::pending);
        assert_eq!(format!("{:#}", served.await.unwrap_err()), "broken failed: the cause");
    }
}
