//! An event's row of the table `events`, in PostgreSQL's binary COPY format (its documentation, "COPY", "Binary Format").
//!
//! It is made once, at admission, and is what the log holds and what is sent to PostgreSQL: an event that waited on disk is
//! neither decompressed nor parsed again. Only its issue is not known before the transaction that stores it, and is the last
//! column for that reason.

use chrono::{DateTime, TimeDelta, Utc};

use crate::event::{Event, Fields};

/// The layout of [`Column::ALL`]. It changes with the columns, so that a row in a log that another version left is told from
/// one that can be sent as it is.
pub const LAYOUT: u8 = 1;

/// PostgreSQL's epoch, 2000-01-01, in microseconds since 1970.
const EPOCH_MICROS: i64 = 946_684_800_000_000;
/// The version of jsonb's binary form; the text follows.
const JSONB_VERSION: u8 = 1;

/// The columns of a row, but for its issue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// The project that it belongs to.
    ProjectId,
    /// Its id.
    EventId,
    /// What tells its issue.
    Fingerprint,
    /// When the writer took it in.
    ReceivedAt,
    /// When it happened, as its sender says.
    OccurredAt,
    /// How bad it is.
    Level,
    /// Its message.
    Message,
    /// The type of the exception that was thrown.
    ExceptionType,
    /// The value of the exception that was thrown.
    ExceptionValue,
    /// The application's version.
    Release,
    /// Where the application runs.
    Environment,
    /// The name of the SDK that sent it.
    SdkName,
    /// The version of the SDK that sent it.
    SdkVersion,
    /// The tags.
    Tags,
    /// Whom it happened to.
    User,
    /// The whole payload, compressed. The last one in every layout, past or to come.
    Payload,
}

impl Column {
    /// All of them, in their order.
    pub const ALL: [Self; 16] = [
        Self::ProjectId,
        Self::EventId,
        Self::Fingerprint,
        Self::ReceivedAt,
        Self::OccurredAt,
        Self::Level,
        Self::Message,
        Self::ExceptionType,
        Self::ExceptionValue,
        Self::Release,
        Self::Environment,
        Self::SdkName,
        Self::SdkVersion,
        Self::Tags,
        Self::User,
        Self::Payload,
    ];

    /// Its name in SQL.
    pub fn name(self) -> &'static str {
        match self {
            Self::ProjectId => "project_id",
            Self::EventId => "event_id",
            Self::Fingerprint => "fingerprint",
            Self::ReceivedAt => "received_at",
            Self::OccurredAt => "occurred_at",
            Self::Level => "level",
            Self::Message => "message",
            Self::ExceptionType => "exception_type",
            Self::ExceptionValue => "exception_value",
            Self::Release => "release",
            Self::Environment => "environment",
            Self::SdkName => "sdk_name",
            Self::SdkVersion => "sdk_version",
            Self::Tags => "tags",
            Self::User => "\"user\"",
            Self::Payload => "payload",
        }
    }
}

/// A row without its issue: for each [`Column`] its length and its bytes, or -1 for null.
#[derive(Clone, PartialEq, Eq)]
pub struct Row(Box<[u8]>);

impl Row {
    /// The row of an event with these `fields` and this compressed payload.
    pub(crate) fn encode(event: &Event<()>, fields: &Fields<'_>, payload: &[u8]) -> Self {
        let mut out = Vec::with_capacity(fields.size() + payload.len() + 256);
        for column in Column::ALL {
            let out = &mut out;
            match column {
                Column::ProjectId => put(out, event.project_id.0.as_bytes()),
                Column::EventId => put(out, event.id.0.as_bytes()),
                Column::Fingerprint => put(out, event.fingerprint.as_bytes()),
                Column::ReceivedAt => put_time(out, event.received_at),
                Column::OccurredAt => put_time(out, fields.occurred_at),
                Column::Level => put(out, fields.level.label().as_bytes()),
                Column::Message => put_text(out, fields.message.as_deref()),
                Column::ExceptionType => put_text(out, fields.exception_type.as_deref()),
                Column::ExceptionValue => put_text(out, fields.exception_value.as_deref()),
                Column::Release => put_text(out, fields.release.as_deref()),
                Column::Environment => put_text(out, fields.environment.as_deref()),
                Column::SdkName => put_text(out, fields.sdk_name.as_deref()),
                Column::SdkVersion => put_text(out, fields.sdk_version.as_deref()),
                Column::Tags => put_jsonb(out, Some(&fields.tags)),
                Column::User => put_jsonb(out, fields.user.as_deref()),
                Column::Payload => put(out, payload),
            }
        }
        Self(out.into())
    }

    /// The row with these bytes, which [`Row::as_bytes`] gave.
    pub(crate) fn from_bytes(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }

    /// Its bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// A column's bytes; `None` for null.
    pub fn get(&self, column: Column) -> Option<&[u8]> {
        columns(&self.0).nth(column as usize).flatten()
    }

    /// A column's text; `None` for null. Of a column of JSON it is the JSON.
    pub fn text(&self, column: Column) -> Option<&str> {
        let bytes = self.get(column)?;
        let text = if matches!(column, Column::Tags | Column::User) { bytes.get(1..)? } else { bytes };
        std::str::from_utf8(text).ok()
    }

    /// A column's time.
    pub fn time(&self, column: Column) -> Option<DateTime<Utc>> {
        let micros = i64::from_be_bytes(self.get(column)?.try_into().ok()?);
        DateTime::from_timestamp_micros(EPOCH_MICROS)?.checked_add_signed(TimeDelta::microseconds(micros))
    }
}

impl std::fmt::Debug for Row {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "Row({} bytes)", self.0.len())
    }
}

/// The compressed payload in a row of any layout.
pub(crate) fn payload(row: &[u8]) -> Option<&[u8]> {
    columns(row).last().flatten()
}

/// The columns of a row, one after the other, as far as it can be read.
fn columns(mut row: &[u8]) -> impl Iterator<Item = Option<&[u8]>> {
    std::iter::from_fn(move || {
        let (length, rest) = row.split_first_chunk::<4>()?;
        let length = i32::from_be_bytes(*length);
        let (column, rest) = match usize::try_from(length) {
            Ok(length) => {
                let (column, rest) = rest.split_at_checked(length)?;
                (Some(column), rest)
            }
            Err(_) => (None, rest),
        };
        row = rest;
        Some(column)
    })
}

/// Appends a column to a row.
pub(crate) fn put(out: &mut Vec<u8>, bytes: &[u8]) {
    put_length(out, bytes.len());
    out.extend(bytes);
}

fn put_text(out: &mut Vec<u8>, text: Option<&str>) {
    match text {
        Some(text) => put(out, text.as_bytes()),
        None => put_null(out),
    }
}

fn put_jsonb(out: &mut Vec<u8>, json: Option<&str>) {
    match json {
        Some(json) => {
            put_length(out, 1 + json.len());
            out.push(JSONB_VERSION);
            out.extend(json.as_bytes());
        }
        None => put_null(out),
    }
}

fn put_time(out: &mut Vec<u8>, time: DateTime<Utc>) {
    put(out, &(time.timestamp_micros() - EPOCH_MICROS).to_be_bytes());
}

fn put_null(out: &mut Vec<u8>) {
    out.extend((-1_i32).to_be_bytes());
}

fn put_length(out: &mut Vec<u8>, bytes: usize) {
    // Admission keeps events to megabytes: far from PostgreSQL's gigabyte, which an i32 holds.
    out.extend(i32::try_from(bytes).unwrap_or(i32::MAX).to_be_bytes());
}
