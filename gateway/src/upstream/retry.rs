//! Making a call, and making it again where that does no harm and is not too much.
//!
//! A call that was never sent is made again; one that may have been obeyed only if it is idempotent. Each service has a
//! budget: all calls put something in, and each that was sent and is made again takes more out, so that a service that is
//! in trouble gets a fifth more calls, and not three times as many.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use mesher_common::status;
use tonic::Status;
use tower::retry::budget::{Budget as _, TpsBudget};

use super::{
    Upstream,
    backoff::Backoff,
    choice::{Order, choose},
    failure::{Again, Failure},
    replica::Replica,
};

/// How often a call is made in all.
const MAX_TRIES: usize = 3;
/// For how long calls count in the budget.
const BUDGET_WINDOW: Duration = Duration::from_secs(10);
/// How many calls can be made again each second, however few there are.
const BUDGET_LEAST: u32 = 20;
/// What part of the calls can be made again besides.
const BUDGET_PART: f32 = 0.2;
/// How long to wait when every replica was tried, at first and at last.
const PAUSES: [Duration; 2] = [Duration::from_millis(30), Duration::from_millis(200)];

/// How often calls can be made again; see the [module](self).
#[derive(Debug)]
pub(super) struct Budget {
    calls: TpsBudget,
    /// How often a call was made again, and how often that would have been too much.
    pub(super) counts: super::metrics::Counts,
}

impl Default for Budget {
    fn default() -> Self {
        let calls = TpsBudget::new(BUDGET_WINDOW, BUDGET_LEAST, BUDGET_PART);
        Self { calls, counts: super::metrics::Counts::default() }
    }
}

impl Budget {
    /// Whether a call that failed can be made again. One that was never sent gave no replica anything to do, so that all that
    /// waited for one that is lost can go on to the next.
    fn withdraw(&self, again: Again) -> bool {
        let (count, enough) = if again == Again::Always {
            (&self.counts.never_sent, true)
        } else if self.calls.withdraw() {
            (&self.counts.made, true)
        } else {
            (&self.counts.refused, false)
        };
        count.fetch_add(1, Ordering::Relaxed);
        enough
    }
}

impl Upstream {
    /// Makes a call at a replica of the service, and if that did not answer at another, or later. `call` makes it once.
    pub(crate) async fn call<T, F>(
        &self,
        order: Order,
        idempotent: bool,
        call: impl Fn(Arc<Replica>) -> F,
    ) -> Result<T, Status>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let inner = &self.0;
        inner.budget.calls.deposit();
        let mut backoff = Backoff::new(PAUSES);
        let mut tried: Vec<Arc<Replica>> = Vec::new();
        loop {
            let replicas = self.replicas().await;
            if !tried.is_empty() && replicas.iter().all(|replica| is_among(replica, &tried)) {
                tokio::time::sleep(backoff.next()).await;
            }
            let Some(replica) = choose(&replicas, order, &tried) else {
                return Err(status::service_unavailable(self.name()));
            };
            let in_hand = replica.begin();
            let Failure { status, again, away } = match call(Arc::clone(&replica)).await {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            drop(in_hand);
            if away {
                replica.suspect(self.name(), &status);
            }
            let may = match again {
                Again::Never => false,
                Again::IfIdempotent => idempotent,
                Again::Always => true,
            };
            tried.push(replica);
            if !may || tried.len() >= MAX_TRIES || !inner.budget.withdraw(again) {
                return Err(status);
            }
            tracing::debug!(service = self.name(), %status, tries = tried.len(), "a call is made again");
        }
    }
}

impl Upstream {
    /// Makes a call at every replica of the service, once: what one of them did not do, no other does for it. The first
    /// error is all there is.
    pub(crate) async fn call_all<T, F>(&self, call: impl Fn(Arc<Replica>) -> F) -> Result<Vec<T>, Status>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let replicas = self.replicas().await;
        let call = &call;
        let calls = replicas.iter().map(|replica| async move {
            let _in_hand = replica.begin();
            call(Arc::clone(replica)).await.map_err(|failure| {
                if failure.away {
                    replica.suspect(self.name(), &failure.status);
                }
                failure.status
            })
        });
        futures_util::future::try_join_all(calls).await
    }
}

fn is_among(replica: &Arc<Replica>, tried: &[Arc<Replica>]) -> bool {
    tried.iter().any(|tried| Arc::ptr_eq(tried, replica))
}
