//! What the statement takes that copies rows into `events`.

use std::sync::LazyLock;

use mesher_common::id::IssueId;

use crate::{
    event::Event,
    row::{self, Column},
};

/// The statement that takes what [`encode`] makes.
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

/// The whole of the data for [`STATEMENT`]: events, each with its issue.
pub(super) fn encode<'a>(events: impl Iterator<Item = (&'a Event, IssueId)>) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend(SIGNATURE);
    out.extend(HEADER);
    for (event, issue) in events {
        out.extend(COLUMNS.to_be_bytes());
        out.extend(event.row.as_bytes());
        row::put(&mut out, issue.0.as_bytes());
    }
    out.extend(TRAILER.to_be_bytes());
    out
}
