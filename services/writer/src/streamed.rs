//! `StoreStream`: requests with the stream's own key, answered one after the other, and parcels of many keys, answered as
//! they are done.

use std::{
    panic::AssertUnwindSafe,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures_util::{FutureExt as _, Stream, stream};
use mesher_common::{
    access::{API_KEY_HEADER, PROJECT_NUMBER_HEADER},
    rpc::CALL_TIMEOUT,
    status::{self, Violation},
    telemetry,
};
use mesher_proto::mesher::writer::v1::{Parcel, ParcelResult, StoreStreamRequest, StoreStreamResponse};
use prost::Message as _;
use tokio::{
    task::JoinSet,
    time::{Instant, sleep_until, timeout},
};
use tonic::{
    Status, Streaming,
    metadata::{Ascii, MetadataMap, MetadataValue},
};
use tracing::{Instrument as _, Span, field};

use crate::service::{Service, rpc_status};

/// The most parcels in a message, and in hand of one stream: it is not read on while there are so many.
const MAX_PARCELS: usize = 1000;
/// The most bytes of messages with parcels in hand, of which one may be the last that went beyond it: a message stays in memory
/// until all of its parcels are answered.
const MAX_BYTES: usize = 8 << 20;
/// An answer that has so many bytes takes no more results. One parcel's errors can be hundreds of kilobytes, and whoever reads
/// the answer takes only so much: what all parcels in hand come to could be more.
const FULL: usize = 256 << 10;
/// How long a stream may go without a valid key. It holds a call's permit, of which there are only so many.
const KEYLESS: Duration = Duration::from_secs(10);

/// One stream.
pub(crate) struct Streamed {
    service: Service,
    /// What the stream came with.
    metadata: MetadataMap,
    requests: Option<Streaming<StoreStreamRequest>>,
    parcels: JoinSet<ParcelResult>,
    /// What the messages take that these came in.
    memory: Memory,
    /// Whether a valid key came, with the stream or with a parcel.
    has_key: Arc<AtomicBool>,
    /// When one must have come.
    key_by: Instant,
    /// What the stream ends with when the parcels in hand are answered.
    end: Option<Status>,
}

/// How many bytes of messages are in memory.
#[derive(Clone, Debug, Default)]
struct Memory(Arc<AtomicUsize>);

impl Memory {
    fn has_room(&self) -> bool {
        self.0.load(Ordering::Relaxed) < MAX_BYTES
    }

    /// Counts a message, until what this gives is dropped by the last of its parcels.
    fn hold(&self, bytes: usize) -> Arc<Held> {
        self.0.fetch_add(bytes, Ordering::Relaxed);
        Arc::new(Held { bytes, memory: self.clone() })
    }
}

/// A message that is in memory.
#[derive(Debug)]
struct Held {
    bytes: usize,
    memory: Memory,
}

impl Drop for Held {
    fn drop(&mut self) {
        self.memory.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// A bug.
#[derive(Debug, thiserror::Error)]
#[error("what stores a parcel panicked")]
struct Panicked;

impl Streamed {
    /// The stream of `requests`, which came with `metadata`: a key in there is valid.
    pub(crate) fn new(
        service: Service,
        metadata: MetadataMap,
        requests: Streaming<StoreStreamRequest>,
    ) -> Self {
        let has_key = Arc::new(AtomicBool::new(metadata.contains_key(API_KEY_HEADER)));
        let key_by = Instant::now() + KEYLESS;
        let (requests, parcels, memory) = (Some(requests), JoinSet::new(), Memory::default());
        Self { service, metadata, requests, parcels, memory, has_key, key_by, end: None }
    }

    /// The answers. An error ends them, and so does the shutdown, between two requests; the parcels in hand are answered
    /// before.
    pub(crate) fn answers(self) -> impl Stream<Item = Result<StoreStreamResponse, Status>> + Send {
        stream::unfold(self, |mut this| async move { this.next().await.map(|answer| (answer, this)) })
    }

    async fn next(&mut self) -> Option<Result<StoreStreamResponse, Status>> {
        loop {
            let (open, room) = (self.requests.is_some(), self.has_room());
            let is_keyless = !self.has_key.load(Ordering::Relaxed);
            let Self { service, requests, parcels, key_by, .. } = &mut *self;
            let reading = async {
                match requests {
                    Some(requests) => requests.message().await,
                    None => Ok(None),
                }
            };
            tokio::select! {
                biased;
                () = service.shutdown.cancelled(), if open => self.end_with(Some(status::shutting_down())),
                () = sleep_until(*key_by), if open && is_keyless => {
                    // One may have come while this waited.
                    if !self.has_key.load(Ordering::Relaxed) {
                        let why = format!("no parcel with a valid key came within {} s", KEYLESS.as_secs());
                        self.end_with(Some(status::credentials_missing(why)));
                    }
                }
                Some(done) = parcels.join_next() => return Some(self.answered(done).await),
                request = reading, if open && room => match request {
                    Ok(Some(request)) if request.parcels.is_empty() => {
                        let stored = timeout(CALL_TIMEOUT, self.store(request)).await;
                        match stored.unwrap_or_else(|_| Err(status::deadline_exceeded(CALL_TIMEOUT))) {
                            Ok(answer) => return Some(Ok(answer)),
                            Err(status) => self.end_with(Some(status)),
                        }
                    }
                    Ok(Some(request)) => if let Err(violation) = self.take(request) {
                        self.end_with(Some(violation.into()));
                    },
                    Ok(None) => self.end_with(None),
                    Err(status) => self.end_with(Some(status::typed(status))),
                },
                else => return self.end.take().map(Err),
            }
        }
    }

    /// Whether it is read on. What makes room is a parcel that is done, which is looked for all the time.
    fn has_room(&self) -> bool {
        self.parcels.len() < MAX_PARCELS && self.memory.has_room()
    }

    fn end_with(&mut self, status: Option<Status>) {
        self.requests = None;
        self.end = status;
    }

    /// Answers a request that is for the stream's own key. The key is looked at each time: it may be revoked meanwhile.
    async fn store(&self, request: StoreStreamRequest) -> Result<StoreStreamResponse, Status> {
        let sender = self.service.access.api_key::<StoreStreamRequest>(&self.metadata).await?;
        let results = self.service.store_all(&sender, &request.events).await?;
        Ok(StoreStreamResponse {
            sequence: request.sequence,
            results,
            durability: self.service.durability.into(),
            parcels: Vec::new(),
        })
    }

    /// Has parcels stored, each in a task of its own: none waits for another.
    fn take(&mut self, request: StoreStreamRequest) -> Result<(), Violation> {
        if request.parcels.len() > MAX_PARCELS {
            let description = format!("has {} parcels; {MAX_PARCELS} are allowed", request.parcels.len());
            return Err(Violation::new("parcels", description));
        }
        let message = self.memory.hold(request.encoded_len());
        for parcel in request.parcels {
            let (service, has_key) = (self.service.clone(), Arc::clone(&self.has_key));
            let (span, message) = (span(&parcel), Arc::clone(&message));
            let task = async move {
                let result = done(&service, parcel, &has_key).await;
                drop(message);
                result
            };
            self.parcels.spawn(task.instrument(span));
        }
        Ok(())
    }

    /// The answer to a parcel that is done, and to others that are done besides, until it is full. Those that were acknowledged at
    /// the same moment get their turn before: each answer wakes whoever takes it.
    async fn answered(
        &mut self,
        done: Result<ParcelResult, tokio::task::JoinError>,
    ) -> Result<StoreStreamResponse, Status> {
        tokio::task::yield_now().await;
        let (mut parcels, mut bytes) = (Vec::new(), 0);
        let mut next = Some(done);
        while let Some(done) = next {
            // A panic is caught in the task, and nobody aborts it.
            let result = done.map_err(|error| status::internal(&error))?;
            bytes += result.encoded_len();
            parcels.push(result);
            next = if bytes < FULL { self.parcels.try_join_next() } else { None };
        }
        let durability = self.service.durability.into();
        Ok(StoreStreamResponse { sequence: 0, results: Vec::new(), durability, parcels })
    }
}

/// What becomes of a parcel.
async fn done(service: &Service, parcel: Parcel, has_key: &AtomicBool) -> ParcelResult {
    let sequence = parcel.sequence;
    let stored =
        AssertUnwindSafe(timeout(CALL_TIMEOUT, stored(service, parcel, has_key))).catch_unwind().await;
    let stored = match stored {
        Ok(Ok(stored)) => stored,
        Ok(Err(_)) => Err(status::deadline_exceeded(CALL_TIMEOUT)),
        Err(_) => Err(status::internal(&Panicked)),
    };
    match stored {
        Ok(result) => ParcelResult { sequence, ..result },
        Err(error) => ParcelResult { sequence, error: Some(rpc_status(&error)), ..ParcelResult::default() },
    }
}

async fn stored(service: &Service, parcel: Parcel, has_key: &AtomicBool) -> Result<ParcelResult, Status> {
    let sender = service.access.api_key::<StoreStreamRequest>(&credentials(&parcel)).await?;
    has_key.store(true, Ordering::Relaxed);
    let results = service.store_all(&sender, &parcel.events).await?;
    Ok(ParcelResult { results, project_id: sender.project_id.to_string(), ..ParcelResult::default() })
}

/// What a parcel says of its sender, as a call of its own would say it.
fn credentials(parcel: &Parcel) -> MetadataMap {
    let mut metadata = MetadataMap::with_capacity(2);
    for (name, text) in [(API_KEY_HEADER, &parcel.api_key), (PROJECT_NUMBER_HEADER, &parcel.project_number)] {
        if !text.is_empty() {
            // No key, and no number, has characters that metadata cannot hold.
            let value = MetadataValue::<Ascii>::try_from(text.as_str());
            metadata.insert(name, value.unwrap_or_else(|_| MetadataValue::from_static("?")));
        }
    }
    metadata
}

fn span(parcel: &Parcel) -> Span {
    // Of the highest level, which only `off` leaves out: with whatever is logged of the parcel stands its id.
    let span = tracing::error_span!(
        "parcel",
        otel.name = field::Empty,
        otel.kind = field::Empty,
        request_id = parcel.request_id,
    );
    if !telemetry::records_traces() {
        return span;
    }
    span.record("otel.name", "mesher.writer.v1.WriterService/StoreStream").record("otel.kind", "server");
    if let Ok(trace) = parcel.trace_parent.parse() {
        let mut metadata = MetadataMap::with_capacity(1);
        metadata.insert(telemetry::TRACE_PARENT, trace);
        telemetry::continue_trace(&span, &metadata.into_headers());
    }
    span
}

#[cfg(test)]
mod tests {
    use super::{MAX_BYTES, Memory};

    #[test]
    fn a_message_takes_memory_until_the_last_of_its_parcels_is_done() {
        let memory = Memory::default();
        let (small, large) = (memory.hold(1), memory.hold(MAX_BYTES - 1));
        let parcel = std::sync::Arc::clone(&large);
        assert!(!memory.has_room());
        drop(large);
        assert!(!memory.has_room());
        drop(parcel);
        assert!(memory.has_room());
        let other = memory.hold(MAX_BYTES);
        drop(small);
        assert!(!memory.has_room());
        drop(other);
        assert!(memory.has_room());
    }
}
