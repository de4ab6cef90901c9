//! The engine against a model: whatever is accepted, fails, is killed or crashes, in whatever order, what was acknowledged
//! is stored, once, or counted as dropped where the oldest are to be, and the account is right each time that it is looked at.
//! Only what the disk changes or keeps to itself may be lost.

use proptest::prelude::*;

use super::{
    damage::{file, records, spoil},
    *,
};
use crate::log::{OpenError, Position, Reader};

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
    /// Have the disk change a record, or not give one, or give all again.
    Damage(u64),
    HideRecord(u64),
    GiveAll,
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
        1 => any::<u64>().prop_map(Step::Damage),
        1 => any::<u64>().prop_map(Step::HideRecord),
        1 => Just(Step::GiveAll),
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
    when_full: WhenFull,
    /// What each project should have accepted and refused.
    expected: [(u64, u64); PROJECTS],
    /// How many were dropped for others before the last start.
    dropped: u64,
    /// What the disk changed, or did not give for a while.
    spoiled: HashSet<EventId>,
}

/// A log so small that it is cleaned all the time.
fn small(shards: usize, when_full: WhenFull) -> Settings {
    Settings { shards, flights: 2, log_bytes: 0, buffer_events: 60, when_full, ..settings() }
}

impl Model {
    fn new(when_full: WhenFull) -> Self {
        let (sink, disks) = (Script::open(), (0..MAX_SHARDS).map(|_| Simulated::default()).collect());
        let projects = [(); PROJECTS].map(|()| ProjectId::new());
        let (acknowledged, sent) = (HashSet::new(), HashSet::new());
        Self {
            sink,
            disks,
            bench: None,
            projects,
            acknowledged,
            sent,
            when_full,
            expected: [(0, 0); PROJECTS],
            dropped: 0,
            spoiled: HashSet::new(),
        }
    }

    async fn start(&mut self, shards: usize) {
        // What was stored right before a kill may be given again.
        self.sink.settled.lock().unwrap().clear();
        let settings = small(shards, self.when_full);
        let open = || Logs::open_in(self.disks.clone(), shards, SMALL_SEGMENT);
        let logs = match open() {
            Err(LogsError::Open(OpenError::Unreadable { .. })) => {
                self.disks.iter().for_each(Simulated::make_readable);
                open().unwrap()
            }
            logs => logs.unwrap(),
        };
        assert!(logs.damaged == 0 || !self.spoiled.is_empty());
        let bench = Bench::with(&self.sink, settings, Some(logs));
        for (project, expected) in self.projects.iter().zip(&mut self.expected) {
            *expected = (bench.account(*project).await.accepted, 0);
        }
        self.bench = Some(bench);
    }

    /// Looks at all accounts; gives how many were dropped for others.
    async fn look(&self) -> u64 {
        let (mut dropped, mut damaged) = (0, 0);
        for (project, expected) in self.projects.iter().zip(self.expected) {
            let account = self.bench().account(*project).await;
            assert_eq!((account.accepted, account.refused), expected);
            dropped += account.dropped(DropReason::BufferFull);
            damaged += account.dropped(DropReason::LogDamaged);
        }
        assert!(damaged <= count(self.spoiled.len()));
        dropped
    }

    async fn end(&mut self) -> Bench {
        self.dropped += self.look().await;
        self.bench.take().unwrap()
    }

    fn bench(&self) -> &Bench {
        self.bench.as_ref().unwrap()
    }

    async fn run(mut self, steps: Vec<Step>) {
        self.start(2).await;
        for step in steps {
            self.step(step).await;
            self.look().await;
            assert_eq!(*self.sink.again.lock().unwrap(), 0, "stored, and given again");
        }
        self.step(Step::GiveAll).await;
        self.step(Step::Crash(1, 2)).await;
        self.sink.succeed();
        for project in self.projects {
            self.bench().settled(project).await;
        }
        self.end().await.close().await;
        let stored: Vec<EventId> = self.sink.stored().into_iter().map(|(_, id)| id).collect();
        let dead: HashSet<EventId> = self.sink.dead.lock().unwrap().iter().map(|(id, _)| *id).collect();
        let once: HashSet<EventId> = stored.iter().copied().collect();
        assert_eq!(once.len(), stored.len(), "stored twice");
        assert!(once.is_subset(&self.sent));
        let is_lost = |id: &&EventId| ![&once, &dead, &self.spoiled].iter().any(|found| found.contains(id));
        let lost = self.acknowledged.iter().filter(is_lost).count();
        assert!(count(lost) <= self.dropped, "{lost} acknowledged, and lost; {} dropped", self.dropped);
        assert!(self.when_full == WhenFull::DropOldest || self.dropped == 0);
        let mut left = self.disks.iter().flat_map(Simulated::names);
        let is_kept = |name: &String| name.ends_with(".damaged") && !self.spoiled.is_empty();
        assert_eq!(left.find(|name| !is_kept(name)), None, "all is settled");
    }

