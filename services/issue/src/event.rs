//! What an event is when it is read back.

use std::io;

use chrono::{DateTime, Utc};
use mesher_common::{
    id::{EventId, IssueId, ProjectId},
    level::Level,
    paging::Cursor,
    payload,
};
use serde_json::Value;

/// An event without its payload.
#[derive(Clone, Debug, PartialEq, sqlx::FromRow)]
pub struct EventSummary {
    /// Its id.
    #[sqlx(rename = "event_id")]
    pub id: EventId,
    /// The project that it belongs to.
    pub project_id: ProjectId,
    /// The issue that it belongs to.
    pub issue_id: IssueId,
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
    /// About how many bytes it takes in an answer, and not fewer.
    pub fn size(&self) -> usize {
        // The ids, the times, the level, and the tags and lengths of the fields.
        const FIXED: usize = 256;
        let texts = [
            &self.message,
            &self.exception_type,
            &self.exception_value,
            &self.release,
            &self.environment,
            &self.sdk_name,
            &self.sdk_version,
        ];
        FIXED
            + texts.into_iter().flatten().map(String::len).sum::<usize>()
            + json_size(&self.tags)
            + self.user.as_ref().map_or(0, json_size)
    }

    /// Its place in lists.
    pub fn cursor(&self) -> Cursor {
        Cursor { time: self.received_at, id: self.id.0 }
    }
}

/// About how many bytes a value takes in protobuf, and not fewer.
fn json_size(value: &Value) -> usize {
    // A tag and a length for each of the messages that a value or a field is wrapped in.
    const WRAPPED: usize = 24;
    WRAPPED
        + match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => 0,
            Value::String(text) => text.len(),
            Value::Array(items) => items.iter().map(json_size).sum(),
            Value::Object(fields) => {
                fields.iter().map(|(name, value)| WRAPPED + name.len() + json_size(value)).sum()
            }
        }
}

/// How many of these events an answer has room for, the first of them in any case.
pub fn fitting(events: &[EventSummary], max_bytes: usize) -> usize {
    let mut bytes = 0;
    let fits = |event: &&EventSummary| {
        bytes += event.size();
        bytes <= max_bytes
    };
    events.iter().take_while(fits).count().max(events.len().min(1))
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

#[cfg(test)]
mod tests {
    use chrono::DateTime;
    use mesher_proto::mesher::issue::v1 as proto;
    use prost::Message as _;
    use serde_json::json;

    use super::*;

    fn event(user: Value) -> EventSummary {
        EventSummary {
            id: EventId::new(),
            project_id: ProjectId::new(),
            issue_id: IssueId::new(),
            received_at: DateTime::UNIX_EPOCH,
            occurred_at: DateTime::UNIX_EPOCH,
            level: Level::Error,
            message: Some("m".repeat(2000)),
            exception_type: None,
            exception_value: None,
            release: Some("1.0".to_owned()),
            environment: None,
            sdk_name: None,
            sdk_version: None,
            tags: json!({"a": "b"}),
            user: Some(user),
        }
    }

    #[test]
    fn an_event_takes_no_more_than_its_size() {
        for user in [
            json!({}),
            json!({"id": 7, "name": "Ada"}),
            json!({"a": vec![1; 4000]}),
            json!({"a": vec![json!({"": []}); 1000]}),
            json!({"a": "x".repeat(8000)}),
        ] {
            let event = event(user);
            let size = event.size();
            let encoded = proto::EventSummary::from(event).encoded_len();
            assert!(encoded <= size, "{encoded} > {size}");
        }
    }

    #[test]
    fn a_page_has_what_fits_and_at_least_one() {
        let events = vec![event(json!({})); 10];
        let size = events[0].size();
        assert_eq!(fitting(&events, 10 * size), 10);
        assert_eq!(fitting(&events, 10 * size - 1), 9);
        assert_eq!(fitting(&events, 0), 1);
        assert_eq!(fitting(&[], 0), 0);
    }
}
