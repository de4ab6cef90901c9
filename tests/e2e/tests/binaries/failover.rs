//! Services that are killed and come back behind the gateway: errors only while nobody is there.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use mesher_testing::{Process, TestDatabase, eventually, http_client};
use rand::RngExt as _;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::{
    accounts::Accounts,
    chance,
    load::{
        Load,
        ledger::Difference,
        way::{Kind, Way},
    },
    running::{PATIENCE, Running},
    writer::Writer,
};

/// How often one of two writers is killed.
const ROUNDS: u32 = 6;

/// How many callers there are at once.
const CALLERS: usize = 8;

/// A call that was answered: when it was made, when it was answered, and how.
type Answered = (Instant, Instant, u16);

/// Callers of one path, each of which makes one call after the other.
struct Callers {
    answered: Arc<Mutex<Vec<Answered>>>,
    count: Arc<AtomicUsize>,
    stop: CancellationToken,
    tasks: JoinSet<()>,
}

impl Callers {
    fn start(running: &Running, path: &str, token: &str) -> Self {
        let (answered, count) = (Arc::<Mutex<Vec<Answered>>>::default(), Arc::<AtomicUsize>::default());
        let stop = CancellationToken::new();
        let mut tasks = JoinSet::new();
        for _ in 0..CALLERS {
            let (answered, count, stop) = (Arc::clone(&answered), Arc::clone(&count), stop.clone());
            let request = http_client().build().unwrap().get(running.url() + path).bearer_auth(token);
            tasks.spawn(async move {
                while !stop.is_cancelled() {
                    let made = Instant::now();
                    let status = request.try_clone().unwrap().send().await.unwrap().status().as_u16();
                    answered.lock().unwrap().push((made, Instant::now(), status));
                    count.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        Self { answered, count, stop, tasks }
    }

    /// Waits until so many more calls were answered.
    async fn progress(&self, calls: usize) {
        let enough = self.count.load(Ordering::SeqCst) + calls;
        eventually("calls were answered", PATIENCE, async || self.count.load(Ordering::SeqCst) >= enough)
            .await;
    }

    async fn stop(mut self) -> Vec<Answered> {
        self.stop.cancel();
        while let Some(ended) = self.tasks.join_next().await {
            ended.unwrap();
        }
        std::mem::take(&mut self.answered.lock().unwrap())
    }
}

/// A further organization service on the same database, at a free port or at this address.
async fn org(running: &Running, address: &str) -> (Process, String) {
    let url = running.database.url();
    let flags = ["--listen", address, "--admin-listen", "127.0.0.1:0", "--database-url", url];
    let mut process = Process::start("mesher-org", &flags, &[]);
    let address = process.ready().await["grpc"].to_string();
    (process, address)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_that_is_killed_gives_errors_only_until_it_is_back() {
    let mut running = Running::start().await;
    let token = running.token("ada@example.com").await;
    let (id, _, _) = running.project(&token).await;
    let callers = Callers::start(&running, &format!("/v1/orgs/{id}"), &token);
    callers.progress(200).await;
    let killed = Instant::now();
    running.processes.get_mut("org").unwrap().kill();
    callers.progress(50).await;
    let address = running.address("org", "grpc");
    let (_process, _) = org(&running, &address).await;
    let back = Instant::now();
    callers.progress(200).await;
    let answered = callers.stop().await;
    let (mut refused, mut since) = (0, 0);
    for (made, at, status) in answered {
        if at < killed || made > back {
            assert_eq!(status, 200, "made {:?} after it was back", made.saturating_duration_since(back));
            since += usize::from(made > back);
        } else {
            assert!(matches!(status, 200 | 503), "{status}");
            refused += usize::from(status == 503);
        }
    }
    assert!(refused > 0 && since > 0, "{refused} were refused while it was away, {since} made after that");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_notices_that_one_of_two_replicas_is_killed() {
    let mut running = Running::start().await;
    let token = running.token("ada@example.com").await;
    let (id, _, _) = running.project(&token).await;
    let (mut second, address) = org(&running, "127.0.0.1:0").await;
    let addresses = [running.address("org", "grpc"), address.clone()];
    running.replace_gateway("org", &[&addresses[0], &addresses[1]]).await;
    let callers = Callers::start(&running, &format!("/v1/orgs/{id}"), &token);
    callers.progress(200).await;
    second.kill();
    callers.progress(200).await;
    let (_second, _) = org(&running, &address).await;
    callers.progress(200).await;
    running.processes.get_mut("org").unwrap().kill();
    // The second was away a moment ago: it is known to be back when it is asked, or when nobody else is left.
    callers.progress(200).await;
    let answered = callers.stop().await;
    let refused: Vec<_> = answered.iter().filter(|(_, _, status)| *status != 200).collect();
    assert!(refused.is_empty(), "of {} calls {refused:?}", answered.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_go_to_the_next_writer_when_one_is_killed_and_none_is_refused_lost_or_stored_twice() {
    let seed = chance::seed();
    let mut random = chance::draws(seed);
    let flags = ["--flush-interval", "50ms"];
    let mut running = Running::start_on(TestDatabase::new().await, &flags, &[]).await;
    let mut second = Writer::start(running.database.url(), &flags, &[]).await;
    let addresses = [running.address("writer", "grpc"), second.address("grpc").to_owned()];
    running.replace_gateway("writer", &[&addresses[0], &addresses[1]]).await;
    let token = running.token("ada@example.com").await;
    let (_, projects) = running.projects(&token, &["Shop", "Bank", "Blog"]).await;
    let (http, url) = (running.client.clone(), running.url());
    let ways = projects.iter().enumerate().flat_map(|(number, (project, key))| {
        let kinds = [
            (1, Kind::Rest(http.clone(), url.clone())),
            (1 + 9 * number, Kind::RestBatch(http.clone(), url.clone())),
        ];
        kinds.map(|(parcel, kind)| Way { project: project.clone(), key: key.clone(), kind, parcel })
    });
    let load = Load::start(ways.collect(), seed);
    for round in 1..=chance::rounds(ROUNDS) {
        let events = random.random_range(100..500);
        chance::tell(&format!("{round}: after {events} more"));
        load.progress(events).await;
        let writer = if round % 2 == 0 { &mut second } else { &mut running.writer };
        writer.kill().await;
        load.progress(200).await;
        writer.start_again();
        writer.ready().await;
    }
    let ledger = load.stop().await;
    for writer in [&running.writer, &second] {
        let accounts = Accounts { client: writer.client(), token: token.clone() };
        for (project, _) in &projects {
            accounts.settled(project).await;
        }
    }
    assert_eq!(ledger.compare(running.database.pool()).await.unwrap(), Difference::default());
    let metrics = format!("http://{}/metrics", running.address("gateway", "admin"));
    let metrics = running.client.get(metrics).send().await.unwrap().text().await.unwrap();
    let refused: Vec<&str> =
        metrics.lines().filter(|line| line.starts_with("mesher_gateway_events_refused_total")).collect();
    assert!(refused.is_empty(), "{refused:?}");

    // Each writer knows its own part, and the gateway gives the whole.
    for (project, key) in &projects {
        let stats = format!("/v1/projects/{project}/writer-stats");
        let before = accepted(&running, &stats, &token).await;
        for n in 0..5 {
            assert_eq!(
                running.post("/v1/events", key, &format!(r#"{{"message": "{n}"}}"#)).await.status,
                202
            );
        }
        assert_eq!(accepted(&running, &stats, &token).await, before + 5);
        let mut sum = 0;
        for writer in [&running.writer, &second] {
            let accounts = Accounts { client: writer.client(), token: token.clone() };
            sum += accounts.answered(project).await.accepted_count;
        }
        assert_eq!(accepted(&running, &stats, &token).await, sum);
        let flush = format!("/v1/projects/{project}/events:flush");
        assert_eq!(running.post(&flush, &token, "{}").await.status, 200);
    }
    // A part must not look like the whole.
    second.kill().await;
    let stats = format!("/v1/projects/{}/writer-stats", projects[0].0);
    let answer = running.get(&stats, &token).await;
    assert_eq!((answer.status, answer.reason().as_str()), (503, "SERVICE_UNAVAILABLE"));
}

async fn accepted(running: &Running, path: &str, token: &str) -> i64 {
    running.get(path, token).await.text("/stats/acceptedCount").parse().unwrap()
}