    /// A record that is on some disk, and that disk.
    fn somewhere(&self, seed: u64) -> Option<(&Simulated, Position)> {
        let mut records: Vec<(&Simulated, Position)> = Vec::new();
        for disk in &self.disks {
            records.extend(all_records(disk).into_iter().map(|record| (disk, record)));
        }
        let place = Choices(seed).below(records.len().max(1));
        records.into_iter().nth(place)
    }

    async fn step(&mut self, step: Step) {
        match step {
            Step::Accept(number, events) => {
                let project = self.projects[number];
                let events: Vec<Event> = (0..events).map(|_| event(project)).collect();
                let ids: Vec<EventId> = events.iter().map(|event| event.id).collect();
                self.sent.extend(&ids);
                let (accepted, refused) = &mut self.expected[number];
                match self.bench.as_ref().unwrap().engine.accepted(project, events).await {
                    Ok(()) => {
                        *accepted += count(ids.len());
                        self.acknowledged.extend(ids);
                    }
                    Err(_) => *refused += count(ids.len()),
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
            Step::Damage(seed) => {
                if let Some((disk, position)) = self.somewhere(seed) {
                    let id = read(disk, position);
                    spoil(disk, position);
                    self.spoiled.extend(id);
                }
            }
            Step::HideRecord(seed) => {
                if let Some((disk, position)) = self.somewhere(seed) {
                    let hidden = hide(disk, position);
                    self.spoiled.extend(hidden);
                }
            }
            Step::GiveAll => self.disks.iter().for_each(Simulated::make_readable),
            Step::Away(times) => self.sink.fail(times),
            Step::Says(sqlstate, times) => self.sink.fail_with(sqlstate, times),
            Step::Heal => {
                self.sink.succeed();
                self.disks.iter().for_each(Simulated::heal);
            }
            Step::Kill(shards) => {
                self.end().await.kill().await;
                self.disks.iter_mut().for_each(|disk| *disk = disk.kill());
                self.start(shards).await;
            }
            Step::Crash(seed, shards) => {
                self.end().await.kill().await;
                let mut choices = Choices(seed);
                self.disks.iter_mut().for_each(|disk| *disk = disk.crash(&mut choices));
                self.start(shards).await;
            }
            Step::Stop(shards) => {
                self.end().await.close().await;
                self.disks.iter_mut().for_each(|disk| *disk = disk.kill());
                self.start(shards).await;
            }
        }
    }
}

/// The records that a disk has, those that are settled among them.
fn all_records(disk: &Simulated) -> Vec<Position> {
    let disk = disk.copy();
    disk.make_readable();
    for notes in disk.names().iter().filter(|name| name.ends_with(".settled")) {
        disk.replace(notes, Vec::new());
    }
    records(&disk)
}

/// The id of what is in a record, unless it cannot be read.
fn read(disk: &Simulated, position: Position) -> Option<EventId> {
    Reader::new(&disk.copy()).read(position).ok().map(|record| record.id)
}

/// Has the disk not give the blocks that a record begins in; gives what is in them.
fn hide(disk: &Simulated, position: Position) -> HashSet<EventId> {
    let here: Vec<Position> =
        all_records(disk).into_iter().filter(|record| record.segment == position.segment).collect();
    let readable: Vec<(Position, EventId)> =
        here.iter().filter_map(|record| Some((*record, read(disk, *record)?))).collect();
    let start = position.offset as usize;
    let end = here.last().map_or(0, |last| last.offset + last.length) as usize;
    // What is written later into the last block would be lost as well.
    if start + Simulated::BLOCK < end {
        disk.make_unreadable(&file(position), start..start + 1);
    }
    readable.into_iter().filter(|(record, _)| read(disk, *record).is_none()).map(|(_, id)| id).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn what_was_acknowledged_is_stored_once_whatever_happens(
        steps in proptest::collection::vec(step(), 1..60),
        when_full in proptest::sample::select(vec![WhenFull::Reject, WhenFull::DropOldest]),
    ) {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        runtime.block_on(Model::new(when_full).run(steps));
    }
}
