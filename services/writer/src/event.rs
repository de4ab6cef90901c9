//! An event that was admitted: everything that will be stored of it, and nothing that could still be refused.

use std::borrow::Cow;

use chrono::{DateTime, Utc};
use mesher_common::{
    id::{EventId, ProjectId},
    level::Level,
};

use crate::{
    admission::Fingerprint,
    log::Record,
    row::{self, Column, Row},
};

/// The most characters of a title.
const MAX_TITLE: usize = 200;

/// An admitted event; `R` is what holds its row.
#[derive(Clone, Debug, PartialEq)]
pub struct Event<R = Row> {
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
    /// All that is stored of it.
    pub row: R,
}

impl Event<()> {
    /// The same event with a row.
    pub(crate) fn with_row(self, row: Row) -> Event {
        let Self { id, id_given, project_id, received_at, fingerprint, row: () } = self;
        Event { id, id_given, project_id, received_at, fingerprint, row }
    }
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
            layout: row::LAYOUT,
            row: self.row.as_bytes(),
        }
    }

    /// Its whole payload as received, compressed.
    pub fn payload(&self) -> &[u8] {
        self.row.get(Column::Payload).unwrap_or_default()
    }

    /// What its issue is called after it: what was thrown, or else its message; the first line.
    pub fn title(&self) -> String {
        let title = match (self.first_line(Column::ExceptionType), self.first_line(Column::ExceptionValue)) {
            ("", "") => self.first_line(Column::Message).to_owned(),
            (kind, "") => kind.to_owned(),
            ("", value) => value.to_owned(),
            (kind, value) => format!("{kind}: {value}"),
        };
        let title: String = title.chars().take(MAX_TITLE).collect();
        if title.is_empty() { "(no message)".to_owned() } else { title }
    }

    fn first_line(&self, column: Column) -> &str {
        self.row.text(column).and_then(|text| text.trim().lines().next()).unwrap_or_default()
    }

    /// About how many bytes it takes in memory and in the database.
    pub fn size(&self) -> usize {
        size_of::<Self>() + self.row.as_bytes().len()
    }
}

/// What is read of an event's payload, because events are filtered, grouped or listed by it. No text holds a NUL,
/// which PostgreSQL cannot store.
#[derive(Clone, Debug, PartialEq)]
pub struct Fields<'a> {
    /// When it happened, as its sender says.
    pub occurred_at: DateTime<Utc>,
    /// How bad it is.
    pub level: Level,
    /// Its message.
    pub message: Option<Cow<'a, str>>,
    /// The type of the exception that was thrown.
    pub exception_type: Option<Cow<'a, str>>,
    /// The value of the exception that was thrown.
    pub exception_value: Option<Cow<'a, str>>,
    /// The application's version.
    pub release: Option<Cow<'a, str>>,
    /// Where the application runs.
    pub environment: Option<Cow<'a, str>>,
    /// The name of the SDK that sent it.
    pub sdk_name: Option<Cow<'a, str>>,
    /// The version of the SDK that sent it.
    pub sdk_version: Option<Cow<'a, str>>,
    /// The tags: the JSON text of an object of strings.
    pub tags: String,
    /// Whom it happened to: the JSON text of an object.
    pub user: Option<String>,
}

impl Fields<'_> {
    /// How many bytes of text they have.
    pub(crate) fn size(&self) -> usize {
        let texts = [
            &self.message,
            &self.exception_type,
            &self.exception_value,
            &self.release,
            &self.environment,
            &self.sdk_name,
            &self.sdk_version,
        ];
        let texts: usize = texts.into_iter().flatten().map(|text| text.len()).sum();
        texts + self.tags.len() + self.user.as_ref().map_or(0, String::len)
    }
}
