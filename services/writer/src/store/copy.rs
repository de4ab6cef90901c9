//! What the statement takes that copies rows into `events`.

use std::sync::LazyLock;

use mesher_common::id::IssueId;
use sqlx::{PgConnection, postgres::PgCopyIn};

use crate::{
    event::Event,
    row::{self, Column},
};

/// The statement that takes what [`send`] sends.
pub(super) static STATEMENT: LazyLock<String> = LazyLock::new(|| {
    let columns = Column::ALL.map(Column::name).join(", ");
    format!("COPY events ({columns}, issue_id) FROM STDIN WITH (FORMAT binary)")
});

const SIGNATURE: &[u8] = b"PGCOPY\n\xff\r\n\0";
/// No flags, and a header extension of no bytes.
const HEADER: [u8; 8] = [0; 8];
const TRAILER: i16 = -1;
/// Those of [`Column::ALL`], and the issue.
#[expect(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "there are few")]
const COLUMNS: i16 = Column::ALL.len() as i16 + 1;

/// About the most bytes of one message. What is larger fits into no cache, and PostgreSQL has to find new memory for each.
const MESSAGE_BYTES: usize = 64 * 1024;

/// Sends the whole of the data for [`STATEMENT`], and ends it: events, each with its issue.
pub(super) async fn send<'a>(
    copy: &mut PgCopyIn<&mut PgConnection>,
    events: impl Iterator<Item = (&'a Event, IssueId)>,
) -> Result<(), sqlx::Error> {
    let mut message = Vec::with_capacity(MESSAGE_BYTES + MESSAGE_BYTES / 4);
    message.extend(SIGNATURE);
    message.extend(HEADER);
    for (event, issue) in events {
        message.extend(COLUMNS.to_be_bytes());
        message.extend(event.row.as_bytes());
        row::put(&mut message, issue.0.as_bytes());
        if message.len() >= MESSAGE_BYTES {
            copy.send(message.as_slice()).await?;
            message.clear();
        }
    }
    message.extend(TRAILER.to_be_bytes());
    copy.send(message).await?;
    Ok(())
}
