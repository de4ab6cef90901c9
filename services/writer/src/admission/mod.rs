//! Admission: from what a sender sent to an [`Event`], or to the reason why it is refused. What can be normalised
//! is; what cannot be gets an error that names the field. Nothing that passes here can spoil a batch.

mod fields;
mod grouping;
mod json;
mod parse;
mod reader;
mod shape;
mod struct_json;
mod template;

use std::io;

use chrono::{DateTime, Utc};
use mesher_common::{
    id::{EventId, ProjectId},
    payload::{self, MAX_EVENT_BYTES},
    status::Violation,
};
use prost_types::Struct;

pub use self::grouping::{Fingerprint, VERSION as FINGERPRINT_VERSION};
use self::json::Json;
use crate::{
    event::Event,
    log::Record,
    row::{self, Row},
};

/// Why an event is refused.
#[derive(Debug, thiserror::Error)]
pub enum AdmissionError {
    /// A field cannot be read, or the event says nothing.
    #[error(transparent)]
    Invalid(#[from] Violation),
    /// The event is too large.
    #[error("{0}")]
    TooLarge(Violation),
    /// The payload could not be compressed.
    #[error("the payload cannot be compressed")]
    Compression(#[source] io::Error),
}

/// What a sender sent.
#[derive(Debug)]
pub enum Sent<'a> {
    /// JSON text.
    Json(&'a [u8]),
    /// The same, as protobuf has it.
    Struct(&'a Struct),
}

/// Admits an event of `project` that arrived at `now`.
pub fn admit(project: ProjectId, sent: &Sent<'_>, now: DateTime<Utc>) -> Result<Event, AdmissionError> {
    admit_with_id(project, sent, IdsBeside::default(), now)
}

/// The ids that came beside an event.
#[derive(Clone, Copy, Debug, Default)]
pub struct IdsBeside {
    /// Holds, whatever stands in the event.
    pub id: Option<EventId>,
    /// Holds where nothing else gives one.
    pub fallback: Option<EventId>,
}

/// As [`admit`], with ids that came beside the event.
pub fn admit_with_id(
    project: ProjectId,
    sent: &Sent<'_>,
    ids: IdsBeside,
    now: DateTime<Utc>,
) -> Result<Event, AdmissionError> {
    match sent {
        Sent::Json(json) => admit_json(project, "json", json, ids, now),
        Sent::Struct(event) => admit_json(project, "event", &struct_json::to_json(event), ids, now),
    }
}

fn admit_json(
    project: ProjectId,
    field: &'static str,
    json: &[u8],
    ids: IdsBeside,
    now: DateTime<Utc>,
) -> Result<Event, AdmissionError> {
    check_size(field, json)?;
    let text = std::str::from_utf8(json)
        .map_err(|error| Violation::new(field, format!("cannot be read as JSON: {error}")))?;
    let (value, mended) = parse::parse(text).map_err(|error| Violation::new(field, error.to_string()))?;
    let Json::Object(event) = value else {
        return Err(Violation::new(field, format!("must be a JSON object, and is {}", value.kind())).into());
    };
    let json = mended.as_ref().map_or(json, String::as_bytes);
    check_size(field, json)?;
    let given = match ids.id {
        Some(id) => Some(id),
        None => fields::event_id(&event)?.or(ids.fallback),
    };
    let exceptions = fields::exceptions(&event)?;
    let fields = fields::read(&event, &exceptions, now)?;
    let event = Event {
        id: given.unwrap_or_else(EventId::new),
        id_given: given.is_some(),
        project_id: project,
        received_at: now,
        fingerprint: grouping::fingerprint(&event, &exceptions, fields.message.as_deref()),
        row: (),
    };
    let row = payload::compress_for(json, |payload| Row::encode(&event, &fields, payload))
        .map_err(AdmissionError::Compression)?;
    Ok(event.with_row(row))
}

fn check_size(field: &'static str, json: &[u8]) -> Result<(), AdmissionError> {
    if json.len() <= MAX_EVENT_BYTES {
        return Ok(());
    }
    let description = format!("has {} bytes; {MAX_EVENT_BYTES} are allowed", json.len());
    Err(AdmissionError::TooLarge(Violation::new(field, description)))
}

/// Makes of a record in the log the event that was admitted. Its row is made again only if another version of Mesher made it.
pub fn restore(record: Record) -> io::Result<Event> {
    let damaged = |reason: &str| io::Error::new(io::ErrorKind::InvalidData, reason.to_owned());
    let Record { project, id, received_at, id_given, fingerprint, layout, row } = record;
    let received_at = DateTime::from_timestamp_micros(received_at)
        .ok_or_else(|| damaged("the time of a record is out of range"))?;
    let event = Event { id, id_given, project_id: project, received_at, fingerprint, row: () };
    let row = if layout == row::LAYOUT { Row::from_bytes(row) } else { row_again(&event, &row)? };
    Ok(event.with_row(row))
}

/// The row of an event, from the payload in a row of another layout.
fn row_again(event: &Event<()>, row: &[u8]) -> io::Result<Row> {
    let invalid = |reason: String| io::Error::new(io::ErrorKind::InvalidData, reason);
    let payload = row::payload(row).ok_or_else(|| invalid("the record has no payload".to_owned()))?;
    let json = payload::decompress(payload)?;
    let text = std::str::from_utf8(&json).map_err(|error| invalid(error.to_string()))?;
    let (value, _) = parse::parse(text).map_err(|error| invalid(error.to_string()))?;
    let Json::Object(found) = value else {
        return Err(invalid("the payload is no JSON object".to_owned()));
    };
    let unreadable = |violation: Violation| invalid(violation.to_string());
    let exceptions = fields::exceptions(&found).map_err(unreadable)?;
    let fields = fields::read(&found, &exceptions, event.received_at).map_err(unreadable)?;
    Ok(Row::encode(event, &fields, payload))
}

#[cfg(test)]
mod tests;
