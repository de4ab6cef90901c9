//! The codec of every generated client and server: prost's, except that a message which does not decode is the
//! sender's mistake (`INVALID_ARGUMENT`), where prost's codec would call it `INTERNAL`, and that one of too many
//! [elements](MAX_ELEMENTS) is not decoded at all.

use std::marker::PhantomData;

use bytes::Buf as _;
use prost::Message;
use tonic::{
    Status,
    codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
};

use crate::shape::{MAX_ELEMENTS, Shaped, has_at_most};

/// See the [module](self).
#[derive(Debug)]
pub struct StrictCodec<T, U>(PhantomData<(T, U)>);

impl<T, U> Default for StrictCodec<T, U> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T, U> Codec for StrictCodec<T, U>
where
    T: Message + 'static,
    U: Message + Default + Shaped + 'static,
{
    type Encode = T;
    type Decode = U;
    type Encoder = StrictEncoder<T>;
    type Decoder = StrictDecoder<U>;

    fn encoder(&mut self) -> Self::Encoder {
        StrictEncoder(PhantomData)
    }

    fn decoder(&mut self) -> Self::Decoder {
        StrictDecoder(PhantomData)
    }
}

/// Encodes messages of one type.
#[derive(Debug)]
pub struct StrictEncoder<T>(PhantomData<T>);

impl<T: Message> Encoder for StrictEncoder<T> {
    type Item = T;
    type Error = Status;

    fn encode(&mut self, item: T, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        // The buffer grows as needed: encoding cannot run out of room.
        item.encode(buffer).map_err(|_| Status::internal("internal error"))
    }
}

/// Decodes messages of one type.
#[derive(Debug)]
pub struct StrictDecoder<U>(PhantomData<U>);

impl<U: Message + Default + Shaped> Decoder for StrictDecoder<U> {
    type Item = U;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<U>, Status> {
        // All of the message: it is in one piece.
        if !has_at_most(MAX_ELEMENTS, U::SHAPE, buffer.chunk()) {
            let most = format!("the message has more than {MAX_ELEMENTS} elements: send less at a time");
            return Err(Status::invalid_argument(most));
        }
        U::decode(buffer)
            .map(Some)
            .map_err(|error| Status::invalid_argument(format!("the message is not readable: {error}")))
    }
}
