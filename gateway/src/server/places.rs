//! The places that connections have: a bounded number. Whoever is idle gives its place up when somebody comes for whom
//! there is none; those who were idle the longest come first.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};
use tokio_util::sync::CancellationToken;

/// The places; cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Places {
    free: Arc<Semaphore>,
    idle: Arc<Mutex<Idle>>,
}

/// The connections without requests, by when they became idle.
#[derive(Debug, Default)]
struct Idle {
    by_time: BTreeMap<(Instant, u64), CancellationToken>,
    next: u64,
}

/// A connection's place.
#[derive(Debug)]
pub(super) struct Place {
    places: Places,
    number: u64,
    /// Cancelled when the connection is to give the place up.
    wanted: CancellationToken,
    _permit: OwnedSemaphorePermit,
}

impl Places {
    /// So many.
    pub(super) fn new(most: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(most)), idle: Arc::default() }
    }

    /// A place, if one is free.
    pub(super) fn take(&self) -> Option<Place> {
        let permit = Arc::clone(&self.free).try_acquire_owned().ok()?;
        Some(self.place(permit))
    }

    /// A place, as soon as one is free.
    pub(super) async fn wait(&self) -> Option<Place> {
        // It fails only if it was closed, which nobody does.
        let permit = Arc::clone(&self.free).acquire_owned().await.ok()?;
        Some(self.place(permit))
    }

    /// Has the connection closed that was idle the longest; whether there is one.
    pub(super) fn close_one(&self) -> bool {
        let first = self.idle().by_time.pop_first();
        first.map(|(_, wanted)| wanted.cancel()).is_some()
    }

    fn place(&self, permit: OwnedSemaphorePermit) -> Place {
        let mut idle = self.idle();
        let number = idle.next;
        idle.next += 1;
        drop(idle);
        Place { places: self.clone(), number, wanted: CancellationToken::new(), _permit: permit }
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        // Nothing that is done under the lock leaves it half done.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Notes that the connection is idle since then.
    pub(super) fn idle_since(&self, since: Instant) {
        self.places.idle().by_time.insert((since, self.number), self.wanted.clone());
    }

    /// Notes that the connection, idle since then, is not so any more.
    pub(super) fn busy(&self, since: Instant) {
        self.places.idle().by_time.remove(&(since, self.number));
    }

    /// Cancelled when the connection is to give the place up.
    pub(super) fn wanted(&self) -> &CancellationToken {
        &self.wanted
    }
}
