//! What could be under the writer, measured: `mesher-log-comparison DIRECTORY [STORE…]`.
//!
//! Each store gets a process of its own for each step, so that memory and written bytes are its own. A step prints one line
//! of a table.

mod append;
mod damage;
mod group;
mod payload;
mod process;
mod reopen;
mod stores;

use std::{
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context as _, bail};

use crate::stores::{Fjall, MesherLog, OkayWal, Plain, RaftEngine, Redb, Store};

/// How many wait for an acknowledgement at the same time.
const WAITERS: [usize; 4] = [1, 8, 64, 256];

/// How often it is measured; the median is what counts.
const ROUNDS: usize = 3;

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["--step", directory, store, step] => run(Path::new(directory), store, step),
        [directory, stores @ ..] => all(directory, stores),
        [] => bail!("usage: mesher-log-comparison DIRECTORY [STORE…]"),
    }
}

fn all(directory: &str, chosen: &[&str]) -> anyhow::Result<()> {
    let stores = if chosen.is_empty() { &stores::NAMES[..] } else { chosen };
    let steps = WAITERS.map(|waiters| waiters.to_string());
    println!(
        "\nstore | waiters | events/s | median ms | p99 ms | written/payload | events/sync | memory MiB"
    );
    for step in &steps {
        let mut lines = vec![Vec::new(); stores.len()];
        // Turn by turn: what else the machine does meets all of them.
        for _ in 0..ROUNDS {
            for (store, lines) in stores.iter().zip(&mut lines) {
                lines.push(child(directory, store, step)?);
            }
        }
        for mut lines in lines {
            lines.sort_by_key(|line| events_per_second(line));
            print!("{}", lines[lines.len() / 2]);
        }
    }
    println!("\nstore | step | seconds | memory MiB | disk MiB");
    for store in stores.iter().filter(|store| **store != Plain::NAME) {
        for step in ["fill", "reopen", "settle", "reopen-empty", "damage"] {
            print!("{}", child(directory, store, step)?);
        }
    }
    Ok(())
}

/// The second number of a line, which its table is sorted by.
fn events_per_second(line: &str) -> u64 {
    line.split(" | ").nth(2).and_then(|number| number.parse().ok()).unwrap_or(0)
}

fn child(directory: &str, store: &str, step: &str) -> anyhow::Result<String> {
    let program = std::env::current_exe()?;
    let output =
        Command::new(program).args(["--step", directory, store, step]).stderr(Stdio::inherit()).output()?;
    let mut said = String::from_utf8(output.stdout)?;
    if !output.status.success() {
        said += &format!("{store} | {step} | failed: {}\n", output.status);
    }
    Ok(said)
}

fn run(directory: &Path, store: &str, step: &str) -> anyhow::Result<()> {
    match store {
        Plain::NAME => run_for::<Plain>(directory, step),
        MesherLog::NAME => run_for::<MesherLog>(directory, step),
        OkayWal::NAME => run_for::<OkayWal>(directory, step),
        RaftEngine::NAME => run_for::<RaftEngine>(directory, step),
        Fjall::NAME => run_for::<Fjall>(directory, step),
        Redb::NAME => run_for::<Redb>(directory, step),
        _ => bail!("{store} is not compared"),
    }
}

fn run_for<S: Store>(directory: &Path, step: &str) -> anyhow::Result<()> {
    let directory = &directory.join(S::NAME);
    match step {
        "fill" => reopen::fill::<S>(directory),
        "reopen" => reopen::reopen::<S>(directory, reopen::RECORDS),
        "settle" => reopen::settle::<S>(directory),
        "reopen-empty" => reopen::reopen::<S>(directory, 0),
        "damage" => damage::damage::<S>(directory),
        waiters => append::append::<S>(directory, waiters.parse().context("a number of waiters")?),
    }
}
