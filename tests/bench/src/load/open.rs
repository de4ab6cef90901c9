//! An open loop: events come in at a fixed rate, whether or not the writer keeps up. The time of each is counted from when
//! it was due, so that a writer that is late once is late for all that were due meanwhile.

use std::{
    ops::ControlFlow,
    time::{Duration, Instant},
};

use tokio::task::JoinSet;
use tonic::Status;
use uuid::Uuid;

use super::{Client, Tally, timer::Timer};
use crate::{events::Sample, setup::Project};

/// The most calls at once; what is due beyond them is not sent, and counted.
const MOST_AT_ONCE: usize = 20_000;

/// What came of it.
#[derive(Debug, Default)]
pub(crate) struct Sent {
    pub(crate) tally: Tally,
    /// How many events were due.
    pub(crate) due: u64,
    /// From when each acknowledged event was due to its acknowledgement, with when it was due.
    pub(crate) latencies: Vec<(Instant, Duration)>,
}

/// Sends an event, which `next` makes of its number, `rate` times a second until it says that it is enough.
pub(crate) async fn send(
    client: &Client,
    projects: &[Project],
    rate: u32,
    mut next: impl FnMut(u64) -> anyhow::Result<ControlFlow<(), Sample>>,
) -> anyhow::Result<Sent> {
    let mut sent = Sent::default();
    let mut calls: JoinSet<(Instant, Result<Uuid, Status>, Duration)> = JoinSet::new();
    let mut timer = Timer::start(Duration::from_secs(1) / rate)?;
    'due: loop {
        let ticks = tokio::select! {
            biased;
            ticks = timer.passed() => ticks?,
            Some(answer) = calls.join_next() => {
                sent.note(answer?);
                continue;
            }
        };
        for due in ticks {
            let ControlFlow::Continue(sample) = next(sent.due)? else { break 'due };
            let number = usize::try_from(sent.due)?;
            sent.due += 1;
            if calls.len() >= MOST_AT_ONCE {
                sent.tally
                    .refuse(&Status::unavailable("too many calls are unanswered, and no more was made"));
                continue;
            }
            let (client, project) = (client.clone(), projects[number % projects.len()].clone());
            calls.spawn(async move {
                let answer = client.store(number, &project, sample.json).await;
                (due, answer, due.elapsed())
            });
        }
    }
    while let Some(answer) = calls.join_next().await {
        sent.note(answer?);
    }
    Ok(sent)
}

impl Sent {
    fn note(&mut self, (due, answer, took): (Instant, Result<Uuid, Status>, Duration)) {
        match answer {
            Ok(id) => {
                self.tally.acknowledged.push(id);
                self.latencies.push((due, took));
            }
            Err(status) => self.tally.refuse(&status),
        }
    }
}
