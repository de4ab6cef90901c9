//! Rows of `events` in PostgreSQL's binary COPY format (its documentation, "COPY", "Binary Format").

use bytes::{BufMut as _, BytesMut};
use chrono::{DateTime, Utc};

use mesher_common::id::IssueId;

use crate::event::Event;

/// The statement that takes what [`encode`] makes.
pub(super) const STATEMENT: &str = r#"COPY events (project_id, event_id, issue_id, fingerprint, received_at, occurred_at, level,
    message, exception_type, exception_value, release, environment, sdk_name, sdk_version, tags, "user", payload)
    FROM STDIN WITH (FORMAT binary)"#;

const COLUMNS: i16 = 17;
const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";
/// No flags, and a header extension of no bytes.
const HEADER: [u8; 8] = [0; 8];
const TRAILER: i16 = -1;
/// The version of jsonb's binary form; the text follows.
const JSONB_VERSION: u8 = 1;
/// PostgreSQL's epoch, 2000-01-01, in microseconds since 1970.
const EPOCH_MICROS: i64 = 946_684_800_000_000;

/// The whole of the data for [`STATEMENT`]: events, each with its issue.
pub(super) fn encode<'a>(events: impl Iterator<Item = (&'a Event, IssueId)>) -> BytesMut {
    let mut out = BytesMut::new();
    out.put_slice(SIGNATURE);
    out.put_slice(&HEADER);
    for (event, issue) in events {
        row(&mut out, event, issue);
    }
    out.put_i16(TRAILER);
    out
}

fn row(out: &mut BytesMut, event: &Event, issue: IssueId) {
    let fields = &event.fields;
    out.put_i16(COLUMNS);
    field(out, event.project_id.0.as_bytes());
    field(out, event.id.0.as_bytes());
    field(out, issue.0.as_bytes());
    field(out, event.fingerprint.as_bytes());
    time(out, event.received_at);
    time(out, fields.occurred_at);
    field(out, fields.level.label().as_bytes());
    text(out, fields.message.as_deref());
    text(out, fields.exception_type.as_deref());
    text(out, fields.exception_value.as_deref());
    text(out, fields.release.as_deref());
    text(out, fields.environment.as_deref());
    text(out, fields.sdk_name.as_deref());
    text(out, fields.sdk_version.as_deref());
    jsonb(out, Some(&fields.tags));
    jsonb(out, fields.user.as_deref());
    field(out, &event.payload);
}

fn field(out: &mut BytesMut, bytes: &[u8]) {
    length(out, bytes.len());
    out.put_slice(bytes);
}

fn text(out: &mut BytesMut, text: Option<&str>) {
    match text {
        Some(text) => field(out, text.as_bytes()),
        None => null(out),
    }
}

fn jsonb(out: &mut BytesMut, json: Option<&str>) {
    match json {
        Some(json) => {
            length(out, 1 + json.len());
            out.put_u8(JSONB_VERSION);
            out.put_slice(json.as_bytes());
        }
        None => null(out),
    }
}

fn time(out: &mut BytesMut, time: DateTime<Utc>) {
    field(out, &(time.timestamp_micros() - EPOCH_MICROS).to_be_bytes());
}

fn null(out: &mut BytesMut) {
    out.put_i32(-1);
}

fn length(out: &mut BytesMut, bytes: usize) {
    // Admission keeps events to megabytes: far from PostgreSQL's gigabyte, which an i32 holds.
    out.put_i32(i32::try_from(bytes).unwrap_or(i32::MAX));
}
