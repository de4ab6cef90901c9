//! Rate limits: how many events of a project, and with a key, are taken in. What they count is what is accepted: an event
//! that is refused for another reason costs nothing, and one that turns out to be a duplicate is given back.
//!
//! An event that is beyond a limit is refused before it is read.

mod refund;

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use mesher_common::{
    access::Sender,
    id::ProjectId,
    rate_limit::{Buckets, RateLimit},
    secret::SecretHash,
    status::LimitScope,
};
use tokio::time::Instant;

pub use self::refund::Watched;
use self::refund::{Counted, Name};
use crate::event::Event;

/// The most buckets: far more than there are projects and keys that send at the same time.
const MAX_BUCKETS: usize = 100_000;

/// The limits of projects and keys that have none of their own.
#[derive(Clone, Copy, Debug, Default)]
pub struct Defaults {
    /// A project's.
    pub project: Option<RateLimit>,
    /// A key's.
    pub key: Option<RateLimit>,
}

/// Whose bucket it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Holder {
    Project(ProjectId),
    Key(SecretHash),
}

impl Holder {
    fn scope(self) -> LimitScope {
        match self {
            Self::Project(_) => LimitScope::Project,
            Self::Key(_) => LimitScope::Key,
        }
    }
}

/// The limits that hold for an event: none, one or two.
type Holders = [Option<(Holder, RateLimit)>; 2];

/// A limit is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the rate limit of {scope} is reached")]
pub struct LimitReached {
    /// Whose.
    pub scope: LimitScope,
    /// The limit.
    pub limit: RateLimit,
    /// After how long there is room for one event.
    pub wait: Duration,
}

/// The limits of all projects and keys; cheap to clone.
#[derive(Clone, Debug)]
pub struct Limits {
    defaults: Defaults,
    buckets: Arc<Buckets<Holder>>,
    counted: Arc<Mutex<Counted>>,
}

impl Limits {
    /// Limits where projects and keys that have none of their own have these.
    pub fn new(defaults: Defaults) -> Self {
        Self { defaults, buckets: Arc::new(Buckets::new(MAX_BUCKETS)), counted: Arc::default() }
    }

    /// Room for as many events as there is room for, and `wanted` at the most.
    pub fn grant(&self, sender: &Sender, wanted: usize) -> Grant {
        let project = sender.project_limit.or(self.defaults.project);
        let key = sender.key_limit.or(self.defaults.key);
        let holders = [
            project.map(|limit| (Holder::Project(sender.project_id), limit)),
            key.map(|limit| (Holder::Key(sender.key), limit)),
        ];
        let wanted = u32::try_from(wanted).unwrap_or(u32::MAX);
        let mut grant =
            Grant { limits: self.clone(), holders: [None; 2], left: wanted, used: Used::default() };
        let now = Instant::now();
        for (index, holder) in holders.into_iter().enumerate() {
            let Some((holder, limit)) = holder else { continue };
            let granted = self.buckets.take(&holder, limit, grant.left, now);
            let beyond = grant.left - granted;
            // From here on they are the grant's, and put back with it.
            grant.left = granted;
            for (holder, limit) in grant.holders.iter().flatten() {
                self.buckets.put_back(holder, *limit, beyond, now);
            }
            grant.holders[index] = Some((holder, limit));
        }
        grant
    }

    fn put_back(&self, holders: &Holders, tokens: u32) {
        if tokens == 0 {
            return;
        }
        let now = Instant::now();
        for (holder, limit) in holders.iter().flatten() {
            self.buckets.put_back(holder, *limit, tokens, now);
        }
    }

    /// Gives back what was used for events that were not accepted.
    fn undo(&self, holders: &Holders, used: &Used) {
        self.put_back(holders, used.tokens);
        if !used.named.is_empty() {
            let mut counted = self.counted();
            for name in &used.named {
                counted.forget(*name);
            }
        }
    }

    fn counted(&self) -> MutexGuard<'_, Counted> {
        // Nothing that is done under the lock leaves it half done.
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Room for some events. It is given back when this is dropped.
#[derive(Debug)]
pub struct Grant {
    limits: Limits,
    holders: Holders,
    left: u32,
    used: Used,
}

/// Room that was used for events.
#[derive(Debug, Default)]
struct Used {
    tokens: u32,
    /// Those that may be duplicates.
    named: Vec<Name>,
}

impl Grant {
    /// Whether there is room for one more event.
    pub fn check(&self) -> Result<(), LimitReached> {
        if self.left > 0 {
            return Ok(());
        }
        let now = Instant::now();
        let waits = self.holders.iter().flatten().map(|(holder, limit)| {
            let wait = self.limits.buckets.wait(holder, *limit, now);
            LimitReached { scope: holder.scope(), limit: *limit, wait }
        });
        // Without limits, no more was asked for than there are events.
        waits.max_by_key(|reached| reached.wait).map_or(Ok(()), Err)
    }

    /// Uses room for an event that is to be accepted.
    pub fn use_for(&mut self, event: &Event) {
        if self.holders.iter().all(Option::is_none) {
            return;
        }
        self.left = self.left.saturating_sub(1);
        self.used.tokens += 1;
        if event.id_given {
            let name = (event.project_id, event.id);
            self.limits.counted().remember(name, self.holders);
            self.used.named.push(name);
        }
    }

    /// Gives back what was not used: there are no more events.
    pub fn release(&mut self) {
        self.limits.put_back(&self.holders, std::mem::take(&mut self.left));
    }

