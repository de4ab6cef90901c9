//! Taking events to a writer. A lane is one long-lived stream: what many requests bring is collected in few messages, and
//! each answer finds its way back by a number.
//!
//! Nothing waits for company. What has come while the lane was busy goes in one message; on an idle machine that is one
//! request's events, and on a busy one those of many.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use mesher_common::status;
use mesher_proto::mesher::writer::v1::{
    Durability, Parcel, ParcelResult, StoreStreamRequest, StoreStreamResponse,
    writer_service_client::WriterServiceClient,
};
use prost::Message as _;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot},
    time::timeout,
};
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming, transport::Channel};

use super::failure::Failure;
use crate::guard::Attempt;

/// How many lanes there are to a writer: one is as fast as one of its processors.
const LANES: usize = 2;
/// The most parcels that wait for a lane; more are refused.
const QUEUE: usize = 1024;
/// The most KiB of parcels that wait for the lanes of a writer, whether or not their senders still wait; more are refused.
const QUEUE_KIB: usize = 64 << 10;
/// The most parcels that are sent and not answered; more wait.
const MAX_UNANSWERED: usize = 2048;
/// The most parcels in a message.
const MAX_PARCELS: usize = 500;
/// A message that has so many bytes takes no more.
const FULL: usize = 256 << 10;
/// The largest answer: that to a message with a thousand errors, and far more.
const MAX_ANSWER: usize = 16 << 20;
/// How long what is in hand is waited for when a lane closes.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// The ways to one writer.
#[derive(Debug)]
pub(crate) struct Lanes {
    queues: Vec<mpsc::Sender<Waiting>>,
    /// What is left of [`QUEUE_KIB`].
    room: Arc<Semaphore>,
    next: AtomicUsize,
}

/// The answer to a parcel, and what is promised for what was accepted of it.
pub(crate) type Answer = (ParcelResult, Durability);

/// A parcel that waits.
#[derive(Debug)]
struct Waiting {
    parcel: Parcel,
    /// Its length as a message.
    bytes: usize,
    reply: Reply,
    /// What it takes of the queues, while it is in one.
    _room: Option<OwnedSemaphorePermit>,
}

/// Who is told the answer to a parcel.
#[derive(Debug)]
struct Reply {
    /// Who waits for it, and may have gone away.
    waiting: oneshot::Sender<Result<Answer, Unanswered>>,
    /// What counts keys that are not valid, whoever waits.
    attempt: Option<Arc<Attempt>>,
}

impl Reply {
    fn give(self, answer: Answer) {
        if let Some(attempt) = &self.attempt {
            attempt.answered(answer.0.error.as_ref());
        }
        let _ = self.waiting.send(Ok(answer));
    }

    /// Tells that there is no answer, and why, if the stream ended with something.
    fn give_up(self, status: Option<&Status>, was_sent: bool) {
        let _ = self.waiting.send(Err(Unanswered { status: status.cloned(), was_sent }));
    }
}

/// Why a parcel was not answered.
#[derive(Clone, Debug)]
struct Unanswered {
    /// What the stream ended with; none where the lane closed.
    status: Option<Status>,
    /// Whether the writer may have it.
    was_sent: bool,
}

impl Unanswered {
    fn failure(self, service: &str) -> Failure {
        let failure = match self.status {
            Some(status) => Failure::of_stream(service, status),
            None => Failure::lost(service),
        };
        if self.was_sent { failure } else { failure.never_sent() }
    }
}

/// The task of one lane.
pub(super) struct Lane {
    channel: Channel,
    queue: mpsc::Receiver<Waiting>,
    /// Whether the last stream failed without an answer.
    is_failing: bool,
}

impl Lanes {
    /// The lanes to the writer of `channel`, each of which is to be run as a task.
    pub(super) fn new(channel: &Channel) -> (Self, Vec<Lane>) {
        let lane = || {
            let (queue, waiting) = mpsc::channel(QUEUE);
            (queue, Lane { channel: channel.clone(), queue: waiting, is_failing: false })
        };
        let (queues, lanes) = std::iter::repeat_with(lane).take(LANES).unzip();
        let room = Arc::new(Semaphore::new(QUEUE_KIB));
        (Self { queues, room, next: AtomicUsize::new(0) }, lanes)
    }

