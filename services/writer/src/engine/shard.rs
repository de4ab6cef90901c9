//! A shard: the task that owns the buffers of its projects and decides what is flushed when.

use std::{
    collections::{BTreeSet, HashMap, VecDeque},
    ops::Range,
    sync::Arc,
};

use anyhow::Context as _;
use mesher_common::id::ProjectId;
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::{
    Command, Settings, account::Settled, flush::flush, metrics::Metrics, project::Project, sink::Sink,
};
use crate::event::Event;

/// The most events in one flush. Beyond some hundreds a transaction's own cost no longer shows.
const BATCH_EVENTS: usize = 1000;
/// About the most bytes in one flush: what a failed try has to send again.
const BATCH_BYTES: usize = 4 * 1024 * 1024;
/// The most flushes in flight.
const FLIGHTS: usize = 1;

/// A shard that is to be run.
#[derive(Debug)]
pub struct Shard<S> {
    settings: Settings,
    sink: Arc<S>,
    metrics: Metrics,
    commands: mpsc::Receiver<Command>,
    closing: CancellationToken,
    projects: HashMap<ProjectId, Project>,
    /// The projects to be flushed, whoever was due first in front: a flood in one of them cannot starve another.
    due: VecDeque<ProjectId>,
    /// When to look at a project for the age of its events; at most one entry each.
    timers: BTreeSet<(Instant, ProjectId)>,
    flights: JoinSet<Landing>,
    closed: bool,
}

/// A flush that ended: whose events it had, and what became of them.
#[derive(Debug)]
struct Landing {
    passengers: Vec<(ProjectId, Range<usize>)>,
    settled: Vec<Settled>,
    took: std::time::Duration,
}

impl<S: Sink> Shard<S> {
    pub(super) fn new(
        settings: Settings,
        sink: Arc<S>,
        metrics: Metrics,
        commands: mpsc::Receiver<Command>,
        closing: CancellationToken,
    ) -> Self {
        Self {
            settings,
            sink,
            metrics,
            commands,
            closing,
            projects: HashMap::new(),
            due: VecDeque::new(),
            timers: BTreeSet::new(),
            flights: JoinSet::new(),
            closed: false,
        }
    }

    /// Runs until the engine is closed and everything is settled.
    pub async fn run(mut self) -> anyhow::Result<()> {
        let closing = self.closing.clone();
        loop {
            self.take_off();
            if self.closed && self.flights.is_empty() && self.due.is_empty() {
                return Ok(());
            }
            let timer = self.timers.first().map(|(at, _)| *at);
            tokio::select! {
                // A landing frees memory, and there is at most one: it comes before more is taken in.
                biased;
                Some(landing) = self.flights.join_next() => {
                    self.land(&landing.context("a flush panicked")?);
                }
                // Before the commands, which may come without end.
                () = sleep_until(timer.unwrap_or_else(Instant::now)), if timer.is_some() => self.ring(),
                () = closing.cancelled(), if !self.commands.is_closed() => self.commands.close(),
                command = self.commands.recv(), if !self.closed => match command {
                    Some(command) => self.obey(command),
                    None => self.finish(),
                },
            }
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Accept { project: id, events, done } => {
                let now = Instant::now();
                self.metrics.accept(events.len());
                let project = self.projects.entry(id).or_default();
                let dropped = project.accept(events, now, self.settings.buffer_events);
                if dropped > 0 {
                    self.metrics.drop_oldest(dropped);
                }
                // Whoever sent the events may have gone away; they are accepted all the same.
                let _ = done.send(());
                self.look_at(id, now);
            }
            Command::Refuse { project, count } => {
                self.metrics.refuse(count);
                self.projects.entry(project).or_default().refuse(count);
            }
            Command::Flush { project, done } => {
                self.projects.entry(project).or_default().flush(done);
                self.look_at(project, Instant::now());
            }
            Command::Account { project, reply } => {
                let account = self.projects.get(&project).map(Project::account).unwrap_or_default();
                let _ = reply.send(account);
            }
        }
    }

    /// Puts a project among those that are due, if it is, or sets its timer. One whose events are in flight is
    /// looked at again when they land.
    fn look_at(&mut self, id: ProjectId, now: Instant) {
        let Settings { flush_events, flush_interval, .. } = self.settings;
        let Some(project) = self.projects.get_mut(&id) else {
            return;
        };
        let Some(deadline) = project.deadline(flush_interval) else {
            return;
        };
        if project.is_in_flight() || project.queued {
            return;
        }
        if self.closed || project.is_due(now, flush_events, flush_interval) {
            project.queued = true;
            self.due.push_back(id);
        } else if project.timer.is_none() {
            project.timer = Some(deadline);
            self.timers.insert((deadline, id));
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

    /// Flushes what is due, if there is room for a flight.
    fn take_off(&mut self) {
        while self.flights.len() < FLIGHTS && !self.due.is_empty() {
            let (batch, passengers) = self.board();
            let sink = Arc::clone(&self.sink);
            self.flights.spawn(async move {
                let started = Instant::now();
                let settled = flush(&*sink, &batch).await;
                Landing { passengers, settled, took: started.elapsed() }
            });
        }
    }

    /// Takes a batch from the projects that are due, each its share at the most.
    fn board(&mut self) -> (Vec<Event>, Vec<(ProjectId, Range<usize>)>) {
        let mut batch = Vec::new();
        let mut bytes = 0;
        let mut passengers = Vec::new();
        while batch.len() < BATCH_EVENTS
            && bytes < BATCH_BYTES
            && let Some(id) = self.due.pop_front()
        {
            let Some(project) = self.projects.get_mut(&id) else {
                continue;
            };
            project.queued = false;
            let start = batch.len();
            // Half of what a project may have in memory: the other half takes in what arrives meanwhile.
            let share = self.settings.buffer_events.div_ceil(2).min(BATCH_EVENTS - start);
            let size = project.take(share, BATCH_BYTES - bytes, &mut batch);
            bytes += size;
            passengers.push((id, start..batch.len()));
        }
        (batch, passengers)
    }

    fn land(&mut self, landing: &Landing) {
        self.metrics.flushed(landing.took);
        for settled in &landing.settled {
            self.metrics.settle(*settled, 1);
        }
        let now = Instant::now();
        for (id, seats) in &landing.passengers {
            if let Some(project) = self.projects.get_mut(id) {
                project.land(&landing.settled[seats.clone()]);
            }
            self.look_at(*id, now);
        }
    }
}
