//! `kill -9` of the writer and of PostgreSQL at any moment: every acknowledged event is in the table, once.
//!
//! The same seed draws the same moments, victims and events again; what they meet is up to the machine.

use std::time::Duration;

use mesher_testing::{KillablePostgres, TestDatabase};
use rand::{Rng, RngExt as _};
use tokio::time::Instant;

use crate::{
    accounts::Accounts,
    chance, counts,
    load::{Load, ledger::Difference},
    running::Running,
};

/// Enough to find what happens now and then; `tests/long` has more.
const ROUNDS: u32 = 30;

/// The most events between two kills. Few, so that many kills hit a writer that is still storing what was left to it.
const EVENTS: usize = 300;

/// What is done to the suite.
#[derive(Debug)]
struct Round {
    /// How many events are acknowledged before, and how much later it comes.
    events: usize,
    delay: Duration,
    victims: Victims,
    /// The writer is killed once more, so much after it was started.
    again: Option<Duration>,
    /// Whether the writer has the time before to settle what was left to it: from one that lives for a moment each time, more
    /// and more would be left.
    settled: bool,
}

#[derive(Debug)]
enum Victims {
    Writer,
    Postgres,
    WriterThenPostgres,
    PostgresThenWriter,
}

impl Round {
    fn draw(random: &mut impl Rng) -> Self {
        Self {
            events: random.random_range(0..EVENTS),
            delay: Duration::from_micros(random.random_range(0..1000)),
            victims: match random.random_range(0..6) {
                0..3 => Victims::Writer,
                3 => Victims::Postgres,
                4 => Victims::WriterThenPostgres,
                _ => Victims::PostgresThenWriter,
            },
            again: random.random_bool(0.2).then(|| Duration::from_millis(random.random_range(0..100))),
            settled: random.random_bool(0.1),
        }
    }

    async fn run(&self, running: &mut Running, postgres: &mut KillablePostgres, load: &Load) {
        load.progress(self.events).await;
        let moment = Instant::now() + self.delay;
        // The runtime's timer is too coarse.
        while Instant::now() < moment {
            tokio::task::yield_now().await;
        }
        let writer = &mut running.writer;
        match self.victims {
            Victims::Writer => writer.kill().await,
            Victims::Postgres => postgres.kill().await,
            Victims::WriterThenPostgres => {
                writer.kill().await;
                postgres.kill().await;
            }
            Victims::PostgresThenWriter => {
                postgres.kill().await;
                writer.kill().await;
            }
        }
        if !matches!(self.victims, Victims::Postgres) {
            writer.start_again();
            if let Some(delay) = self.again {
                tokio::time::sleep(delay).await;
                writer.kill().await;
                writer.start_again();
            }
        }
        if !matches!(self.victims, Victims::Writer) {
            postgres.start_again().await;
        }
        writer.ready().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_acknowledged_event_is_lost_or_stored_twice_when_the_writer_or_postgresql_is_killed() {
    let seed = chance::seed();
    let mut random = chance::draws(seed);
    let mut postgres = KillablePostgres::start().await;
    let flags = ["--flush-interval", "50ms"];
    let mut running = Running::start_on(postgres.database().clone(), &flags, &[]).await;
    let token = running.token("ada@example.com").await;
    let accounts = Accounts { client: running.writer.client(), token: token.clone() };
    let (_, projects) = running.projects(&token, &["Shop", "Bank", "Blog"]).await;
    let load = Load::start(running.ways(&projects), seed);
    for round in 1..=chance::rounds(ROUNDS) {
        let plan = Round::draw(&mut random);
        chance::tell(&format!("{round}: after {}, {plan:?}", load.ledger.acknowledged()));
        if plan.settled {
            for (project, _) in &projects {
                accounts.flushed(project).await;
            }
        }
        plan.run(&mut running, &mut postgres, &load).await;
        for (project, _) in &projects {
            accounts.answered(project).await;
        }
    }
    let ledger = load.stop().await;
    for (project, _) in &projects {
        accounts.settled(project).await;
        counts::agreed(running.database.pool(), project).await;
    }
    assert_eq!(ledger.compare(running.database.pool()).await.unwrap(), Difference::default());
    assert!(!postgres.errors().contains_key("40P01"), "{:?}", postgres.errors());

    assert_eq!(running.writer.terminate().await.code(), Some(0));
    running.writer.start_again();
    running.writer.ready().await;
    let output = running.writer.process.output();
    assert!(!output.contains("left in the log"), "all was settled before: {output}");
}

/// What is found above must be able to be missing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_writer_without_a_log_loses_when_it_is_killed_is_found_missing() {
    let unflushed = ["--flush-interval", "1h", "--flush-events", "1000000", "--buffer-events", "1000000"];
    let flags = [&["--durability", "memory"], &unflushed[..]].concat();
    let mut running = Running::start_on(TestDatabase::new().await, &flags, &[]).await;
    let token = running.token("ada@example.com").await;
    let (_, projects) = running.projects(&token, &["Shop", "Bank", "Blog"]).await;
    let load = Load::start(running.ways(&projects), chance::seed());
    load.progress(EVENTS).await;
    running.writer.kill().await;
    let ledger = load.stop().await;
    let difference = ledger.compare(running.database.pool()).await.unwrap();
    assert_eq!(difference, Difference { missing: ledger.acknowledged(), ..Difference::default() });
}
