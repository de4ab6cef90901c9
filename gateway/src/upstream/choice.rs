//! Which of several replicas gets a call.

use std::{
    hash::{DefaultHasher, Hash, Hasher as _},
    sync::Arc,
};

use super::replica::Replica;

/// How a replica is chosen.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Order {
    /// They take turns, but of two neighbours the one that has less to do is taken.
    Turns(usize),
    /// By rendezvous hashing: what has the same hash goes to the same replica, at every gateway, for as long as it is there,
    /// and to the same next one while it is not. When replicas come or go, nothing else moves.
    Rendezvous(u64),
}

/// The replica for a call that was tried at some already. One that is away is taken only if no other is left: it may be
/// there again.
pub(super) fn choose(
    replicas: &[Arc<Replica>],
    order: Order,
    tried: &[Arc<Replica>],
) -> Option<Arc<Replica>> {
    let is_new = |replica: &&Arc<Replica>| !tried.iter().any(|tried| Arc::ptr_eq(tried, replica));
    let there: Vec<_> = replicas.iter().filter(is_new).filter(|replica| !replica.is_away()).collect();
    let untried = || replicas.iter().filter(is_new).collect::<Vec<_>>();
    let candidates = if there.is_empty() { untried() } else { there };
    let candidates = if candidates.is_empty() { replicas.iter().collect() } else { candidates };
    let chosen = match order {
        Order::Turns(turn) => {
            let at = |turn: usize| candidates.get(turn % candidates.len().max(1)).copied();
            let pair = at(turn).into_iter().chain(at(turn.wrapping_add(1)));
            pair.min_by_key(|replica| replica.load())
        }
        Order::Rendezvous(hash) => {
            candidates.into_iter().max_by_key(|replica| weight(hash, &replica.place.identity))
        }
    };
    chosen.cloned()
}

/// What a replica weighs for what has this hash.
///
/// The hasher is the same in all gateways of a release; should one of another release disagree, a project's events are in two
/// writers' buffers for a while.
fn weight(hash: u64, identity: &str) -> u64 {
    hash_of(&(hash, identity))
}

/// A hash that is the same at every gateway.
pub(crate) fn hash_of(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{super::address::Place, *};
    use crate::upstream::replica::channel;

    fn replicas(count: u16) -> Vec<Arc<Replica>> {
        let replica = |number| {
            let address = format!("10.0.0.{number}:7").parse().unwrap();
            let place = Place {
                identity: format!("writer-{number}"),
                address,
                authority: "writer:7".to_owned(),
                tls_name: None,
            };
            let channel = channel(&place, None).unwrap();
            Replica::new(place, channel, None)
        };
        (1..=count).map(replica).collect()
    }

    fn owner(replicas: &[Arc<Replica>], hash: u64, tried: &[Arc<Replica>]) -> String {
        choose(replicas, Order::Rendezvous(hash), tried).unwrap().place.identity.clone()
    }

    #[tokio::test]
    async fn each_replica_has_its_share_and_only_that_of_one_that_goes_moves() {
        let all = replicas(4);
        let mut shares: BTreeMap<String, usize> = BTreeMap::new();
        for hash in 0..4000_u64 {
            let hash = hash_of(&hash);
            let before = owner(&all, hash, &[]);
            *shares.entry(before.clone()).or_default() += 1;
            let after = owner(&all[..3], hash, &[]);
            if before == "writer-4" {
                assert_eq!(after, owner(&all, hash, &all[3..]), "the next one is the same for all");
            } else {
                assert_eq!(after, before);
            }
        }
        assert!(shares.len() == 4 && shares.values().all(|share| (900..1100).contains(share)), "{shares:?}");
    }

    #[tokio::test]
    async fn one_that_is_away_is_taken_last() {
        let all = replicas(3);
        let first = choose(&all, Order::Rendezvous(7), &[]).unwrap();
        first.suspect("writer", &tonic::Status::unavailable("no connection"));
        let second = choose(&all, Order::Rendezvous(7), &[]).unwrap();
        assert!(!Arc::ptr_eq(&first, &second));
        let third = choose(&all, Order::Rendezvous(7), std::slice::from_ref(&second)).unwrap();
        assert!(!Arc::ptr_eq(&first, &third) && !Arc::ptr_eq(&second, &third));
        let last = choose(&all, Order::Rendezvous(7), &[second, third]).unwrap();
        assert!(Arc::ptr_eq(&first, &last));
        assert!(choose(&all, Order::Rendezvous(7), &all).is_some(), "all were tried: again");
        assert!(choose(&[], Order::Turns(1), &[]).is_none());
    }

    #[tokio::test]
    async fn turns_are_taken_and_the_busy_are_passed_over() {
        let all = replicas(3);
        let taken = |turn| choose(&all, Order::Turns(turn), &[]).unwrap().place.identity.clone();
        assert_eq!(
            [taken(0), taken(1), taken(2), taken(3)],
            ["writer-1", "writer-2", "writer-3", "writer-1"]
        );
        let _in_hand = all[1].begin();
        assert_eq!([taken(0), taken(1), taken(usize::MAX)], ["writer-1", "writer-3", "writer-1"]);
    }
}