    /// What was used is kept, for the events may be accepted from here on, unless they are found to be refused.
    pub fn keep(mut self) -> Kept {
        Kept { limits: self.limits.clone(), holders: self.holders, used: std::mem::take(&mut self.used) }
    }
}

impl Drop for Grant {
    fn drop(&mut self) {
        self.release();
        self.limits.undo(&self.holders, &std::mem::take(&mut self.used));
    }
}

/// Room that events were counted in.
#[derive(Debug)]
pub struct Kept {
    limits: Limits,
    holders: Holders,
    used: Used,
}

impl Kept {
    /// Gives it back: the events were refused after all.
    pub fn give_back(self) {
        self.limits.undo(&self.holders, &self.used);
    }
}

#[cfg(test)]
mod tests {
    use chrono::Utc;
    use mesher_common::{id::EventId, secret::Secret};

    use super::*;
    use crate::{
        admission::{IdsBeside, Sent, admit_with_id},
        engine::sink::Outcome,
    };

    const SECOND: Duration = Duration::from_secs(1);

    fn sender(project_limit: Option<RateLimit>, key_limit: Option<RateLimit>) -> Sender {
        let key = Secret::new_api_key().unwrap().sha256();
        Sender { project_id: ProjectId::new(), key, project_limit, key_limit }
    }

    fn event(sender: &Sender, id: Option<EventId>) -> Event {
        let ids = IdsBeside { id, fallback: None };
        admit_with_id(sender.project_id, &Sent::Json(br#"{"message":"m"}"#), ids, Utc::now()).unwrap()
    }

    /// How many of so many events are accepted.
    fn accepted(limits: &Limits, sender: &Sender, events: usize) -> usize {
        let mut grant = limits.grant(sender, events);
        let event = event(sender, None);
        let accepted = (0..events)
            .filter(|_| {
                let room = grant.check().is_ok();
                if room {
                    grant.use_for(&event);
                }
                room
            })
            .count();
        grant.keep();
        accepted
    }

    #[tokio::test(start_paused = true)]
    async fn a_project_and_each_of_its_keys_have_their_own_limit() {
        let limits = Limits::new(Defaults::default());
        let first = sender(RateLimit::new(10, 10), RateLimit::new(8, 10));
        let second = Sender { key: Secret::new_api_key().unwrap().sha256(), ..first };
        assert_eq!(accepted(&limits, &first, 100), 8);
        let reached = limits.grant(&first, 1).check().unwrap_err();
        assert_eq!((reached.scope, reached.limit), (LimitScope::Key, RateLimit::new(8, 10).unwrap()));
        assert_eq!(accepted(&limits, &second, 100), 2);
        let reached = limits.grant(&second, 1).check().unwrap_err();
        assert_eq!(reached.scope, LimitScope::Project);
        tokio::time::advance(reached.wait).await;
        assert_eq!(accepted(&limits, &second, 100), 1);
        // What was asked for in vain cost the other bucket nothing.
        tokio::time::advance(10 * SECOND).await;
        assert_eq!(accepted(&limits, &second, 100), 8);
        assert_eq!(accepted(&limits, &sender(None, None), 10_000), 10_000);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_has_no_limit_has_the_configured_one() {
        let limits = Limits::new(Defaults { project: RateLimit::new(5, 1), key: RateLimit::new(3, 1) });
        assert_eq!(accepted(&limits, &sender(None, None), 10), 3);
        assert_eq!(accepted(&limits, &sender(None, RateLimit::new(100, 1)), 10), 5);
        assert_eq!(accepted(&limits, &sender(RateLimit::new(7, 1), RateLimit::new(9, 1)), 10), 7);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_accepted_costs_nothing() {
        let limits = Limits::new(Defaults::default());
        let sender = sender(RateLimit::new(4, 60), RateLimit::new(5, 60));
        drop(limits.grant(&sender, 100));
        // As when the call is given up before it came to the engine, and when the engine refuses.
        for is_given_up in [true, false] {
            let mut grant = limits.grant(&sender, 100);
            grant.use_for(&event(&sender, None));
            grant.use_for(&event(&sender, Some(EventId::new())));
            grant.release();
            if is_given_up {
                drop(grant);
            } else {
                grant.keep().give_back();
            }
            assert!(limits.counted().by_event.is_empty());
        }
        assert_eq!(accepted(&limits, &sender, 100), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_not_used_is_there_for_others_before_the_events_are_accepted() {
        let limits = Limits::new(Defaults::default());
        let sender = sender(RateLimit::new(4, 60), None);
        let mut grant = limits.grant(&sender, 4);
        grant.use_for(&event(&sender, None));
        assert!(limits.grant(&sender, 1).check().is_err());
        grant.release();
        assert_eq!(accepted(&limits, &sender, 100), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn duplicates_are_given_back_once() {
        let limits = Limits::new(Defaults::default());
        let sender = sender(RateLimit::new(3, 60), RateLimit::new(3, 60));
        let event = event(&sender, Some(EventId::new()));
        let mut grant = limits.grant(&sender, 3);
        for _ in 0..3 {
            grant.check().unwrap();
            grant.use_for(&event);
        }
        grant.keep();
        assert_eq!(accepted(&limits, &sender, 1), 0);
        let batch = [event.clone(), event.clone(), event.clone(), event];
        limits.settle(&batch, &[Outcome::Stored, Outcome::Duplicate, Outcome::Duplicate, Outcome::Duplicate]);
        assert_eq!(accepted(&limits, &sender, 100), 2, "the fourth was not counted");
        assert!(limits.counted().by_event.is_empty());
    }
}
