//! A shard: the task that owns the buffers of its projects and decides what is flushed when.

mod boarding;
mod cleaning;
mod room;

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use mesher_common::id::ProjectId;
use rand::{SeedableRng as _, rngs::StdRng};
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc, oneshot},
    task::{JoinError, JoinSet},
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{
    Command, EngineError, Settings,
    account::{DropReason, RefuseReason, Settled},
    count,
    flight::Landing,
    health::Health,
    held::Held,
    journal::{Committed, Done, Entry, Journal},
    memory::Memory,
    metrics::Metrics,
    open::ShardLog,
    project::Project,
    refused::Refused,
    sink::Sink,
};
use crate::{
    config::WhenFull,
    event::Event,
    log::{
        Position,
        fs::{Directory, FileSystem},
    },
};

/// How long an orderly end may take to store what waits; what is in the log then is stored at the next start. Together with what
/// the servers may take it is below the grace period.
const DRAIN_LIMIT: Duration = Duration::from_secs(8);

/// How many commands are obeyed before it is looked at what else there is to do.
const COMMANDS_AT_ONCE: usize = 64;

/// A shard that is to be run.
#[derive(Debug)]
pub struct Shard<S, F: FileSystem = Directory> {
    settings: Settings,
    sink: Arc<S>,
    metrics: Metrics,
    commands: mpsc::Receiver<Command>,
    /// What was refused before it came here.
    refused: Refused,
    closing: CancellationToken,
    projects: HashMap<ProjectId, Project>,
    memory: Memory,
    /// The projects to be flushed, whoever was due first in front: a flood in one of them cannot starve another.
    due: VecDeque<ProjectId>,
    /// About how many events they could board with.
    due_events: usize,
    /// Until when a flush may wait for more events while others are in flight; set while one does.
    hold_until: Option<Instant>,
    /// Whether the last flush was stored as all should be.
    is_calm: bool,
    /// When to look at a project for the age of its events; at most one entry each.
    timers: BTreeSet<(Instant, ProjectId)>,
    flights: JoinSet<Landing>,
    random: StdRng,
    /// The log on disk, if there is one.
    journal: Option<Journal<F>>,
    closed: bool,
    /// Whether events are left to the log, or dropped without one, because the database did not take them in before the end.
    left: bool,
    /// When that is to be done; set once the end has begun.
    leave_at: Option<Instant>,
}

impl<S: Sink, F: FileSystem> Shard<S, F> {
    pub(super) fn new(
        settings: Settings,
        sink: Arc<S>,
        metrics: Metrics,
        commands: mpsc::Receiver<Command>,
        refused: Refused,
        closing: CancellationToken,
    ) -> Self {
        Self {
            settings,
            sink,
            metrics,
            commands,
            refused,
            closing,
            projects: HashMap::new(),
            memory: Memory::of(settings.shard_memory_bytes()),
            due: VecDeque::new(),
            due_events: 0,
            hold_until: None,
            is_calm: true,
            timers: BTreeSet::new(),
            flights: JoinSet::new(),
            random: StdRng::seed_from_u64(settings.seed),
            journal: None,
            closed: false,
            left: false,
            leave_at: None,
        }
    }

    /// Acknowledges events when they are in `log`, and stores what it holds already.
    pub(super) fn use_log(&mut self, log: ShardLog<F>, health: Health) {
        let ShardLog { directory, log, projects, segments } = log;
        let max_bytes = self.settings.shard_log_bytes(log.segment_bytes());
        self.journal = Some(Journal::new(directory, log, segments, max_bytes, health));
        self.memory = Memory::beside_log();
        for account in projects.values().map(Project::account) {
            self.metrics.accept(account.accepted);
            let reason = DropReason::LogDamaged;
            self.metrics.settle(Settled::Dropped(reason), account.dropped(reason));
        }
        self.projects = projects;
        let now = Instant::now();
        for id in self.projects.keys().copied().collect::<Vec<_>>() {
            self.look_at(id, now);
        }
    }

