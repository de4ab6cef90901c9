//! Reading request bodies: each bounded, and all of them together.

use std::{sync::Arc, thread};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt as _;
use mesher_common::status;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{
    deadline::Deadline,
    encoding::{DecodeError, Encoding},
    error::ApiError,
};

/// The most bytes of bodies in memory at once; requests past that are refused with status 503.
const MAX_HELD: usize = 256 << 20;

/// How much of a body that is refused for its size is read nevertheless: a client that is still sending would see a
/// broken connection instead of the answer.
const MAX_DISCARDED: usize = 16 << 20;

/// All bodies in memory.
#[derive(Debug)]
pub(crate) struct Bodies {
    space: Arc<Semaphore>,
    /// A decoder needs some megabytes for itself. None waits for anything but the processor: more than there are
    /// processors would do nothing but hold theirs.
    decoders: Semaphore,
}

/// A body in memory.
#[derive(Debug)]
pub(crate) struct Held {
    /// What it says.
    pub(crate) bytes: Bytes,
    _space: Option<OwnedSemaphorePermit>,
}

impl Bodies {
    /// None yet.
    pub(crate) fn new() -> Self {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        Self { space: Arc::new(Semaphore::new(MAX_HELD)), decoders: Semaphore::new(processors) }
    }

    /// Reads a body of at most `limit` bytes, by the deadline.
    pub(crate) async fn read<B>(
        &self,
        headers: &HeaderMap,
        body: B,
        limit: usize,
        deadline: &Deadline,
    ) -> Result<Held, ApiError>
    where
        B: http_body::Body<Data = Bytes> + Unpin,
    {
        match deadline.bound(self.read_all(headers, body, limit)).await {
            Ok(read) => read,
            Err(late) => Err(ApiError::new(StatusCode::REQUEST_TIMEOUT, &late)),
        }
    }

    async fn read_all<B>(&self, headers: &HeaderMap, mut body: B, limit: usize) -> Result<Held, ApiError>
    where
        B: http_body::Body<Data = Bytes> + Unpin,
    {
        let announced = body.size_hint().lower();
        if announced > limit as u64 {
            // A client that waits to be asked for its body (RFC 9110, 10.1.1) need not send it.
            if !headers.contains_key(header::EXPECT) {
                discard(body).await;
            }
            return Err(status::request_too_large(limit).into());
        }
        let mut bytes = BytesMut::new();
        let mut space: Option<OwnedSemaphorePermit> = None;
        while let Some(frame) = body.frame().await {
            let unreadable = || status::malformed("the body ended before its end, or could not be read");
            let Ok(data) = frame.map_err(|_| unreadable())?.into_data() else {
                continue;
            };
            if bytes.len() + data.len() > limit {
                drop(bytes);
                discard(body).await;
                return Err(status::request_too_large(limit).into());
            }
            self.extend(&mut space, data.len())?;
            bytes.extend_from_slice(&data);
        }
        Ok(Held { bytes: bytes.freeze(), _space: space })
    }

    /// Undoes the encoding of a body, which has at most `limit` bytes then, by the deadline.
    pub(crate) async fn decode(
        &self,
        body: Held,
        encoding: Encoding,
        limit: usize,
        deadline: &Deadline,
    ) -> Result<Held, ApiError> {
        let mut space = None;
        let decode = async {
            // It fails only if it was closed, which nobody does.
            let _decoder = self.decoders.acquire().await;
            let make_room = |more| self.extend(&mut space, more);
            encoding.decode(body.bytes.clone(), limit, make_room).await
        };
        let decoded = deadline.bound(decode).await;
        let late = |late| ApiError::new(StatusCode::REQUEST_TIMEOUT, &late);
        match decoded.map_err(late)? {
            Ok(bytes) => Ok(Held { bytes, _space: space }),
            Err(DecodeError::Damaged(why)) => Err(status::malformed(why).into()),
            Err(DecodeError::TooLarge) => Err(status::request_too_large(limit).into()),
            Err(DecodeError::NoRoom(error)) => Err(error),
        }
    }

    fn extend(&self, space: &mut Option<OwnedSemaphorePermit>, bytes: usize) -> Result<(), ApiError> {
        let more = self.space_for(bytes)?;
        match space {
            Some(space) => space.merge(more),
            None => *space = Some(more),
        }
        Ok(())
    }

    fn space_for(&self, bytes: usize) -> Result<OwnedSemaphorePermit, ApiError> {
        u32::try_from(bytes)
            .ok()
            .and_then(|bytes| Arc::clone(&self.space).try_acquire_many_owned(bytes).ok())
            .ok_or_else(|| status::shed("the gateway has too many requests in memory: try again").into())
    }
}

/// Reads on without keeping anything.
async fn discard<B: http_body::Body<Data = Bytes> + Unpin>(mut body: B) {
    let mut discarded = 0;
    while discarded < MAX_DISCARDED {
        match body.frame().await {
            Some(Ok(frame)) => discarded += frame.data_ref().map_or(0, Bytes::len),
            Some(Err(_)) | None => return,
        }
    }
}
