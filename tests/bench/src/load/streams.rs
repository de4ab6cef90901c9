//! gRPC streams to the writer: one a project, each with its requests one behind the other.

use anyhow::ensure;
use futures_util::{future::try_join_all, stream};
use mesher_proto::mesher::writer::v1::StoreStreamRequest;
use tonic::Request;

use super::{Client, Tally, closed::Call, ids, payloads};
use crate::setup::Project;

/// Sends all calls by a stream of their project's. A refusal ends it: all events are good, and no stream is ahead of the
/// writer by more than the connection holds.
pub(crate) async fn send(client: &Client, projects: &[Project], calls: &[Call]) -> anyhow::Result<Tally> {
    let streams = projects.iter().enumerate().map(|(number, project)| async move {
        let calls: Vec<&Call> = calls.iter().filter(|call| call.project == number).collect();
        let messages: Vec<StoreStreamRequest> = (0..)
            .zip(&calls)
            .map(|(sequence, call)| StoreStreamRequest {
                sequence,
                events: payloads(&call.events),
                ..StoreStreamRequest::default()
            })
            .collect();
        let mut request = Request::new(stream::iter(messages));
        request.metadata_mut().insert("x-mesher-key", project.key.clone());
        let mut answers = client.one(number).store_stream(request).await?.into_inner();
        let mut acknowledged = Vec::new();
        for call in calls {
            let answer = answers.message().await?;
            let ids = ids(answer.map(|answer| answer.results).unwrap_or_default())?;
            ensure!(ids == call.ids, "the writer acknowledged other ids than were sent");
            acknowledged.extend(ids);
        }
        anyhow::Ok(acknowledged)
    });
    let acknowledged = try_join_all(streams).await?.into_iter().flatten().collect();
    Ok(Tally { acknowledged, ..Tally::default() })
}