    /// Runs until the engine is closed and everything is settled, or left to the log.
    pub async fn run(mut self) -> anyhow::Result<()> {
        let closing = self.closing.clone();
        loop {
            self.take_off();
            if let Some(journal) = &mut self.journal {
                journal.tidy();
                journal.look();
            }
            self.clean();
            let start_at = self.journal.as_mut().and_then(Journal::start);
            if self.is_done() {
                break;
            }
            let timer = self.timers.first().map(|(at, _)| *at);
            let look_at = self.journal.as_ref().and_then(Journal::look_at);
            let leave_at = self.leave_at;
            let hold_until = self.hold_until.filter(|_| self.is_boarding());
            let has_room = self.journal.as_ref().is_none_or(Journal::has_room);
            tokio::select! {
                // A landing frees memory, and there are few: it comes before more is taken in.
                biased;
                Some(landing) = self.flights.join_next() => {
                    self.land(&landing.context("a flush panicked")?);
                }
                done = done(&mut self.journal) => match done.context("a job of the log panicked")? {
                    Done::Committed(committed) => {
                        self.acknowledge(committed);
                        self.gather().await;
                    }
                    Done::Tidied(tidied) => if let Some(journal) = &mut self.journal { journal.tidied(tidied) },
                    Done::Cleaned(cleaned) => self.cleaned(cleaned),
                },
                // Before the commands, which may come without end.
                () = sleep_until(timer.unwrap_or_else(Instant::now)), if timer.is_some() => self.ring(),
                () = sleep_until(look_at.unwrap_or_else(Instant::now)), if look_at.is_some() => {}
                () = sleep_until(start_at.unwrap_or_else(Instant::now)), if start_at.is_some() => {}
                () = sleep_until(hold_until.unwrap_or_else(Instant::now)), if hold_until.is_some() => {}
                () = closing.cancelled(), if !self.commands.is_closed() => {
                    self.commands.close();
                    self.leave_at = Some(Instant::now() + DRAIN_LIMIT);
                }
                () = sleep_until(leave_at.unwrap_or_else(Instant::now)), if leave_at.is_some() => self.leave(),
                command = self.commands.recv(), if !self.closed && has_room => match command {
                    Some(command) => {
                        self.obey(command);
                        self.gather().await;
                    }
                    None => self.finish(),
                },
            }
        }
        // A flush that is still in flight may be committed; the log knows no better, and the table takes it once.
        self.flights.shutdown().await;
        if let Some(journal) = self.journal {
            journal.close().await;
        }
        Ok(())
    }

    fn is_done(&self) -> bool {
        let busy = self.journal.as_ref().is_some_and(Journal::is_busy);
        self.closed && !busy && (self.left || (self.flights.is_empty() && self.due.is_empty()))
    }

    /// Obeys the commands that others give at this moment: where there are many they get their turn before the log begins to
    /// sync a group, for which they would be too late. No time passes where there are none.
    async fn gather(&mut self) {
        if self.journal.as_ref().is_some_and(Journal::is_about_to_start) {
            tokio::task::yield_now().await;
        }
        for _ in 0..COMMANDS_AT_ONCE {
            if !self.journal.as_ref().is_none_or(Journal::has_room) {
                return;
            }
            match self.commands.try_recv() {
                Ok(command) => self.obey(command),
                Err(_) => return,
            }
        }
    }

