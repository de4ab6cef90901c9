//! What a connection is doing, and how long it may go on like that.

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::Duration,
};

use axum::body::Body;
use bytes::Bytes;
use http_body::{Frame, SizeHint};
use tokio::time::Instant;

use super::places::Place;

/// How every HTTP/2 connection begins.
const HTTP_2: &[u8] = b"PRI";

/// How long a connection may do what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// To send the head of a request, from its first byte on; to send the first byte of all.
    pub(super) head: Duration,
    /// To do nothing between two requests.
    pub(super) idle: Duration,
    /// From a request to the end of its answer.
    pub(super) request: Duration,
}

impl Times {
    /// The shortest of them.
    pub(super) fn shortest(&self) -> Duration {
        self.head.min(self.idle).min(self.request)
    }
}

/// What a connection has outstayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outstayed {
    /// The head of a request has not come.
    Head,
    /// No request came.
    Idle,
    /// A client does not take its answer.
    Request,
}

/// A connection that is watched.
#[derive(Debug)]
pub(super) struct Watch {
    place: Place,
    times: Times,
    doing: Mutex<Doing>,
}

#[derive(Debug)]
struct Doing {
    /// When the requests in hand began.
    requests: BTreeMap<u64, Instant>,
    next: u64,
    /// Since when there is none.
    idle_since: Instant,
    /// When something was read since then.
    read_at: Option<Instant>,
    has_read: bool,
    is_http_2: bool,
}

impl Watch {
    /// The watch of a connection that begins now.
    pub(super) fn new(place: Place, times: Times) -> Arc<Self> {
        let now = Instant::now();
        place.idle_since(now);
        let doing = Doing {
            requests: BTreeMap::new(),
            next: 0,
            idle_since: now,
            read_at: None,
            has_read: false,
            is_http_2: false,
        };
        Arc::new(Self { place, times, doing: Mutex::new(doing) })
    }

    /// The connection's place.
    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// Notes that something was read.
    pub(super) fn read(&self, bytes: &[u8]) {
        let mut doing = self.doing();
        if !doing.has_read {
            doing.has_read = true;
            doing.is_http_2 = bytes.starts_with(HTTP_2);
        }
        if doing.requests.is_empty() && doing.read_at.is_none() {
            doing.read_at = Some(Instant::now());
        }
    }

    /// Notes a request, in hand until what this gives is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> InHand {
        let mut doing = self.doing();
        if doing.requests.is_empty() {
            self.place.busy(doing.idle_since);
        }
        let number = doing.next;
        doing.next += 1;
        doing.requests.insert(number, Instant::now());
        doing.read_at = None;
        InHand { watch: Arc::clone(self), number }
    }

    /// When the connection will have outstayed something, and what.
    pub(super) fn until(&self) -> (Instant, Outstayed) {
        let doing = self.doing();
        let Times { head, idle, request } = self.times;
        if let Some(oldest) = doing.requests.values().min() {
            return (*oldest + request, Outstayed::Request);
        }
        match doing.read_at {
            _ if !doing.has_read => (doing.idle_since + head, Outstayed::Head),
            // What comes between the requests of HTTP/2 need not be one.
            Some(at) if !doing.is_http_2 => (at + head, Outstayed::Head),
            _ => (doing.idle_since + idle, Outstayed::Idle),
        }
    }

    fn doing(&self) -> MutexGuard<'_, Doing> {
        // Nothing that is done under the lock leaves it half done.
        self.doing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let since = self.doing().idle_since;
        self.place.busy(since);
    }
}

/// A request in hand.
#[derive(Debug)]
pub(super) struct InHand {
    watch: Arc<Watch>,
    number: u64,
}

impl Drop for InHand {
    fn drop(&mut self) {
        let mut doing = self.watch.doing();
        doing.requests.remove(&self.number);
        if doing.requests.is_empty() {
            doing.idle_since = Instant::now();
            self.watch.place.idle_since(doing.idle_since);
        }
    }
}

/// The body of an answer, whose request is in hand until all of it is given out.
#[derive(Debug)]
pub(super) struct Answer {
    body: Body,
    _in_hand: InHand,
}

impl Answer {
    /// The body of the answer to that request.
    pub(super) fn new(body: Body, in_hand: InHand) -> Self {
        Self { body, _in_hand: in_hand }
    }
}

impl http_body::Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::places::Places;

    const TIMES: Times = Times {
        head: Duration::from_secs(10),
        idle: Duration::from_secs(75),
        request: Duration::from_secs(90),
    };

    /// After how long what is outstayed.
    fn until(watch: &Watch) -> (u64, Outstayed) {
        let (until, what) = watch.until();
        (until.duration_since(Instant::now()).as_secs(), what)
    }

    fn watch() -> Arc<Watch> {
        Watch::new(Places::new(1).take().unwrap(), TIMES)
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_has_its_time_from_its_first_byte_on() {
        let watch = watch();
        assert_eq!(until(&watch), (10, Outstayed::Head), "something has to come");
        tokio::time::advance(Duration::from_secs(9)).await;
        watch.read(b"G");
        tokio::time::advance(Duration::from_secs(2)).await;
        watch.read(b"ET");
        assert_eq!(until(&watch), (8, Outstayed::Head), "more bytes are not more time");
        drop(watch.begin());
        assert_eq!(until(&watch), (75, Outstayed::Idle));
        tokio::time::advance(Duration::from_secs(74)).await;
        watch.read(b"GET");
        assert_eq!(until(&watch), (10, Outstayed::Head));
    }

    #[tokio::test(start_paused = true)]
    async fn frames_of_http_2_between_requests_are_no_heads() {
        let watch = watch();
        watch.read(b"PRI * HTTP/2.0");
        assert_eq!(until(&watch), (75, Outstayed::Idle));
        let (first, second) = (watch.begin(), watch.begin());
        tokio::time::advance(Duration::from_secs(80)).await;
        assert_eq!(until(&watch), (10, Outstayed::Request));
        drop(first);
        let third = watch.begin();
        drop(second);
        assert_eq!(until(&watch), (90, Outstayed::Request));
        drop(third);
        watch.read(b"ping");
        assert_eq!(until(&watch), (75, Outstayed::Idle), "a ping is no request");
    }

    #[tokio::test(start_paused = true)]
    async fn of_the_idle_the_one_goes_that_was_idle_the_longest() {
        let places = Places::new(3);
        let [first, second, third] = [(); 3].map(|()| Watch::new(places.take().unwrap(), TIMES));
        assert!(places.take().is_none());
        let busy = first.begin();
        assert!(places.close_one());
        let wanted = || [&first, &second, &third].map(|watch| watch.place().wanted().is_cancelled());
        assert_eq!(wanted(), [false, true, false]);
        drop(second);
        assert!(places.take().is_some());
        drop(busy);
        tokio::time::advance(Duration::from_secs(1)).await;
        drop(third.begin());
        assert!(places.close_one());
        assert!(first.place().wanted().is_cancelled() && !third.place().wanted().is_cancelled());
        let _busy = third.begin();
        assert!(!places.close_one(), "none is idle");
    }
}
