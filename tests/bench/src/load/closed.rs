//! A closed loop: as many events as the writer takes, so many calls at once.

use anyhow::bail;
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use tokio::time::sleep;
use tonic::Code;
use uuid::Uuid;

use super::{Client, RETRY_DELAY, TRIES, Tally};
use crate::{events::Sample, setup::Project};

/// The events of one call.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(super) project: usize,
    pub(super) ids: Vec<Uuid>,
    pub(super) events: Vec<Bytes>,
}

/// Puts events that are of `projects` projects in turn into calls, in their order.
pub(crate) fn calls(samples: &[Sample], projects: usize, events: usize) -> Vec<Call> {
    let mut open: Vec<Vec<&Sample>> = vec![Vec::new(); projects];
    let mut calls = Vec::with_capacity(samples.len() / events.max(1) + projects);
    let call = |project: usize, samples: Vec<&Sample>| Call {
        project,
        ids: samples.iter().map(|sample| sample.id).collect(),
        events: samples.into_iter().map(|sample| sample.json.clone()).collect(),
    };
    for (index, sample) in samples.iter().enumerate() {
        let project = index % projects;
        open[project].push(sample);
        if open[project].len() == events {
            calls.push(call(project, std::mem::take(&mut open[project])));
        }
    }
    let rest = open.into_iter().enumerate().filter(|(_, samples)| !samples.is_empty());
    calls.extend(rest.map(|(project, samples)| call(project, samples)));
    calls
}

/// Makes all calls, each until it is answered. An event that is refused for what it is ends it: all of them are good.
pub(crate) async fn send(
    client: &Client,
    projects: &[Project],
    calls: Vec<Call>,
    at_once: usize,
) -> anyhow::Result<Tally> {
    let mut tally = Tally::default();
    let mut answers = stream::iter(calls.into_iter().enumerate())
        .map(|(number, call)| until_answered(client, number, &projects[call.project], call))
        .buffer_unordered(at_once);
    while let Some(answer) = answers.next().await {
        tally.add(answer?);
    }
    Ok(tally)
}

async fn until_answered(
    client: &Client,
    number: usize,
    project: &Project,
    call: Call,
) -> anyhow::Result<Tally> {
    let mut tally = Tally::default();
    for _ in 0..TRIES {
        let answer = match call.events.as_slice() {
            [one] => client.store(number, project, one.clone()).await.map(|id| vec![id]),
            several => client.store_batch(number, project, several).await,
        };
        match answer {
            Ok(ids) => {
                anyhow::ensure!(ids == call.ids, "the writer acknowledged other ids than were sent");
                tally.acknowledged = ids;
                return Ok(tally);
            }
            Err(status) if status.code() == Code::ResourceExhausted => {
                tally.refuse(&status);
                sleep(RETRY_DELAY).await;
            }
            Err(status) => return Err(status.into()),
        }
    }
    bail!("the writer refused a call {TRIES} times: {:?}", tally.refusals)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_event_is_in_one_call_of_its_project() {
        let samples = crate::events::Generator::new(1).take(25, 4).unwrap();
        let calls = calls(&samples, 4, 3);
        assert!(calls.iter().all(|call| call.ids.len() <= 3));
        let mut sent: Vec<(Uuid, usize)> =
            calls.iter().flat_map(|call| call.ids.iter().map(|id| (*id, call.project))).collect();
        let mut expected: Vec<(Uuid, usize)> =
            samples.iter().enumerate().map(|(index, sample)| (sample.id, index % 4)).collect();
        sent.sort_unstable();
        expected.sort_unstable();
        assert_eq!(sent, expected);
    }
}
