//! A sink that does as it is told.

use sqlx::error::ErrorKind;

use super::*;

/// Records what it stores. Each batch waits for a permit; what fails is scripted, or marked in the event.
pub(super) struct Script {
    pub(super) permits: Semaphore,
    failures: Mutex<VecDeque<DatabaseError>>,
    /// Fail a batch for its data.
    pub(super) poison: Mutex<HashSet<EventId>>,
    /// Fail a batch with a SQLSTATE.
    pub(super) broken: Mutex<HashMap<EventId, &'static str>>,
    /// How many events each batch has that was begun, and when it was.
    pub(super) begun: Mutex<Vec<(Instant, usize)>>,
    pub(super) batches: Mutex<Vec<(Instant, Ids)>>,
    pub(super) dead: Mutex<Vec<(EventId, String)>>,
    /// The SQLSTATE with which dead letters are refused.
    pub(super) dead_fails: Mutex<Option<&'static str>>,
    /// What was stored since the engine was started, and how many events were given again after that.
    pub(super) settled: Mutex<HashSet<(ProjectId, EventId)>>,
    pub(super) again: Mutex<usize>,
    pub(super) tries: Mutex<usize>,
}

impl Script {
    /// Lets every batch through.
    pub(super) fn open() -> Arc<Self> {
        Arc::new(Self {
            permits: Semaphore::new(Semaphore::MAX_PERMITS),
            failures: Mutex::default(),
            poison: Mutex::default(),
            broken: Mutex::default(),
            begun: Mutex::default(),
            batches: Mutex::default(),
            dead: Mutex::default(),
            dead_fails: Mutex::default(),
            settled: Mutex::default(),
            again: Mutex::default(),
            tries: Mutex::default(),
        })
    }

    /// Keeps every batch waiting until permits are added.
    pub(super) fn closed() -> Arc<Self> {
        let script = Self::open();
        script.permits.forget_permits(Semaphore::MAX_PERMITS);
        script
    }

    /// Has so many tries find the database away.
    pub(super) fn fail(&self, times: usize) {
        let away = || DatabaseError::Unavailable(sqlx::Error::PoolTimedOut);
        self.failures.lock().unwrap().extend(std::iter::repeat_with(away).take(times));
    }

    /// Has so many tries fail with a SQLSTATE, whatever their events are.
    pub(super) fn fail_with(&self, sqlstate: &'static str, times: usize) {
        let failure = || says(sqlstate);
        self.failures.lock().unwrap().extend(std::iter::repeat_with(failure).take(times));
    }

    /// How long after each begun try the next one was.
    pub(super) fn pauses(&self) -> Vec<Duration> {
        let begun = self.begun.lock().unwrap();
        begun.windows(2).map(|pair| pair[1].0 - pair[0].0).collect()
    }

    pub(super) fn succeed(&self) {
        self.failures.lock().unwrap().clear();
    }

    pub(super) fn stored(&self) -> Vec<(ProjectId, EventId)> {
        self.batches.lock().unwrap().iter().flat_map(|(_, batch)| batch.clone()).collect()
    }

    pub(super) fn times(&self) -> Vec<Instant> {
        self.batches.lock().unwrap().iter().map(|(at, _)| *at).collect()
    }
}

impl Sink for Script {
    async fn store(&self, batch: &[Event]) -> Result<Vec<Outcome>, SinkError> {
        self.begun.lock().unwrap().push((Instant::now(), batch.len()));
        self.permits.acquire().await.unwrap().forget();
        *self.tries.lock().unwrap() += 1;
        if let Some(error) = self.failures.lock().unwrap().pop_front() {
            return Err(SinkError::Unavailable(error));
        }
        if batch.iter().any(|event| self.poison.lock().unwrap().contains(&event.id)) {
            return Err(SinkError::Rejected { sqlstate: "22000".to_owned(), reason: "poison".to_owned() });
        }
        let broken = self.broken.lock().unwrap();
        if let Some(sqlstate) = batch.iter().find_map(|event| broken.get(&event.id)) {
            return Err(SinkError::Unavailable(says(sqlstate)));
        }
        let ids: Ids = batch.iter().map(|event| (event.project_id, event.id)).collect();
        // As the table does: what is there already is found to be.
        let before: HashSet<_> = self.stored().into_iter().collect();
        let mut settled = self.settled.lock().unwrap();
        *self.again.lock().unwrap() += ids.iter().filter(|id| !settled.insert(**id)).count();
        let fresh = ids.into_iter().filter(|id| !before.contains(id)).collect();
        self.batches.lock().unwrap().push((Instant::now(), fresh));
        Ok(vec![Outcome::Stored; batch.len()])
    }

    async fn dead_letter(&self, event: &Event, sqlstate: &str, _: &str) -> Result<(), SinkError> {
        if let Some(sqlstate) = *self.dead_fails.lock().unwrap() {
            return Err(SinkError::Unavailable(says(sqlstate)));
        }
        self.dead.lock().unwrap().push((event.id, sqlstate.to_owned()));
        Ok(())
    }
}

/// An error with a SQLSTATE.
fn says(sqlstate: &'static str) -> DatabaseError {
    sqlx::Error::Database(Box::new(Says(sqlstate))).into()
}

#[derive(Debug, thiserror::Error)]
#[error("SQLSTATE {0}")]
struct Says(&'static str);

impl sqlx::error::DatabaseError for Says {
    fn message(&self) -> &str {
        self.0
    }

    fn code(&self) -> Option<std::borrow::Cow<'_, str>> {
        Some(self.0.into())
    }

    fn as_error(&self) -> &(dyn std::error::Error + Send + Sync + 'static) {
        self
    }

    fn as_error_mut(&mut self) -> &mut (dyn std::error::Error + Send + Sync + 'static) {
        self
    }

    fn into_error(self: Box<Self>) -> Box<dyn std::error::Error + Send + Sync + 'static> {
        self
    }

    fn kind(&self) -> ErrorKind {
        ErrorKind::Other
    }
}
