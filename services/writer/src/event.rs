//! An event that was admitted: everything that will be stored of it, and nothing that could still be refused.

use chrono::{DateTime, Utc};
use mesher_common::{
    id::{EventId, ProjectId},
    level::Level,
};

use crate::{admission::Fingerprint, log::Record};

/// The most characters of a title.
const MAX_TITLE: usize = 200;

/// An admitted event.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Its id.
    pub id: EventId,
    /// Whether the sender gave the id: only then can another event have the same.
    pub id_given: bool,
    /// The project that it belongs to.
    pub project_id: ProjectId,
    /// When the writer took it in; together with the id, what tells a retry from a new event.
    pub received_at: DateTime<Utc>,
    /// What tells which issue it belongs to.
    pub fingerprint: Fingerprint,
    /// What is read of its payload.
    pub fields: Fields,
    /// The whole payload as received, compressed.
    pub payload: Vec<u8>,
}

impl Event {
    /// The event as it is written to the log.
    pub fn record(&self) -> Record<&[u8]> {
        Record {
            project: self.project_id,
            id: self.id,
            received_at: self.received_at.timestamp_micros(),
            id_given: self.id_given,
            fingerprint: self.fingerprint,
            payload: &self.payload,
        }
    }

    /// What its issue is called after it: what was thrown, or else its message; the first line.
    pub fn title(&self) -> String {
        let Fields { exception_type, exception_value, message, .. } = &self.fields;
        let title = match (first_line(exception_type.as_deref()), first_line(exception_value.as_deref())) {
            ("", "") => first_line(message.as_deref()).to_owned(),
            (kind, "") => kind.to_owned(),
            ("", value) => value.to_owned(),
            (kind, value) => format!("{kind}: {value}"),
        };
        let title: String = title.chars().take(MAX_TITLE).collect();
        if title.is_empty() { "(no message)".to_owned() } else { title }
    }

    /// About how many bytes it takes in memory and in the database.
    pub fn size(&self) -> usize {
        let fields = &self.fields;
        let texts = [
            &fields.message,
            &fields.exception_type,
            &fields.exception_value,
            &fields.release,
            &fields.environment,
            &fields.sdk_name,
            &fields.sdk_version,
            &fields.user,
        ];
        size_of::<Self>()
            + self.payload.len()
            + fields.tags.len()
            + texts.into_iter().flatten().map(String::len).sum::<usize>()
    }
}

fn first_line(text: Option<&str>) -> &str {
    text.and_then(|text| text.trim().lines().next()).unwrap_or_default()
}

/// What is read of an event's payload, because events are filtered, grouped or listed by it. No text holds a NUL,
/// which PostgreSQL cannot store.
#[derive(Clone, Debug, PartialEq)]
pub struct Fields {
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
    /// The tags: the JSON text of an object of strings.
    pub tags: String,
    /// Whom it happened to: the JSON text of an object.
    pub user: Option<String>,
}
