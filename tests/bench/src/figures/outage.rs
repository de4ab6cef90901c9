//! `outage`: PostgreSQL is away for minutes, and events go on coming in. What the writer takes of memory must not grow
//! with what waits, and everything that was acknowledged must be in the table in the end.

use std::{
    cell::Cell,
    ops::ControlFlow,
    time::{Duration, Instant},
};

use sqlx::{Connection as _, PgConnection};
use tokio::time::{MissedTickBehavior, interval, sleep};

use crate::{
    events::Generator,
    load::{
        Client,
        open::{self, Sent},
    },
    numbers::{float, median, mib},
    report::{Line, Reference, Report, Target},
    setup::{Bench, Server, Writer},
    verify::exactly_once,
};

const PROJECTS: usize = 20;

/// When and how PostgreSQL is away.
struct Plan {
    warm_up: Duration,
    away: Duration,
    lock: bool,
}

/// The time without a database.
struct Outage {
    began: Instant,
    ended: Instant,
    /// The writer's memory each second, in MiB.
    memory: Vec<f64>,
}

/// Measures it.
pub(crate) async fn run(bench: &mut Bench) -> anyhow::Result<()> {
    let (warm_up, away, rate) = if bench.options.short {
        (Duration::from_secs(3), Duration::from_secs(12), bench.options.rate.min(500))
    } else {
        let minutes = bench.options.minutes.unwrap_or(10);
        (Duration::from_secs(10), Duration::from_mins(minutes.into()), bench.options.rate)
    };
    let how = if bench.options.lock { "the table locked" } else { "PostgreSQL away" };
    Report::say(&format!("outage: {rate} events/s, {how} for {} s", away.as_secs()));
    let projects = bench.projects(PROJECTS).await?;
    let mut generator = Generator::new(bench.options.seed);
    let writer = bench.fresh_writer().await?;
    let client = Client::connect(writer.grpc).await?;
    let over = Cell::new(false);
    let next = |number: u64| {
        if over.get() {
            return Ok(ControlFlow::Break(()));
        }
        let project = usize::try_from(number)? % PROJECTS;
        generator.event(project).map(ControlFlow::Continue)
    };
    let plan = Plan { warm_up, away, lock: bench.options.lock };
    let sending = open::send(&client, &projects.all, rate, next);
    let (sent, outage) = tokio::try_join!(sending, interrupt(&mut bench.server, &writer, &plan, &over))?;
    client.flush(&projects).await?;
    let drained = outage.ended.elapsed();
    let peak = writer.memory()?;
    writer.stop().await?;
    let unanswered = sent.tally.refusals.values().sum();
    exactly_once(&mut bench.server.connect().await?, &sent.tally.acknowledged, unanswered).await?;
    add(bench, &sent, &outage, rate, mib(peak.peak_kib), drained);
    Ok(())
}

async fn interrupt(
    server: &mut Server,
    writer: &Writer,
    plan: &Plan,
    over: &Cell<bool>,
) -> anyhow::Result<Outage> {
    sleep(plan.warm_up).await;
    let lock = if plan.lock { Some(lock(server).await?) } else { None };
    if lock.is_none() {
        server.stop().await?;
    }
    let began = Instant::now();
    let mut memory = Vec::new();
    let mut seconds = interval(Duration::from_secs(1));
    seconds.set_missed_tick_behavior(MissedTickBehavior::Skip);
    while began.elapsed() < plan.away {
        seconds.tick().await;
        memory.push(mib(writer.memory()?.now_kib));
    }
    match lock {
        Some(connection) => connection.close().await?,
        None => server.start_again().await?,
    }
    over.set(true);
    Ok(Outage { began, ended: Instant::now(), memory })
}

/// A connection that holds a lock which lets nothing into the table, until it is closed.
async fn lock(server: &Server) -> anyhow::Result<PgConnection> {
    let mut connection = server.connect().await?;
    sqlx::raw_sql("BEGIN; LOCK TABLE events IN ACCESS EXCLUSIVE MODE").execute(&mut connection).await?;
    Ok(connection)
}

fn add(bench: &mut Bench, sent: &Sent, outage: &Outage, rate: u32, peak: f64, drained: Duration) {
    let line = |what: &str, value: f64, unit, reference, target| Line {
        figure: "outage",
        what: what.to_owned(),
        value: value.into(),
        unit,
        reference,
        target,
    };
    let quarter = outage.memory.len().div_ceil(4);
    let first = median(&outage.memory[..quarter]);
    let last = median(&outage.memory[outage.memory.len() - quarter..]);
    let seconds = (outage.ended - outage.began).as_secs_f64();
    let during = sent.latencies.iter().filter(|(due, _)| (outage.began..outage.ended).contains(due)).count();
    let report = &mut bench.report;
    report.line(line("peak memory of the writer", peak, "MiB", None, Some(Target::AtMost(100.0))));
    let reference = Reference { what: "in the first quarter of the outage", value: first.into() };
    report.line(line("memory in the last quarter", last, "MiB", Some(reference), Some(Target::AtMost(1.1))));
    let offered = Reference { what: "sent", value: f64::from(rate).into() };
    let acknowledged = float(during) / seconds;
    report.line(line(
        "acknowledged meanwhile",
        acknowledged,
        "events/s",
        Some(offered),
        Some(Target::AtLeast(0.99)),
    ));
    report.line(line("stored after", drained.as_secs_f64(), "s", None, None));
    report.note(format!(
        "outage: {} of {} events were acknowledged, and all of these are stored, each once; {during} of them while \
         PostgreSQL was away, for {seconds:.0} s; the memory grew by {:.2} MiB a minute",
        sent.tally.acknowledged.len(),
        sent.due,
        (last - first) / (0.75 * seconds / 60.0),
    ));
    for (reason, count) in &sent.tally.refusals {
        report.note(format!("outage: {count} events were refused: {reason}"));
    }
}
