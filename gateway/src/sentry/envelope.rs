//! Envelopes: a line of JSON about the whole, then items, each a line of JSON and a payload.
//!
//! ```text
//! {"event_id":"…","dsn":"…"}
//! {"type":"event","length":13}
//! {"message":""}
//! {"type":"session"}
//! …
//! ```
//!
//! A payload without a `length` ends with its line. An envelope is read whole before anything is made of it: of one that
//! is cut off, nothing is stored. What its items hold is not looked at here.

use std::borrow::Cow;

use bytes::Bytes;
use mesher_common::status::{self, Violation};
use serde::Deserialize;
use serde_json::value::RawValue;
use tonic::Status;

use super::minidump;
use crate::json::without_position;

/// The most items in an envelope. SDKs send a few.
const MAX_ITEMS: usize = 1000;
/// The longest line of JSON; SDKs send a few hundred bytes.
const MAX_HEADER: usize = 16 << 10;

/// An envelope.
#[derive(Debug)]
pub(super) struct Envelope {
    /// The id of its event, as it was sent.
    pub(super) event_id: Option<String>,
    /// Where it was sent to, as its sender says.
    pub(super) dsn: Option<String>,
    /// Its items.
    pub(super) items: Vec<Item>,
}

/// An item of an envelope.
#[derive(Debug)]
pub(super) struct Item {
    /// Its type.
    pub(super) kind: String,
    /// Whether it is a native crash's minidump.
    pub(super) is_minidump: bool,
    /// Its payload.
    pub(super) payload: Bytes,
}

#[derive(Deserialize)]
struct EnvelopeHeader {
    #[serde(default)]
    event_id: Option<String>,
    #[serde(default)]
    dsn: Option<String>,
}

#[derive(Deserialize)]
struct ItemHeader<'j> {
    #[serde(rename = "type", borrow)]
    kind: Cow<'j, str>,
    #[serde(borrow, default)]
    length: Option<&'j RawValue>,
    #[serde(borrow, default)]
    attachment_type: Option<&'j RawValue>,
}

impl Envelope {
    /// Reads an envelope.
    pub(super) fn parse(body: &Bytes) -> Result<Self, Status> {
        let (line, mut rest) = line(body);
        if line.is_empty() {
            return Err(status::malformed(
                "the envelope has no header: its first line must be a JSON object",
            ));
        }
        let header: EnvelopeHeader = header(line, || "the envelope's header".to_owned())?;
        let mut items = Vec::new();
        while let Some((item, behind)) = next_item(body, rest, items.len() + 1)? {
            if items.len() == MAX_ITEMS {
                let violation = Violation::new("envelope", format!("has more than {MAX_ITEMS} items"));
                return Err(status::too_large(&violation));
            }
            items.push(item);
            rest = behind;
        }
        Ok(Self { event_id: header.event_id, dsn: header.dsn, items })
    }
}

/// The first line, without its end, and what is behind it.
fn line(bytes: &[u8]) -> (&[u8], &[u8]) {
    match bytes.iter().position(|byte| *byte == b'\n') {
        Some(end) => (bytes[..end].trim_ascii(), &bytes[end + 1..]),
        None => (bytes.trim_ascii(), &[]),
    }
}

fn header<'j, T: Deserialize<'j>>(line: &'j [u8], what: impl Fn() -> String) -> Result<T, Status> {
    if line.len() > MAX_HEADER {
        return Err(status::malformed(format!("{} has more than {MAX_HEADER} bytes", what())));
    }
    if !line.starts_with(b"{") {
        return Err(status::malformed(format!("{} is not a JSON object on a line of its own", what())));
    }
    serde_json::from_slice(line).map_err(|error| {
        // The position would be one in the line.
        status::malformed(format!("{} cannot be read: {}", what(), without_position(&error)))
    })
}

/// The item that `rest`, the end of `body`, begins with and what is behind it; `None` at the end.
fn next_item<'b>(body: &Bytes, rest: &'b [u8], number: usize) -> Result<Option<(Item, &'b [u8])>, Status> {
    // Lines without anything, such as the last one.
    let rest = rest.trim_ascii_start();
    if rest.is_empty() {
        return Ok(None);
    }
    let malformed = |why: &str| status::malformed(format!("item {number} of the envelope {why}"));
    let (line, behind) = line(rest);
    let header: ItemHeader = header(line, || format!("the header of item {number} of the envelope"))?;
    let (payload, behind) = match header.length {
        None => {
            let end = behind.iter().position(|byte| *byte == b'\n').unwrap_or(behind.len());
            behind.split_at(end)
        }
        Some(length) => {
            let length: usize =
                length.get().parse().map_err(|_| malformed("has a length that is no number of bytes"))?;
            behind.split_at_checked(length).ok_or_else(|| {
                malformed(&format!("is cut off: its length is {length}, and {} bytes are left", behind.len()))
            })?
        }
    };
    let behind = match behind {
        [] => behind,
        [b'\n', behind @ ..] | [b'\r', b'\n', behind @ ..] => behind,
        _ => {
            return Err(malformed(
                "has a length that does not end where the payload does: no line ends there",
            ));
        }
    };
    let attachment: Option<String> =
        header.attachment_type.and_then(|json| serde_json::from_str(json.get()).ok());
    let is_minidump = attachment.as_deref() == Some(minidump::ATTACHMENT_TYPE);
    let item = Item { kind: header.kind.into_owned(), is_minidump, payload: body.slice_ref(payload) };
    Ok(Some((item, behind)))
}

#[cfg(test)]
mod tests;
