//! Two writers on one database, each with a log of its own, that take in the same project's events at once.

use mesher_testing::KillablePostgres;
use rand::{RngExt as _, rngs::StdRng};

use crate::{
    accounts::{Accounts, duplicates},
    chance, counts,
    load::{
        Load,
        ledger::Difference,
        sender::Event,
        way::{Kind, Way},
    },
    running::Running,
    writer::Writer,
};

/// How often one of the writers is killed.
const ROUNDS: u32 = 8;

/// How many requests each of the writers gets of each sender, and of how many events.
const REQUESTS: usize = 20;
const SENDERS: usize = 4;
const SHARED: usize = 20;
const OWN: usize = 5;

/// Of so many events that are sent to both, one may have the same microsecond at both. To each of them it is then an event
/// that it stored itself, by a try whose answer was lost, and not a duplicate.
const COINCIDENCES: i64 = 50;

struct Replicas {
    postgres: KillablePostgres,
    running: Running,
    second: Writer,
    project: String,
    key: String,
    token: String,
}

impl Replicas {
    async fn start() -> Self {
        let mut postgres = KillablePostgres::start().await;
        let flags = ["--flush-interval", "50ms"];
        let running = Running::start_on(postgres.database().clone(), &flags, &[]).await;
        let second = Writer::start(postgres.database().url(), &flags, &[]).await;
        let token = running.token("ada@example.com").await;
        let (_, project, key) = running.project(&token).await;
        assert!(postgres.errors().is_empty(), "{:?}", postgres.errors());
        Self { postgres, running, second, project, key, token }
    }

    fn writers(&self) -> [&Writer; 2] {
        [&self.running.writer, &self.second]
    }

    fn accounts(&self) -> [Accounts; 2] {
        self.writers().map(|writer| Accounts { client: writer.client(), token: self.token.clone() })
    }

    /// The way of whole batches to each writer.
    fn batches(&self, parcel: usize) -> [Way; 2] {
        self.writers().map(|writer| Way {
            project: self.project.clone(),
            key: self.key.clone(),
            kind: Kind::StoreBatch(writer.client()),
            parcel,
        })
    }

    /// Whatever they did at once, they did not lock each other out.
    fn expect_no_deadlock(&mut self) {
        let errors = self.postgres.errors();
        assert!(!errors.contains_key("40P01"), "{errors:?}");
    }
}

/// Events of which some are for both writers, each in an order of its own.
fn batches(random: &mut StdRng) -> [Vec<Event>; 2] {
    let mut draw = |count| -> Vec<Event> { (0..count).map(|_| Event::with_id(random.random())).collect() };
    let shared = draw(SHARED);
    let [first, second] = [draw(OWN), draw(OWN)];
    [
        shared.iter().chain(&first).cloned().collect(),
        second.iter().chain(shared.iter().rev()).cloned().collect(),
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_event_sent_to_two_writers_at_once_is_stored_by_one_and_counted_by_both() {
    let seed = chance::seed();
    let mut replicas = Replicas::start().await;
    let ways = replicas.batches(SHARED + OWN);
    let senders: Vec<_> = (0..SENDERS)
        .map(|number| {
            let ([first, second], mut random) = (ways.clone(), chance::draws(seed + number as u64));
            tokio::spawn(async move {
                for _ in 0..REQUESTS {
                    let [to_first, to_second] = batches(&mut random);
                    let answers = tokio::join!(first.send(&to_first), second.send(&to_second));
                    for answers in [answers.0, answers.1] {
                        assert_eq!(answers.ids.len(), SHARED + OWN, "{answers:?}");
                    }
                }
            })
        })
        .collect();
    for sender in senders {
        sender.await.unwrap();
    }
    let [first, second] = replicas.accounts();
    let (first, second) = (first.settled(&replicas.project).await, second.settled(&replicas.project).await);
    let sent = |events: usize| i64::try_from(SENDERS * REQUESTS * events).unwrap();
    assert_eq!([first.accepted_count, second.accepted_count], [sent(SHARED + OWN); 2]);
    let stored = counts::agreed(replicas.running.database.pool(), &replicas.project).await;
    assert_eq!(stored, sent(SHARED + 2 * OWN));
    let counted_by_both = first.stored_count + second.stored_count - stored;
    assert_eq!(duplicates(&first) + duplicates(&second), sent(SHARED) - counted_by_both);
    assert!((0..=sent(SHARED) / COINCIDENCES).contains(&counted_by_both), "{first:?} {second:?}");
    replicas.expect_no_deadlock();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_writer_that_is_killed_beside_another_loses_nothing_and_stores_nothing_twice() {
    let seed = chance::seed();
    let mut random = chance::draws(seed);
    let mut replicas = Replicas::start().await;
    let parcels = [1, 10, 25].map(|parcel| replicas.batches(parcel));
    let load = Load::start(parcels.into_iter().flatten().collect(), seed);
    for round in 1..=chance::rounds(ROUNDS) {
        let (events, second) = (random.random_range(0..500), random.random());
        chance::tell(&format!("{round}: after {events} more, the second: {second}"));
        load.progress(events).await;
        let writer = if second { &mut replicas.second } else { &mut replicas.running.writer };
        writer.kill().await;
        load.progress(random.random_range(0..100)).await;
        writer.start_again();
        writer.ready().await;
        for accounts in replicas.accounts() {
            accounts.answered(&replicas.project).await;
        }
    }
    let ledger = load.stop().await;
    for accounts in replicas.accounts() {
        accounts.settled(&replicas.project).await;
    }
    let pool = replicas.running.database.pool();
    assert_eq!(ledger.compare(pool).await.unwrap(), Difference::default());
    counts::agreed(pool, &replicas.project).await;
    replicas.expect_no_deadlock();
}