    /// Has a parcel stored by `service`. Its number is chosen here. `attempt` is told the answer whether or not this is waited for.
    pub(crate) async fn store(
        &self,
        service: &str,
        parcel: Parcel,
        attempt: Option<Arc<Attempt>>,
    ) -> Result<Answer, Failure> {
        let full = || status::shed("the gateway has too many events that wait for the writer: try again");
        let bytes = parcel.encoded_len();
        let kib = u32::try_from(bytes / 1024 + 1).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room).try_acquire_many_owned(kib).map_err(|_| full())?;
        let (waiting, answered) = oneshot::channel();
        let mut waiting = Waiting { parcel, bytes, reply: Reply { waiting, attempt }, _room: Some(room) };
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        for at in 0..self.queues.len() {
            let queue = &self.queues[turn.wrapping_add(at) % self.queues.len()];
            waiting = match queue.try_send(waiting) {
                Ok(()) => {
                    return match answered.await {
                        Ok(answer) => answer.map_err(|why| why.failure(service)),
                        Err(_) => Err(Failure::lost(service)),
                    };
                }
                Err(mpsc::error::TrySendError::Full(back) | mpsc::error::TrySendError::Closed(back)) => back,
            };
        }
        if self.queues.iter().all(mpsc::Sender::is_closed) {
            return Err(Failure::lost(service).never_sent());
        }
        Err(full().into())
    }
}

impl Lane {
    /// Runs until `close` is cancelled, and what is in hand then is answered.
    pub(super) async fn run(mut self, close: CancellationToken) {
        loop {
            let first = tokio::select! {
                first = self.queue.recv() => first,
                () = close.cancelled() => return self.give_up(None),
            };
            let Some(first) = first else { return };
            self.stream(first, &close).await;
        }
    }

    /// Takes no more, and tells what waits that it was not sent.
    fn give_up(mut self, status: Option<&Status>) {
        self.queue.close();
        give_up(&mut self.queue, status);
    }

    /// Opens the stream for a parcel, and uses it until it ends. What is not answered then was lost, and is so told by the
    /// end of its channel, or by what the writer said.
    async fn stream(&mut self, first: Waiting, close: &CancellationToken) {
        let (messages, sent) = mpsc::channel(1);
        let mut client = WriterServiceClient::new(self.channel.clone()).max_decoding_message_size(MAX_ANSWER);
        let mut stream = Stream {
            messages: Some(messages),
            batch: Batch::default(),
            unanswered: HashMap::new(),
            number: 0,
            was_answered: false,
        };
        stream.add(first);
        let opened = close.run_until_cancelled(client.store_stream(ReceiverStream::new(sent)));
        let ended = match opened.await {
            Some(Ok(answers)) => stream.run(answers.into_inner(), &mut self.queue, close).await,
            Some(Err(status)) => Err(status),
            // Nothing was sent, and the caller closes the queue.
            None => Ok(()),
        };
        let status = ended.err();
        if let Some(status) = &status {
            // The next writer has them at once. Here they would each wait for a stream to be opened, one after the other, where
            // that takes its time to fail.
            give_up(&mut self.queue, Some(status));
            self.note(status, &stream);
        } else {
            self.is_failing = false;
        }
        stream.end(status);
    }

    /// Has the log say why a stream failed: once, and not at every try. That a writer is away is said where that is found out.
    fn note(&mut self, status: &Status, stream: &Stream) {
        let unanswered = stream.unanswered.len();
        let was_failing = std::mem::replace(&mut self.is_failing, !stream.was_answered);
        if Failure::from(status.clone()).away || was_failing {
            tracing::debug!(%status, unanswered, "a stream to a writer ended");
        } else {
            tracing::warn!(%status, unanswered, "a stream to a writer ended");
        }
    }
}

/// Tells all that is queued that it was not sent.
fn give_up(queue: &mut mpsc::Receiver<Waiting>, status: Option<&Status>) {
    while let Ok(waiting) = queue.try_recv() {
        waiting.reply.give_up(status, false);
    }
}

