//! Reading request bodies: each bounded, and all of them together.

use std::{sync::Arc, thread, time::Duration};

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, StatusCode, header};
use http_body_util::BodyExt as _;
use mesher_common::status;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, timeout_at},
};

use crate::{
    deadline::Deadline,
    encoding::{DecodeError, Encoding},
    error::ApiError,
};

/// The most bytes of bodies in memory at once; requests past that are refused with status 503.
const MAX_HELD: usize = 256 << 20;

/// How many bytes of a body must come in a second, on the whole.
const SLOWEST: usize = 1 << 10;

/// How much of a body that is refused for its size is read nevertheless: a client that is still sending would see a
/// broken connection instead of the answer.
const MAX_DISCARDED: usize = 16 << 20;

/// All bodies in memory.
#[derive(Debug)]
pub(crate) struct Bodies {
    space: Arc<Semaphore>,
    /// How long a body may take, beside what its bytes take.
    patience: Duration,
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

impl Held {
    /// Other bytes in the place of these, of which there are no more.
    pub(crate) fn with(self, bytes: Bytes) -> Self {
        Self { bytes, ..self }
    }
}

impl Bodies {
    /// None yet. One that comes slower than in `patience`, and a second for each [`SLOWEST`] bytes besides, is not read to its
    /// end.
    pub(crate) fn new(patience: Duration) -> Self {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        Self { space: Arc::new(Semaphore::new(MAX_HELD)), patience, decoders: Semaphore::new(processors) }
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
        let body = Paced::new(body, self.patience);
        match deadline.bound(self.read_all(headers, body, limit)).await {
            Ok(read) => read,
            Err(late) => Err(ApiError::new(StatusCode::REQUEST_TIMEOUT, &late)),
        }
    }

    async fn read_all<B>(
        &self,
        headers: &HeaderMap,
        mut body: Paced<B>,
        limit: usize,
    ) -> Result<Held, ApiError>
    where
        B: http_body::Body<Data = Bytes> + Unpin,
    {
        let announced = body.body.size_hint().lower();
        if announced > limit as u64 {
            // A client that waits to be asked for its body (RFC 9110, 10.1.1) need not send it.
            if !headers.contains_key(header::EXPECT) {
                body.discard().await;
            }
            return Err(status::request_too_large(limit).into());
        }
        let mut bytes = Gathered::default();
        let mut space: Option<OwnedSemaphorePermit> = None;
        while let Some(data) = body.next().await? {
            if bytes.len() + data.len() > limit {
                drop(bytes);
                body.discard().await;
                return Err(status::request_too_large(limit).into());
            }
            self.extend(&mut space, data.len())?;
            bytes.add(data);
        }
        Ok(Held { bytes: bytes.into(), _space: space })
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

/// The pieces of a body. Most bodies are one, which is not copied.
#[derive(Debug, Default)]
struct Gathered {
    first: Bytes,
    /// All, if there are several.
    all: BytesMut,
}

impl Gathered {
    fn len(&self) -> usize {
        self.first.len().max(self.all.len())
    }

    fn add(&mut self, piece: Bytes) {
        if self.len() == 0 {
            self.first = piece;
            return;
        }
        if self.all.is_empty() {
            self.all.extend_from_slice(&std::mem::take(&mut self.first));
        }
        self.all.extend_from_slice(&piece);
    }
}

impl From<Gathered> for Bytes {
    fn from(gathered: Gathered) -> Self {
        if gathered.all.is_empty() { gathered.first } else { gathered.all.freeze() }
    }
}

/// A body that must not come too slowly: many that do would take all the room there is.
struct Paced<B> {
    body: B,
    patience: Duration,
    begun: Instant,
    bytes: usize,
}

impl<B: http_body::Body<Data = Bytes> + Unpin> Paced<B> {
    fn new(body: B, patience: Duration) -> Self {
        Self { body, patience, begun: Instant::now(), bytes: 0 }
    }

    /// The next piece; none at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, ApiError> {
        loop {
            let seconds = u64::try_from(self.bytes / SLOWEST).unwrap_or(u64::MAX);
            let allowed = self.patience.saturating_add(Duration::from_secs(seconds));
            let frame = timeout_at(self.begun + allowed, self.body.frame()).await;
            let slow = |_| {
                let message = format!("the body came too slowly: {} bytes in {allowed:?}", self.bytes);
                ApiError::new(StatusCode::REQUEST_TIMEOUT, &status::too_slow(message))
            };
            let Some(frame) = frame.map_err(slow)? else { return Ok(None) };
            let unreadable = |_| status::malformed("the body ended before its end, or could not be read");
            // What is no data are trailers, which say nothing here.
            if let Ok(data) = frame.map_err(unreadable)?.into_data() {
                self.bytes += data.len();
                return Ok(Some(data));
            }
        }
    }

    /// Reads on without keeping anything.
    async fn discard(mut self) {
        let mut discarded = 0;
        while discarded < MAX_DISCARDED
            && let Ok(Some(data)) = self.next().await
        {
            discarded += data.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::stream;
    use http_body::Frame;
    use http_body_util::StreamBody;

    use super::*;

    /// What becomes of a body of so many pieces of so many bytes, one a second.
    async fn read(pieces: u32, bytes: usize) -> Result<usize, StatusCode> {
        let piece = move |number| async move {
            if number == pieces {
                return None;
            }
            tokio::time::sleep(Duration::from_secs(1)).await;
            Some((Ok::<_, Infallible>(Frame::data(Bytes::from(vec![0; bytes]))), number + 1))
        };
        let body = StreamBody::new(Box::pin(stream::unfold(0, piece)));
        let deadline = Deadline::new(&HeaderMap::new(), Duration::from_hours(1)).unwrap();
        let bodies = Bodies::new(Duration::from_secs(10));
        let read = bodies.read(&HeaderMap::new(), body, 1 << 20, &deadline).await;
        read.map(|held| held.bytes.len()).map_err(|error| error.http())
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_may_be_slow_and_not_too_slow() {
        let slow = Err(StatusCode::REQUEST_TIMEOUT);
        assert_eq!(read(9, 1).await, Ok(9));
        assert_eq!(read(11, 1).await, slow);
        assert_eq!(read(500, SLOWEST).await, Ok(500 * SLOWEST));
        assert_eq!(read(500, SLOWEST / 2).await, slow);
        // One that is refused for its size is not read for ever either.
        assert_eq!(read(1_000_000, 100 << 10).await, Err(StatusCode::PAYLOAD_TOO_LARGE));
    }
}
