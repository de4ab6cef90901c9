//! What a project has in memory, and who waits for it.

use chrono::Utc;
use mesher_common::id::ProjectId;

use super::*;
use crate::admission::{Sent, admit};

#[test]
fn no_more_are_in_memory_than_may_be_also_while_a_backlog_is_read_back() {
    const MEMORY: usize = 20;
    let event = admit(ProjectId::new(), &Sent::Json(br#"{"message":"m"}"#), Utc::now()).unwrap();
    let (mut project, mut memory) = (Project::default(), Memory::beside_log());
    let limits = Limits { memory: MEMORY, events: 2000, bytes: u64::MAX };
    let now = Instant::now();
    let mut flying: Vec<Held> = Vec::new();
    let mut most_in_flight = 0;
    // More comes in than is flushed, and later less. Some can only be stored in the end.
    for (round, arrive) in (0..600).map(|round| (round, if round < 100 { 15 } else { 5 })) {
        let position = |offset| Position { segment: round, offset, length: 100 };
        let held: Vec<Held> =
            (0..arrive).map(|offset| Held::logged(event.clone(), position(offset), now)).collect();
        project.accept(held.into_iter(), limits, &mut memory);
        assert!(project.loaded + project.in_flight <= MEMORY, "in round {round}");
        if round % 2 == 1 {
            let bad = |held: &Held| held.number.is_multiple_of(3) && round < 150;
            for held in flying.drain(..).filter(bad) {
                let position = held.position().unwrap();
                project.put_back(Held::left_to_log(held.number, position, now));
            }
            project.landed(round < 150, now);
            let share = project.share(MEMORY, usize::MAX);
            project.give_turn(usize::MAX);
            flying.extend(std::iter::from_fn(|| project.take(share, true, &mut memory)));
            most_in_flight = most_in_flight.max(flying.len());
        }
        assert!(project.loaded + project.in_flight <= MEMORY, "in round {round}");
    }
    assert_eq!((most_in_flight, project.put_back.held.len()), (MEMORY, 0));
    assert!(project.waiting.len() < 3 * MEMORY, "the backlog is gone: {}", project.waiting.len());
}

#[test]
fn those_who_do_not_wait_for_their_flush_any_more_are_forgotten() {
    let event = admit(ProjectId::new(), &Sent::Json(br#"{"message":"m"}"#), Utc::now()).unwrap();
    let mut project = Project::default();
    let limits = Limits { memory: 500, events: 500, bytes: u64::MAX };
    let held = std::iter::once(Held::in_memory(event, Instant::now()));
    project.accept(held, limits, &mut Memory::beside_log());
    for _ in 0..100 {
        let (done, gone) = oneshot::channel();
        project.flush(done);
        drop(gone);
    }
    let (done, mut waits) = oneshot::channel();
    project.flush(done);
    assert_eq!(project.flushes.number(), 1);
    assert!(waits.try_recv().is_err(), "the event is not settled");
}
