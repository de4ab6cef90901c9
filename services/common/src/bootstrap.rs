//! What every binary does around its service: configuration, log, signals, orderly shutdown, exit status.
//!
//! | exit status | when |
//! |---|---|
//! | 0 | stopped in order after SIGTERM or SIGINT |
//! | 1 | could not start, failed while running, or did not stop within the grace period |
//! | 64 | the configuration is invalid |
//! | 130 | a second signal cut the shutdown off |

use std::process::ExitCode;

use anyhow::Context as _;
use tikv_jemallocator::Jemalloc;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::{
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

/// Reads the configuration from the command line and the environment, or says what is wrong with it.
pub fn parse<C: clap::Parser>() -> Result<C, ExitCode> {
    C::try_parse().map_err(|error| {
        // Nothing is left to do when the terminal is gone.
        let _ = error.print();
        if error.use_stderr() { ExitCode::from(EXIT_USAGE) } else { ExitCode::SUCCESS }
    })
}

/// As [`run`], with a configuration that was read already, and reporting by `announce`.
pub fn run_with<C: ProcessConfig>(
    name: &'static str,
    config: C,
    spawn: impl AsyncFnOnce(C) -> anyhow::Result<Handle>,
    announce: impl FnOnce(&Handle),
) -> ExitCode {
    let process = config.process().clone();
    run_once(name, &process, serve(name, config, spawn, announce))
}

/// Runs one piece of work that ends by itself, with a log and traces around it.
pub fn run_once(
    name: &'static str,
    process: &ProcessArgs,
    work: impl Future<Output = anyhow::Result<ExitCode>>,
) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(name, &anyhow::Error::new(error).context("no runtime")),
    };
    runtime.block_on(async move {
        let telemetry = match Telemetry::init(name, process) {
            Ok(telemetry) => telemetry,
            Err(error) => return fail(name, &error),
        };
        let code = match work.await {
            Ok(code) => code,
            Err(error) => fail(name, &error),
        };
        // The exporter blocks; it must not block the thread that drives its connection.
        let _ = tokio::task::spawn_blocking(move || telemetry.flush()).await;
        code
    })
}

async fn serve<C: ProcessConfig>(
    name: &'static str,
    config: C,
    spawn: impl AsyncFnOnce(C) -> anyhow::Result<Handle>,
    announce: impl FnOnce(&Handle),
) -> anyhow::Result<ExitCode> {
    let mut signals = Signals::new()?;
    let grace = config.process().shutdown_grace;
    tracing::info!(name, version = env!("CARGO_PKG_VERSION"), ?config, "starting");
    let mut handle = tokio::select! {
        handle = spawn(config) => handle?,
        () = signals.next() => return Ok(ExitCode::SUCCESS),
    };
    announce(&handle);
    tokio::select! {
        error = handle.failed() => {
            // The rest is brought down in order, so that what it holds is not lost with what failed.
            let _ = tokio::time::timeout(grace, handle.shutdown()).await;
            return Err(error);
        }
        () = signals.next() => {}
    }
    tracing::info!(name, ?grace, "stopping");
    tokio::select! {
        stopped = tokio::time::timeout(grace, handle.shutdown()) => {
            stopped.with_context(|| format!("did not stop within {grace:?}"))??;
            tracing::info!(name, "stopped");
            Ok(ExitCode::SUCCESS)
        }
        () = signals.next() => {
            tracing::warn!(name, "cut off by a second signal");
            Ok(ExitCode::from(EXIT_ABORTED))
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
        eprintln!("{name}: {error:#}");
    }
    if error.downcast_ref::<ConfigError>().is_some() { ExitCode::from(EXIT_USAGE) } else { ExitCode::FAILURE }
}

/// Prints a line on standard output for whoever started the process.
pub fn println(line: &str) {
    use std::io::Write as _;
    // A closed standard output is no reason to stop serving.
    let _ = writeln!(std::io::stdout(), "{line}");
}
