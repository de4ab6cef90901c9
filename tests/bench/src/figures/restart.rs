//! `restart`: a writer is killed while PostgreSQL is away, and has left many events in its log. What the next one takes of
//! memory, and how soon it takes events in.

use std::{
    fs,
    io::{self, Read as _},
    path::Path,
    time::{Duration, Instant},
};

use crate::{
    events::Generator,
    load::{Client, closed, streams},
    numbers::mib,
    report::{Line, Reference, Report, Target},
    setup::Bench,
    verify::exactly_once,
};

const PROJECTS: usize = 20;
/// In a message of a stream.
const EVENTS_IN_A_MESSAGE: usize = 50;
/// So many events are made at once: all of them would take gigabytes.
const EVENTS_AT_ONCE: usize = 50_000;
/// How long it may take to store what was left.
const LIMIT: Duration = Duration::from_mins(10);

/// Measures it.
pub(crate) async fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let events = if bench.options.short { 3000 } else { bench.options.events.unwrap_or(1_000_000) };
    Report::say(&format!("restart: {events} events while PostgreSQL is away"));
    let events = usize::try_from(events)?;
    let projects = bench.projects(PROJECTS).await?;
    let mut generator = Generator::new(bench.options.seed);
    let writer = bench.fresh_writer().await?;
    let client = Client::connect(writer.grpc).await?;
    let mut send = async |count| {
        let samples = generator.take(count, PROJECTS)?;
        let calls = closed::calls(&samples, PROJECTS, EVENTS_IN_A_MESSAGE);
        streams::send(&client, &projects.all, &calls).await
    };
    // While PostgreSQL is there the writer learns the keys.
    let mut tally = send(PROJECTS).await?;
    bench.server.stop().await?;
    while tally.acknowledged.len() < events {
        tally.add(send(EVENTS_AT_ONCE.min(events - tally.acknowledged.len())).await?);
    }
    let before = writer.memory()?;
    writer.kill();
    bench.server.start_again().await?;
    let (bytes, read) = read_all(bench.log_dir())?;

    let started = Instant::now();
    let mut writer = bench.next_writer().await?;
    let ready = started.elapsed();
    let at_start = writer.memory()?;
    writer.wait_until_buffered(0, LIMIT).await?;
    let stored = started.elapsed();
    let peak = writer.memory()?;
    writer.stop().await?;
    exactly_once(&mut bench.server.connect().await?, &tally.acknowledged, 0).await?;

    let line = |what: &str, value: f64, unit, reference, target| Line {
        figure: "restart",
        what: what.to_owned(),
        value: value.into(),
        unit,
        reference,
        target,
    };
    let report = &mut bench.report;
    report.line(line("peak memory", mib(peak.peak_kib), "MiB", None, Some(Target::AtMost(100.0))));
    let reading = Reference { what: "reading the log's files", value: read.as_secs_f64().into() };
    report.line(line("ready", ready.as_secs_f64(), "s", Some(reading), None));
    report.line(line("stored", stored.as_secs_f64(), "s", None, None));
    report.note(format!(
        "restart: {} events were left, in {:.0} MiB of log; the writer before had {:.0} MiB of memory, the next one {:.0} MiB \
         when it was ready",
        tally.acknowledged.len(),
        mib(bytes / 1024),
        mib(before.peak_kib),
        mib(at_start.peak_kib),
    ));
    Ok(())
}

/// Reads all files below a directory: how many bytes they have, and how long it took.
fn read_all(directory: &Path) -> io::Result<(u64, Duration)> {
    let started = Instant::now();
    let mut buffer = vec![0; 1 << 20];
    let (mut bytes, mut directories) = (0, vec![directory.to_owned()]);
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(directory)? {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                directories.push(entry.path());
                continue;
            }
            let mut file = fs::File::open(entry.path())?;
            loop {
                let length = file.read(&mut buffer)?;
                if length == 0 {
                    break;
                }
                bytes += u64::try_from(length).map_err(io::Error::other)?;
            }
        }
    }
    Ok((bytes, started.elapsed()))
}
