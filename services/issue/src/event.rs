//! What an event is when it is read back.

use std::io;

use chrono::{DateTime, Utc};
use mesher_common::{
    id::{EventId, ProjectId},
    paging::Cursor,
    payload,
};
use serde_json::Value;

/// How bad the matter is that an event tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "event_level", rename_all = "lowercase")]
pub enum Level {
    /// Of interest only while debugging.
    Debug,
    /// Worth knowing.
    Info,
    /// Something may be going wrong.
    Warning,
    /// Something went wrong.
    Error,
    /// The application could not go on.
    Fatal,
}

/// An event without its payload.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct EventSummary {
    /// Its id.
    #[sqlx(rename = "event_id")]
    pub id: EventId,
    /// The project that it belongs to.
    pub project_id: ProjectId,
    /// When Mesher took it in.
    pub received_at: DateTime<Utc>,
    /// When it happened, as its sender says.
    pub occurred_at: DateTime<Utc>,
    /// How bad it is.
    pub level: Level,
    /// Its message.
    pub message: Option<String>,
    /// The type of the exception that was thrown.
    pub exception_type: Option<String>,
    /// The value of the exception that was thrown.
    pub exception_value: Option<String>,
    /// The application's version.
    pub release: Option<String>,
    /// Where the application runs.
    pub environment: Option<String>,
    /// The name of the SDK that sent it.
    pub sdk_name: Option<String>,
    /// The version of the SDK that sent it.
    pub sdk_version: Option<String>,
    /// The tags: an object of strings.
    pub tags: Value,
    /// Whom it happened to: an object.
    pub user: Option<Value>,
}

impl EventSummary {
    /// Its place in lists.
    pub fn cursor(&self) -> Cursor {
        Cursor { time: self.received_at, id: self.id.0 }
    }
}

/// An event with its payload.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct Event {
    /// All but the payload.
    #[sqlx(flatten)]
    pub summary: EventSummary,
    payload: Vec<u8>,
}

impl Event {
    /// The event's JSON as it was received.
    pub fn json(&self) -> io::Result<Value> {
        Ok(serde_json::from_slice(&payload::decompress(&self.payload)?)?)
    }
}
