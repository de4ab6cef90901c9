//! How many elements a message has, found out before it is decoded: two bytes on the way become a hundred in memory, so that
//! a message within its limit of bytes could take more than there is.

use bytes::Buf as _;
use prost::encoding::{WireType, decode_key, decode_varint};

/// The most elements of a message: sixteen megabytes of real events have some hundred thousand, and half a million where each value
/// of their JSON is an element.
pub const MAX_ELEMENTS: usize = 1 << 20;

/// How deep it is counted. What is deeper is refused when it is decoded.
const MAX_DEPTH: usize = 100;

/// Which fields of a message are messages, by number, and what those are like.
#[derive(Debug)]
pub struct Shape(pub &'static [(u32, &'static Shape)]);

/// A message that an RPC takes or answers.
pub trait Shaped {
    /// What it is like.
    const SHAPE: &'static Shape;
}

include!(concat!(env!("OUT_DIR"), "/shapes.rs"));

/// Whether an encoded message has at most so many elements: fields of bytes, strings and messages, in whatever depth. What cannot be
/// read is left to the decoder to refuse.
pub(crate) fn has_at_most(elements: usize, shape: &'static Shape, message: &[u8]) -> bool {
    let mut left = elements;
    count(shape, message, &mut left, MAX_DEPTH).is_some()
}

/// Takes what there is from what is `left`; nothing if that is not enough.
fn count(shape: &'static Shape, mut message: &[u8], left: &mut usize, depth: usize) -> Option<()> {
    while message.has_remaining() {
        let Ok((number, wire_type)) = decode_key(&mut message) else { return Some(()) };
        let length = match wire_type {
            WireType::Varint => {
                if decode_varint(&mut message).is_err() {
                    return Some(());
                }
                continue;
            }
            WireType::SixtyFourBit => 8,
            WireType::ThirtyTwoBit => 4,
            WireType::LengthDelimited => match decode_varint(&mut message).map(usize::try_from) {
                Ok(Ok(length)) => {
                    *left = left.checked_sub(1)?;
                    length
                }
                _ => return Some(()),
            },
            // Of old, and in no message here: what the decoder skips takes no memory.
            WireType::StartGroup | WireType::EndGroup => continue,
        };
        let Some((field, rest)) = message.split_at_checked(length) else { return Some(()) };
        message = rest;
        let nested = shape.0.iter().find(|(nested, _)| *nested == number).filter(|_| depth > 0);
        if let Some((_, shape)) = nested.filter(|_| wire_type == WireType::LengthDelimited) {
            count(shape, field, left, depth - 1)?;
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use prost::Message as _;
    use prost_types::{ListValue, Struct, Value, value::Kind};

    use super::*;
    use crate::mesher::writer::v1::{EventPayload, Parcel, StoreStreamRequest, event_payload::Payload};

    fn elements(request: &StoreStreamRequest) -> usize {
        let message = request.encode_to_vec();
        let fits = |elements| has_at_most(elements, StoreStreamRequest::SHAPE, &message);
        (0..10_000).find(|elements| fits(*elements)).unwrap()
    }

    #[test]
    fn whatever_takes_memory_is_counted_in_whatever_depth() {
        let parcel = Parcel { events: vec![EventPayload::default(); 7], ..Parcel::default() };
        let request = StoreStreamRequest { parcels: vec![parcel; 3], ..StoreStreamRequest::default() };
        assert_eq!(elements(&request), 3 + 3 * 7);

        let null = Value { kind: Some(Kind::NullValue(0)) };
        let list = Value { kind: Some(Kind::ListValue(ListValue { values: vec![null; 1000] })) };
        let event = Struct { fields: [("a".to_owned(), list)].into() };
        let payload = EventPayload { payload: Some(Payload::Event(event)), ..EventPayload::default() };
        let request = StoreStreamRequest { events: vec![payload], ..StoreStreamRequest::default() };
        // The payload, the event, its field with key and value, the list and its values.
        assert_eq!(elements(&request), 1 + 1 + 3 + 1 + 1000);
    }

    #[test]
    fn what_is_in_bytes_is_one_element() {
        let json = vec![0x0a; 100_000].into();
        let payload = EventPayload { payload: Some(Payload::Json(json)), ..EventPayload::default() };
        let request = StoreStreamRequest { events: vec![payload], ..StoreStreamRequest::default() };
        assert_eq!(elements(&request), 2);
    }

    #[test]
    fn what_is_no_message_is_left_to_the_decoder() {
        for message in
            [&b"\x0a"[..], b"\x0a\xff", b"\xff", b"\x08", b"\x09\x01", b"\x0f", b"\x12\xff\xff\xff\xff\x0f"]
        {
            assert!(has_at_most(1, StoreStreamRequest::SHAPE, message), "{message:?}");
            assert!(StoreStreamRequest::decode(message).is_err(), "{message:?}");
        }
    }
}