    /// The time to store what waits is over.
    fn leave(&mut self) {
        self.left = true;
        self.leave_at = None;
        if self.journal.is_some() {
            tracing::info!("what is not stored yet is left to the log, for the next start");
            return;
        }
        // Those in flight may be committed all the same: nobody is left to find that out.
        let events = self.projects.values().map(|project| project.account().buffered).sum();
        self.metrics.settle(Settled::Dropped(DropReason::DatabaseFailed), events);
        tracing::error!(events, "events dropped: the database did not take them in before the end");
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Accept { project, events, room, done } => self.accept(project, events, room, done),
            Command::Flush { project, done } => {
                self.projects.entry(project).or_default().flush(done);
                self.look_at(project, Instant::now());
            }
            Command::Account { project, reply } => {
                self.refused.take(|project, reason, count| {
                    self.projects.entry(project).or_default().refuse(reason, count);
                });
                let account = self.projects.get(&project).map(Project::account).unwrap_or_default();
                let _ = reply.send(account);
            }
        }
    }

    /// Has events acknowledged: at once, or when they are in the log.
    fn accept(
        &mut self,
        id: ProjectId,
        events: Vec<Event>,
        room: OwnedSemaphorePermit,
        done: oneshot::Sender<Result<(), EngineError>>,
    ) {
        let limits = self.settings.limits(self.journal.is_some());
        let Some(journal) = &mut self.journal else {
            let now = Instant::now();
            self.take_in(id, events.into_iter().map(|event| Held::in_memory(event, now)).collect(), now);
            // Whoever sent the events may have gone away; they are accepted all the same.
            let _ = done.send(Ok(()));
            return;
        };
        let bytes = events.iter().map(|event| count(event.record().length())).sum();
        let project = self.projects.entry(id).or_default();
        let full =
            self.settings.when_full == WhenFull::Reject && !project.has_room(events.len(), bytes, limits);
        let full = full || !journal.has_disk(bytes);
        if full || journal.is_failed() {
            let reason = if full { RefuseReason::QuotaFull } else { RefuseReason::LogFailed };
            self.refuse(id, events.len(), done, reason);
            return;
        }
        project.begin_logging(events.len(), bytes);
        journal.append(Entry { project: id, events, bytes, room, done });
    }

    /// Acknowledges a group that is in the log, or refuses it.
    fn acknowledge(&mut self, committed: Committed<F>) {
        let Some(journal) = &mut self.journal else { return };
        let (entries, result) = journal.finish(committed);
        let now = Instant::now();
        let mut positions = result.map(Vec::into_iter);
        for Entry { project: id, events, bytes, done, room: _room } in entries {
            self.projects.entry(id).or_default().end_logging(events.len(), bytes);
            match &mut positions {
                Ok(positions) => {
                    let logged = |(event, position)| Held::logged(event, position, now);
                    let held = events.into_iter().zip(positions.by_ref()).map(logged).collect();
                    self.take_in(id, held, now);
                    let _ = done.send(Ok(()));
                }
                Err(_) => self.refuse(id, events.len(), done, RefuseReason::LogFailed),
            }
        }
    }

    fn refuse(
        &mut self,
        id: ProjectId,
        events: usize,
        done: oneshot::Sender<Result<(), EngineError>>,
        reason: RefuseReason,
    ) {
        let error =
            if reason == RefuseReason::QuotaFull { EngineError::QuotaFull } else { EngineError::LogFailed };
        let events = count(events);
        self.metrics.refuse(reason, events);
        self.projects.entry(id).or_default().refuse(reason, events);
        let _ = done.send(Err(error));
    }

    /// Takes in what is acknowledged now.
    fn take_in(&mut self, id: ProjectId, held: Vec<Held>, now: Instant) {
        let limits = self.settings.limits(self.journal.is_some());
        self.metrics.accept(count(held.len()));
        let before = self.counted_due(id);
        let dropped = self.projects.entry(id).or_default().accept(held.into_iter(), limits, &mut self.memory);
        self.count_due(id, before, now);
        self.metrics.drop_oldest(count(dropped.len()));
        self.settle(dropped.into_iter().flatten());
        self.make_room();
        self.look_at(id, now);
    }

    /// Notes in the log what is settled.
    fn settle(&mut self, positions: impl Iterator<Item = Position>) {
        if let Some(journal) = &mut self.journal {
            positions.for_each(|position| journal.settle(position));
        }
    }

    /// Puts a project among those that are due, if it is, or sets its timer. One whose events are in flight is
    /// looked at again when they land.
    fn look_at(&mut self, id: ProjectId, now: Instant) {
        let Settings { flush_interval, .. } = self.settings;
        let flush_events = self.settings.flush_events(self.journal.is_some());
        let Some(project) = self.projects.get_mut(&id) else {
            return;
        };
        let Some(at) = project.next_look(flush_interval) else {
            return;
        };
        if project.in_flight() > 0 {
            return;
        }
        if project.queued {
            // Somebody may wait for it now.
            self.hurry(id, now);
            return;
        }
        if self.closed || project.is_due(now, flush_events, flush_interval) {
            project.queued = true;
            self.due.push_back(id);
            self.count_due(id, 0, now);
        } else if project.timer.is_none_or(|timer| at < timer) {
            if let Some(later) = project.timer.replace(at) {
                self.timers.remove(&(later, id));
            }
            self.timers.insert((at, id));
        }
    }

    /// Looks at the projects whose time has come.
    fn ring(&mut self) {
        let now = Instant::now();
        while let Some((at, id)) = self.timers.first().copied()
            && at <= now
        {
            self.timers.remove(&(at, id));
            if let Some(project) = self.projects.get_mut(&id) {
                project.timer = None;
                self.look_at(id, now);
            }
        }
    }

    /// Nothing more comes in: all that waits is due.
    fn finish(&mut self) {
        self.closed = true;
        let now = Instant::now();
        for id in self.projects.keys().copied().collect::<Vec<_>>() {
            self.look_at(id, now);
        }
    }
}

/// Waits for a job of the log; for ever without a log.
async fn done<F: FileSystem>(journal: &mut Option<Journal<F>>) -> Result<Done<F>, JoinError> {
    match journal {
        Some(journal) => journal.done().await,
        None => std::future::pending().await,
    }
}
