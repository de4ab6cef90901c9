//! What the writer's tests share.

use std::{path::Path, time::Duration};

use clap::Parser as _;
use mesher_common::handle::Handle;
use mesher_proto::mesher::{
    issue::v1::{EventSummary, ListEventsRequest},
    writer::v1::{
        EventPayload, GetWriterStatsRequest, StoreBatchRequest, StoreResult, WriterStats, event_payload,
    },
};
use mesher_suite::{Key, Project, Suite, signed, with_key};
use mesher_testing::{TestDatabase, assert_adds_up, http_client};
use mesher_writer::Config;
use tonic::{Code, Status};

pub(crate) use mesher_suite::{flush, json, store};
pub(crate) use mesher_testing::dropped;

/// Long enough for a loaded machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Starts a writer on a database that is there already, its log in this directory, with these flags besides.
pub(crate) async fn writer_on(database: &TestDatabase, log_dir: &Path, flags: &[&str]) -> Handle {
    let args = ["mesher-writer", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
    let log_dir = log_dir.to_str().unwrap();
    let args = [&args[..], &["--database-url", database.url(), "--log-dir", log_dir], flags].concat();
    mesher_writer::spawn(Config::try_parse_from(args).unwrap()).await.unwrap()
}

pub(crate) fn payload(json: &str) -> EventPayload {
    EventPayload {
        payload: Some(event_payload::Payload::Json(json.as_bytes().to_vec().into())),
        event_id: String::new(),
        ..EventPayload::default()
    }
}

/// Stores several events in one request.
pub(crate) async fn store_batch(suite: &Suite, key: &Key, texts: &[String]) -> Vec<StoreResult> {
    let request = StoreBatchRequest { events: texts.iter().map(|text| payload(text)).collect() };
    suite.writer().store_batch(with_key(key, request)).await.unwrap().into_inner().results
}

/// A project's account, which adds up.
pub(crate) async fn stats(suite: &Suite, project: &Project) -> WriterStats {
    let request = GetWriterStatsRequest { project_id: project.id.clone() };
    let answer = suite.writer().get_writer_stats(signed(&project.org.owner, request)).await.unwrap();
    let stats = answer.into_inner().stats.unwrap();
    assert_adds_up(&stats);
    stats
}

/// What the status says that stands in an answer for one of several events or parcels.
pub(crate) fn status(error: tonic_types::Status) -> Status {
    let details = prost::Message::encode_to_vec(&error).into();
    Status::with_details(Code::from_i32(error.code), error.message, details)
}

/// The writer's metrics, as Prometheus reads them.
pub(crate) async fn metrics(suite: &Suite) -> String {
    let client = http_client().build().unwrap();
    let url = format!("http://{}/metrics", suite.writer_admin());
    client.get(url).send().await.unwrap().text().await.unwrap()
}

/// A project's events, as the issue service lists them.
pub(crate) async fn events(suite: &Suite, project: &Project) -> Vec<EventSummary> {
    let request =
        ListEventsRequest { project_id: project.id.clone(), page_size: 1000, page_token: String::new() };
    suite.issues().list_events(signed(&project.org.owner, request)).await.unwrap().into_inner().events
}
