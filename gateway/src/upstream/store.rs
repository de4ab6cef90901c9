//! Storing events: at the writer that the project's other events are at, by rendezvous hashing.
//!
//! Who sends events names no project's id, but a key. The writer's answer says whose it is, and from then on all keys of a
//! project lead to one writer; until then the key itself chooses. Which writer it is matters for how well events are batched,
//! and for nothing else: any writer stores any project's events.

use std::{sync::Arc, time::Duration};

use mesher_proto::mesher::writer::v1::Parcel;
use moka::future::Cache;
use prost::Message as _;
use tonic::{Code, Status};

use super::{Upstream, choice::Order, failure::Failure, hash_of, lane::Answer};
use crate::guard::Attempt;

/// The most keys whose projects are remembered.
const MAX_KEYS: u64 = 100_000;
/// How long a key that is not used is remembered.
const IDLE: Duration = Duration::from_hours(1);

/// The projects that keys belong to, both by their hashes: the keys themselves are not kept.
#[derive(Debug)]
pub(super) struct Homes(Cache<u64, u64>);

impl Default for Homes {
    fn default() -> Self {
        Self(Cache::builder().max_capacity(MAX_KEYS).time_to_idle(IDLE).build())
    }
}

impl Upstream {
    /// Has a writer store a parcel, whose events have ids that stay the same: then it does no harm to send them again. `attempt` is
    /// told what the writer says of its key, also when nobody waits for that any more.
    pub(crate) async fn store(
        &self,
        parcel: Parcel,
        attempt: Option<&Arc<Attempt>>,
    ) -> Result<Answer, Status> {
        let homes = &self.0.homes.0;
        let key = hash_of(&parcel.api_key);
        let home = homes.get(&key).await;
        let order = Order::Rendezvous(home.unwrap_or(key));
        let (result, durability) = self
            .call(order, true, |replica| {
                let parcel = parcel.clone();
                async move {
                    let lanes = replica.lanes().ok_or_else(|| Failure::lost(self.name()))?;
                    let (mut result, durability) = lanes.store(self.name(), parcel, attempt.cloned()).await?;
                    match result.error.take() {
                        Some(error) => Err(refused(error).into()),
                        None => Ok((result, durability)),
                    }
                }
            })
            .await?;
        if home.is_none() {
            homes.insert(key, hash_of(&result.project_id)).await;
        }
        Ok((result, durability))
    }
}

/// An error in an answer as the call's own.
fn refused(error: tonic_types::Status) -> Status {
    let details = error.encode_to_vec().into();
    Status::with_details(Code::from_i32(error.code), error.message, details)
}
