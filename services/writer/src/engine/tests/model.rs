//! The engine against a model: whatever is accepted, fails, is killed or crashes, in whatever order, what was acknowledged
//! is stored, once, and the account adds up each time that it is looked at.

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Step {
    /// Accept so many events, of one of the projects.
    Accept(usize, usize),
    /// Flush one of the projects.
    Flush(usize),
    /// Let time pass, in milliseconds.
    Wait(u64),
    /// Have calls to the disk fail.
    FailAfter(usize),
    Fail(Call),
    FillUp(usize),
    /// Have the database fail so many times: away, or with an error of its own.
    Away(usize),
    Says(&'static str, usize),
    /// Have all be well.
    Heal,
    /// Kill the process, crash the machine, or stop in order; and start with so many shards.
    Kill(usize),
    Crash(u64, usize),
    Stop(usize),
}

const PROJECTS: usize = 5;
const MAX_SHARDS: usize = 3;

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        16 => (0..PROJECTS, 1..30_usize).prop_map(|(project, count)| Step::Accept(project, count)),
        2 => (0..PROJECTS).prop_map(Step::Flush),
        4 => (1..7000_u64).prop_map(Step::Wait),
        2 => (0..12_usize).prop_map(Step::FailAfter),
        1 => proptest::sample::select(&Call::CHANGES[..]).prop_map(Step::Fail),
        1 => (0..5000_usize).prop_map(Step::FillUp),
        2 => (1..8_usize).prop_map(Step::Away),
        2 => (proptest::sample::select(vec!["57014", "42501", "XX000"]), 1..40_usize)
            .prop_map(|(sqlstate, times)| Step::Says(sqlstate, times)),
        3 => Just(Step::Heal),
        1 => (1..=MAX_SHARDS).prop_map(Step::Kill),
        1 => (any::<u64>(), 1..=MAX_SHARDS).prop_map(|(seed, shards)| Step::Crash(seed, shards)),
        1 => (1..=MAX_SHARDS).prop_map(Step::Stop),
    ]
}

struct Model {
    sink: Arc<Script>,
    disks: Vec<Simulated>,
    bench: Option<Bench>,
    projects: [ProjectId; PROJECTS],
    acknowledged: HashSet<EventId>,
    sent: HashSet<EventId>,
}

/// A log so small that it is cleaned all the time.
fn small(shards: usize) -> Settings {
    Settings { shards, flights: 2, log_bytes: 0, buffer_events: 60, ..settings() }
}

impl Model {
    fn new() -> Self {
        let (sink, disks) = (Script::open(), (0..MAX_SHARDS).map(|_| Simulated::default()).collect());
        let projects = [(); PROJECTS].map(|()| ProjectId::new());
        Self { sink, disks, bench: None, projects, acknowledged: HashSet::new(), sent: HashSet::new() }
    }

    fn start(&mut self, shards: usize) {
        self.bench = Some(Bench::simulated(&self.sink, small(shards), &self.disks));
    }

    fn bench(&self) -> &Bench {
        self.bench.as_ref().unwrap()
    }

    async fn run(mut self, steps: Vec<Step>) {
        self.start(2);
        for step in steps {
            self.step(step).await;
            for project in self.projects {
                self.bench().account(project).await;
            }
        }
        self.step(Step::Crash(1, 2)).await;
        self.sink.succeed();
        for project in self.projects {
            self.bench().settled(project).await;
        }
        self.bench.take().unwrap().close().await;
        let stored: Vec<EventId> = self.sink.stored().into_iter().map(|(_, id)| id).collect();
        let dead: HashSet<EventId> = self.sink.dead.lock().unwrap().iter().map(|(id, _)| *id).collect();
        let once: HashSet<EventId> = stored.iter().copied().collect();
        assert_eq!(once.len(), stored.len(), "stored twice");
        assert!(once.is_subset(&self.sent));
        let lost = self.acknowledged.iter().filter(|id| !once.contains(id) && !dead.contains(id)).count();
        assert_eq!(lost, 0, "acknowledged, and lost");
        let left: usize = self.disks.iter().map(Simulated::used).sum();
        assert_eq!(left, 0, "all is settled, and nothing is left");
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Accept(project, count) => {
                let project = self.projects[project];
                let events: Vec<Event> = (0..count).map(|_| event(project)).collect();
                let ids: Vec<EventId> = events.iter().map(|event| event.id).collect();
                self.sent.extend(&ids);
                if self.bench().engine.accept(project, events).await.is_ok() {
                    self.acknowledged.extend(ids);
                }
            }
            Step::Flush(project) => {
                let flush = self.bench().engine.flush(self.projects[project]);
                let _ = tokio::time::timeout(Duration::from_secs(1), flush).await;
            }
            Step::Wait(millis) => tokio::time::sleep(Duration::from_millis(millis)).await,
            Step::FailAfter(calls) => self.disks.iter().for_each(|disk| disk.fail_after(calls)),
            Step::Fail(call) => self.disks.iter().for_each(|disk| disk.fail(call)),
            Step::FillUp(room) => self.disks.iter().for_each(|disk| disk.fill_up(room)),
            Step::Away(times) => self.sink.fail(times),
            Step::Says(sqlstate, times) => self.sink.fail_with(sqlstate, times),
            Step::Heal => {
                self.sink.succeed();
                self.disks.iter().for_each(Simulated::heal);
            }
            Step::Kill(shards) => {
                self.bench.take().unwrap().kill().await;
                self.disks.iter_mut().for_each(|disk| *disk = disk.kill());
                self.start(shards);
            }
            Step::Crash(seed, shards) => {
                self.bench.take().unwrap().kill().await;
                let mut choices = Choices(seed);
                self.disks.iter_mut().for_each(|disk| *disk = disk.crash(&mut choices));
                self.start(shards);
            }
            Step::Stop(shards) => {
                self.bench.take().unwrap().close().await;
                self.disks.iter_mut().for_each(|disk| *disk = disk.kill());
                self.start(shards);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn what_was_acknowledged_is_stored_once_whatever_happens(steps in proptest::collection::vec(step(), 1..60)) {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(Model::new().run(steps));
    }
}
