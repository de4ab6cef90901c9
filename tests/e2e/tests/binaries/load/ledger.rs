//! What was acknowledged, and what of it is in the table.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use rand::{RngExt as _, rngs::StdRng};
use sqlx::PgPool;
use tokio::sync::watch;

use super::{sender::Event, way::Answers};
use crate::running::PATIENCE;

/// How many of a project's events are remembered to be sent a second time.
const RECENT: usize = 64;

/// The events that were acknowledged.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    noted: Mutex<Noted>,
    acknowledged: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct Noted {
    /// Of each project and id the message.
    acknowledged: BTreeMap<(String, String), String>,
    recent: BTreeMap<String, VecDeque<Event>>,
    /// The first few answers that nobody should have got.
    surprises: Vec<String>,
}

/// How the table differs from what was acknowledged.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Difference {
    /// How many events are acknowledged and not in the table.
    pub(crate) missing: usize,
    /// How many are there more than once, by their ids or by their messages.
    pub(crate) twice: usize,
    /// How many have another message than they were sent with.
    pub(crate) mixed_up: usize,
    pub(crate) dead_letters: i64,
}

impl Ledger {
    /// Notes what was answered, and gives back the events that were not acknowledged.
    pub(super) fn note(&self, project: &str, events: Vec<Event>, answers: Answers) -> Vec<Event> {
        let mut events = events.into_iter();
        let mut noted = self.noted();
        if noted.surprises.len() < 10 {
            noted.surprises.extend(answers.surprise);
        }
        for (id, event) in answers.ids.into_iter().zip(events.by_ref()) {
            let given = event.id.as_ref().is_none_or(|given| *given == id);
            assert!(given, "{event:?} was acknowledged as {id}");
            noted.acknowledged.insert((project.to_owned(), id), event.message);
        }
        let count = noted.acknowledged.len();
        drop(noted);
        self.acknowledged.send_replace(count);
        events.collect()
    }

    /// How many different events were acknowledged.
    pub(crate) fn acknowledged(&self) -> usize {
        *self.acknowledged.borrow()
    }

    pub(super) async fn reaches(&self, count: usize) {
        let mut changes = self.acknowledged.subscribe();
        let reached = changes.wait_for(|acknowledged| *acknowledged >= count);
        let in_time = tokio::time::timeout(PATIENCE, reached).await.is_ok();
        let surprises = &self.noted().surprises;
        assert!(in_time, "{count} events were not acknowledged, but {}; {surprises:?}", self.acknowledged());
    }

    /// Has an event sent a second time by somebody, perhaps.
    pub(super) fn remember(&self, project: &str, event: &Event) {
        let mut noted = self.noted();
        let recent = noted.recent.entry(project.to_owned()).or_default();
        recent.push_back(event.clone());
        if recent.len() > RECENT {
            recent.pop_front();
        }
    }

    /// An event that was sent already, or is being sent.
    pub(super) fn recent(&self, project: &str, random: &mut StdRng) -> Option<Event> {
        let noted = self.noted();
        let recent = noted.recent.get(project).filter(|recent| !recent.is_empty())?;
        recent.get(random.random_range(0..recent.len())).cloned()
    }

    pub(super) fn expect_no_surprise(&self) {
        let surprises = &self.noted().surprises;
        assert!(surprises.is_empty(), "{surprises:#?}");
    }

    /// Compares what was acknowledged with the table.
    pub(crate) async fn compare(&self, pool: &PgPool) -> Result<Difference, sqlx::Error> {
        let rows: Vec<(String, String, String)> =
            sqlx::query_as("SELECT project_id::text, replace(event_id::text, '-', ''), message FROM events")
                .fetch_all(pool)
                .await?;
        let dead_letters = sqlx::query_scalar("SELECT count(*) FROM dead_letters").fetch_one(pool).await?;
        let mut difference = Difference { dead_letters, ..Difference::default() };
        let (mut ids, mut messages) = (BTreeMap::new(), BTreeMap::new());
        for (project, id, message) in &rows {
            *messages.entry((project, message)).or_insert(0) += 1;
            let before = ids.insert((project.clone(), id.clone()), message);
            difference.twice += usize::from(before.is_some());
        }
        difference.twice += messages.into_values().filter(|count| *count > 1).count();
        for (event, message) in &self.noted().acknowledged {
            match ids.get(event) {
                Some(stored) => difference.mixed_up += usize::from(*stored != message),
                None => difference.missing += 1,
            }
        }
        Ok(difference)
    }

    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
