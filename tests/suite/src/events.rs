//! Events, stored and flushed as anyone would: by calling the writer.

use mesher_proto::mesher::writer::v1::{FlushRequest, StoreRequest, store_request};

use crate::{
    Suite,
    people::{Key, Project, ok, signed, with_key},
};

/// The request to store an event of this JSON.
pub fn json(json: &str) -> StoreRequest {
    StoreRequest { payload: Some(store_request::Payload::Json(json.as_bytes().to_vec().into())) }
}

/// Stores one event, and gives its id.
pub async fn store(suite: &Suite, key: &Key, text: &str) -> String {
    ok(suite.writer().store(with_key(key, json(text))).await).event_id
}

/// Flushes a project, and says how many events that stored.
pub async fn flush(suite: &Suite, project: &Project) -> i64 {
    let request = FlushRequest { project_id: project.id.clone() };
    ok(suite.writer().flush(signed(&project.org.owner, request)).await).stored_count
}