/// Parcels that go in one message.
#[derive(Debug, Default)]
struct Batch {
    parcels: Vec<Parcel>,
    bytes: usize,
}

impl Batch {
    fn is_full(&self) -> bool {
        self.parcels.len() >= MAX_PARCELS || self.bytes >= FULL
    }

    fn take(&mut self) -> StoreStreamRequest {
        self.bytes = 0;
        StoreStreamRequest { parcels: std::mem::take(&mut self.parcels), ..StoreStreamRequest::default() }
    }
}

/// An open stream.
struct Stream {
    /// None when no more is sent.
    messages: Option<mpsc::Sender<StoreStreamRequest>>,
    batch: Batch,
    unanswered: HashMap<u64, Reply>,
    number: u64,
    was_answered: bool,
}

impl Stream {
    fn add(&mut self, waiting: Waiting) {
        let Waiting { mut parcel, bytes, reply, _room } = waiting;
        // Nobody waits for it any more: the request was given up, and its sender told so.
        if reply.waiting.is_closed() {
            return;
        }
        self.number += 1;
        parcel.sequence = self.number;
        self.batch.bytes += bytes;
        self.batch.parcels.push(parcel);
        self.unanswered.insert(self.number, reply);
    }

    async fn run(
        &mut self,
        mut answers: Streaming<StoreStreamResponse>,
        queue: &mut mpsc::Receiver<Waiting>,
        close: &CancellationToken,
    ) -> Result<(), Status> {
        loop {
            let room = self.has_room();
            let open = self.messages.clone();
            let send = async {
                match &open {
                    Some(messages) => messages.reserve().await.ok(),
                    None => None,
                }
            };
            tokio::select! {
                biased;
                answer = answers.message() => match answer? {
                    Some(answer) => self.answer(answer),
                    None => return Ok(()),
                },
                waiting = queue.recv(), if room && open.is_some() => match waiting {
                    Some(waiting) => self.add(waiting),
                    None => self.messages = None,
                },
                Some(place) = send, if !self.batch.parcels.is_empty() => {
                    self.collect(queue).await;
                    place.send(self.batch.take());
                }
                () = close.cancelled(), if open.is_some() => {
                    // Another writer takes what this one was not sent: in one message it could be more than it takes.
                    queue.close();
                    give_up(queue, None);
                    self.give_up_batch(None);
                    self.messages = None;
                    let rest = async {
                        while !self.unanswered.is_empty() && let Some(answer) = answers.message().await? {
                            self.answer(answer);
                        }
                        Ok(())
                    };
                    return timeout(CLOSE_TIMEOUT, rest).await.unwrap_or(Ok(()));
                }
            }
        }
    }

    fn has_room(&self) -> bool {
        !self.batch.is_full() && self.unanswered.len() < MAX_UNANSWERED
    }

    /// Adds what comes from requests that are being worked on at this moment: others get their turn once, and no time passes
    /// where there are none.
    async fn collect(&mut self, queue: &mut mpsc::Receiver<Waiting>) {
        if self.has_room() {
            tokio::task::yield_now().await;
        }
        while self.has_room()
            && let Ok(waiting) = queue.try_recv()
        {
            self.add(waiting);
        }
    }

    fn answer(&mut self, answer: StoreStreamResponse) {
        let durability = answer.durability();
        self.was_answered = true;
        for result in answer.parcels {
            if let Some(reply) = self.unanswered.remove(&result.sequence) {
                reply.give((result, durability));
            }
        }
    }

    /// Tells what is collected for the next message that it was not sent.
    fn give_up_batch(&mut self, status: Option<&Status>) {
        for parcel in self.batch.take().parcels {
            if let Some(reply) = self.unanswered.remove(&parcel.sequence) {
                reply.give_up(status, false);
            }
        }
    }

    /// Tells what is not answered why, as far as the writer said it.
    fn end(mut self, status: Option<Status>) {
        self.give_up_batch(status.as_ref());
        let Some(status) = status else { return };
        for reply in self.unanswered.into_values() {
            reply.give_up(Some(&status), true);
        }
    }
}

#[cfg(test)]
mod tests;
