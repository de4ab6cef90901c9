//! The account that a writer gives of a project's events.

use mesher_proto::mesher::writer::v1::{DropReason, WriterStats};

/// Fails unless what was accepted is stored, buffered, dropped or a dead letter.
///
/// # Panics
/// If it is not.
#[track_caller]
pub fn assert_adds_up(stats: &WriterStats) {
    let dropped: i64 = stats.drops.iter().map(|drop| drop.count).sum();
    let sum = stats.stored_count + stats.buffered_count + dropped + stats.dead_lettered_count;
    assert_eq!(stats.accepted_count, sum, "{stats:?}");
}

/// How many events were dropped for a reason.
pub fn dropped(stats: &WriterStats, reason: DropReason) -> i64 {
    stats.drops.iter().filter(|drop| drop.reason() == reason).map(|drop| drop.count).sum()
}
