//! What the process before left in its logs is found, once and in order.

use std::collections::BTreeSet;

use super::*;
use crate::log::Log;

/// Writes events into a log, in this order.
fn write(disk: &Simulated, events: &[&Event]) {
    let (mut log, _) = Log::open(disk.clone(), SMALL_SEGMENT, |_| {}).unwrap();
    let records: Vec<_> = events.iter().map(|event| event.record()).collect();
    log.commit(&records).unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_event_and_its_copy_count_as_one() {
    let (projects, sink) = ([ProjectId::new(), ProjectId::new()], Script::closed());
    let events: Vec<Event> = (0..20).map(|n| event(projects[n % 2])).collect();
    let disks = [Simulated::default(), Simulated::default(), Simulated::default()];
    // In the log of each of three shards, and twice in one.
    for disk in disks.iter().chain(&disks[..1]) {
        write(disk, &events.iter().collect::<Vec<_>>());
    }
    for shards in [3, 1, 2] {
        let disks: Vec<Simulated> = disks.iter().map(Simulated::kill).collect();
        let bench = Bench::simulated(&sink, Settings { shards, ..settings() }, &disks);
        for project in projects {
            assert_eq!(bench.account(project).await.accepted, 10);
        }
        bench.kill().await;
    }
    let disks: Vec<Simulated> = disks.iter().map(Simulated::kill).collect();
    let sink = Script::open();
    let bench = Bench::simulated(&sink, settings(), &disks);
    for project in projects {
        assert_eq!(bench.settled(project).await.stored, 10);
    }
    let sent: Vec<EventId> =
        events.iter().filter(|event| event.project_id == projects[0]).map(|event| event.id).collect();
    assert_eq!(ids(&sink.stored(), projects[0]), sent, "in their order");
    bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn events_of_the_same_microsecond_are_told_by_their_ids() {
    // As of two processes, when the clock was set back between them.
    let (project, now) = (ProjectId::new(), Utc::now());
    let admitted = |_| admit(project, &Sent::Json(br#"{"message":"m"}"#), now).unwrap();
    let [first, second, third] = [0, 1, 2].map(admitted);
    let disks = [Simulated::default(), Simulated::default()];
    write(&disks[0], &[&first, &second]);
    write(&disks[1], &[&third, &first]);
    let sink = Script::open();
    let bench = Bench::simulated(&sink, Settings { shards: 2, ..settings() }, &disks);
    assert_eq!(bench.settled(project).await.stored, 3);
    bench.close().await;
    let stored: BTreeSet<EventId> = ids(&sink.stored(), project).into_iter().collect();
    assert_eq!(stored, [first.id, second.id, third.id].into());
}

#[tokio::test(start_paused = true)]
async fn whatever_fails_while_events_are_moved_the_next_start_finds_each_of_them_once() {
    let projects: Vec<ProjectId> = (0..6).map(|_| ProjectId::new()).collect();
    let disks: Vec<Simulated> = (0..3).map(|_| Simulated::default()).collect();
    let mut sent = Vec::new();
    let bench = Bench::simulated(&Script::closed(), Settings { shards: 3, ..settings() }, &disks);
    for project in &projects {
        sent.push(bench.accept(*project, 30).await);
    }
    bench.kill().await;
    let (mut failed, mut succeeded) = (0, 0);
    for calls in (0..360).step_by(3) {
        let disks: Vec<Simulated> = disks.iter().map(Simulated::copy).collect();
        let mut choices = Choices(calls as u64);
        for disk in &disks {
            disk.fail_after(calls);
        }
        match Logs::open_in(disks.clone(), 2, SMALL_SEGMENT) {
            Ok(_) => succeeded += 1,
            Err(_) => failed += 1,
        }
        let disks: Vec<Simulated> = disks.iter().map(|disk| disk.crash(&mut choices)).collect();
        // One that chooses between copies, and is killed before it stores anything.
        Bench::simulated(&Script::closed(), Settings { shards: 2, ..settings() }, &disks).kill().await;
        let disks: Vec<Simulated> = disks.iter().map(|disk| disk.crash(&mut choices)).collect();
        let shards = 1 + calls % 3;
        let sink = Script::open();
        let bench = Bench::simulated(&sink, Settings { shards, ..settings() }, &disks);
        for (project, sent) in projects.iter().zip(&sent) {
            assert_eq!(bench.settled(*project).await.accepted, 30, "after {calls} calls");
            assert_eq!(&ids(&sink.stored(), *project), sent, "after {calls} calls");
        }
        bench.close().await;
    }
    assert!(failed > 0 && succeeded > 0, "{failed} failed, {succeeded} succeeded");
}

#[tokio::test(start_paused = true)]
async fn logs_of_more_shards_are_found_whatever_their_numbers() {
    let (sink, project, directory) = (Script::closed(), ProjectId::new(), ScratchDir::new());
    let bench = Bench::on_disk(&sink, settings(), &directory);
    let sent = bench.accept(project, 60).await;
    bench.kill().await;
    // As an operator may who brings the logs of two writers together.
    std::fs::rename(directory.path().join("shard-0"), directory.path().join("shard-4000000000")).unwrap();
    let sink = Script::open();
    let bench = Bench::on_disk(&sink, settings(), &directory);
    assert_eq!(bench.settled(project).await.stored, 60);
    assert_eq!(ids(&sink.stored(), project), sent);
    bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn what_was_moved_is_not_found_twice_at_the_next_start() {
    let projects: Vec<ProjectId> = (0..20).map(|_| ProjectId::new()).collect();
    let events: Vec<Event> = projects.iter().map(|project| event(*project)).collect();
    let at_home = projects.iter().filter(|project| shard_of(**project, 2) == 0).count();
    let disks = [Simulated::default(), Simulated::default()];
    write(&disks[0], &events.iter().collect::<Vec<_>>());
    // On a disk without room nothing is moved, and the shards of before find all where it was.
    disks[1].fill_up(0);
    Logs::open_in(disks.to_vec(), 2, SMALL_SEGMENT).unwrap_err();
    assert_eq!(left(&disks[0]), (20, 0));
    disks[1].heal();
    Logs::open_in(disks.to_vec(), 2, SMALL_SEGMENT).unwrap();
    assert_eq!(left(&disks[0]), (at_home, 20 - at_home));
    assert_eq!(left(&disks[1]), (20 - at_home, 0));
}

/// How many records of a log are not noted as settled, and how many are.
fn left(disk: &Simulated) -> (usize, usize) {
    let (_, recovered) = Log::open(disk.clone(), SMALL_SEGMENT, |_| {}).unwrap();
    (recovered.unsettled, recovered.settled)
}
