//! Records that are not what was written any more.

use super::{
    bound::{SLACK, bounded},
    *,
};
use crate::log::{Log, Position};

/// The positions of all records in a log, in their order.
pub(super) fn records(disk: &Simulated) -> Vec<Position> {
    let mut found = Vec::new();
    Log::open(disk.copy(), SMALL_SEGMENT, |record| found.push(record.position)).unwrap();
    found
}

pub(super) fn file(position: Position) -> String {
    format!("{:020}.log", position.segment)
}

/// Changes a byte of a record on the disk.
pub(super) fn spoil(disk: &Simulated, position: Position) {
    disk.damage(&file(position), (position.offset + position.length / 2) as usize);
}

/// The names under which damaged segments of a log are kept, and those of its others.
fn names(disk: &Simulated) -> (Vec<String>, Vec<String>) {
    disk.names().into_iter().partition(|name| name.ends_with(".damaged"))
}

#[tokio::test(start_paused = true)]
async fn an_event_that_is_damaged_while_it_waits_is_counted_and_its_segment_kept() {
    let (sink, project, disk) = (Script::closed(), ProjectId::new(), Simulated::default());
    let few_in_memory = Settings { buffer_events: 10, ..settings() };
    let bench = Bench::simulated(&sink, few_in_memory, std::slice::from_ref(&disk));
    let mut sent = bench.accept(project, 60).await;
    let damaged = records(&disk)[40];
    spoil(&disk, damaged);
    let content = disk.content(&file(damaged));
    sink.permits.add_permits(Semaphore::MAX_PERMITS);
    let account = bench.settled(project).await;
    assert_eq!((account.stored, account.dropped(DropReason::LogDamaged)), (59, 1));
    sent.remove(40);
    assert_eq!(ids(&sink.stored(), project), sent);
    bench.close().await;
    let kept = format!("{:020}.damaged", damaged.segment);
    assert_eq!(names(&disk), (vec![kept.clone()], vec![]));
    assert_eq!(disk.content(&kept), content);
}

#[tokio::test(start_paused = true)]
async fn what_was_damaged_before_the_start_keeps_its_segment_also_under_other_shards() {
    let disks = [Simulated::default(), Simulated::default()];
    let projects: Vec<ProjectId> = (0..8).map(|_| ProjectId::new()).collect();
    let bench = Bench::simulated(&Script::closed(), Settings { shards: 2, ..settings() }, &disks);
    for project in &projects {
        bench.accept(*project, 10).await;
    }
    bench.kill().await;
    let moved = projects.iter().filter(|project| shard_of(**project, 2) == 1).count();
    assert!((1..8).contains(&moved), "some are in each");
    for shards in [2, 1] {
        let disks = [disks[0].copy().kill(), disks[1].copy().kill()];
        let damaged = records(&disks[1])[3];
        spoil(&disks[1], damaged);
        let sink = Script::open();
        let logs = Logs::open_in(disks.to_vec(), shards, SMALL_SEGMENT).unwrap();
        assert_eq!(logs.damaged, 1);
        let bench = Bench::with(&sink, Settings { shards, ..settings() }, Some(logs));
        for project in &projects {
            bench.settled(*project).await;
        }
        assert_eq!(sink.stored().len(), 79);
        bench.close().await;
        assert_eq!(names(&disks[0]), (vec![], vec![]));
        assert_eq!(names(&disks[1]), (vec![format!("{:020}.damaged", damaged.segment)], vec![]), "{shards}");
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_damaged_on_its_way_to_another_shard_is_in_the_account_of_its_project() {
    let (away, project) = (Simulated::default(), ProjectId::new());
    let bench = Bench::simulated(&Script::closed(), settings(), std::slice::from_ref(&away));
    bench.accept(project, 10).await;
    bench.kill().await;
    // Its home is another one, by whatever number.
    let away = away.kill();
    let damaged = records(&away)[6];
    away.damage_when_read(&file(damaged), (damaged.offset + damaged.length / 2) as usize);
    let disks = [Simulated::default(), away.clone()];
    let mut registry = Registry::default();
    let metrics = Metrics::new(&mut registry);
    let logs = Logs::open_in(disks.to_vec(), 1, SMALL_SEGMENT).unwrap();
    assert_eq!(logs.damaged, 0, "it was found when the log was opened");
    let sink = Script::open();
    let (engine, shards) = Engine::new(settings(), &sink, &metrics, Some(logs));
    let bench = Bench { engine, shards: shards.into_iter().map(Shard::run).collect() };
    let account = bench.settled(project).await;
    assert_eq!((account.accepted, account.stored), (10, 9));
    assert_eq!(account.dropped(DropReason::LogDamaged), 1);
    let mut told = String::new();
    prometheus_client::encoding::text::encode(&mut told, &registry).unwrap();
    for line in [
        "mesher_writer_accepted_total 10",
        "mesher_writer_buffered 0",
        "mesher_writer_settled_total{end=\"log_damaged\"} 1",
    ] {
        assert!(told.lines().any(|told| told == line), "{line} is missing in {told}");
    }
    bench.close().await;
    assert_eq!(names(&away), (vec![format!("{:020}.damaged", damaged.segment)], vec![]));
}

#[tokio::test(start_paused = true)]
async fn cleaning_drops_what_is_damaged_but_nothing_that_is_in_memory() {
    for (buffer_events, lost) in [(2, 1), (500, 0)] {
        let (sink, disk) = (Script::closed(), Simulated::default());
        let small = Settings { buffer_events, ..bounded(WhenFull::DropOldest) };
        let bench = Bench::simulated(&sink, small, std::slice::from_ref(&disk));
        let [first, quiet, flood] = [(); 3].map(|()| ProjectId::new());
        // In flight all the while.
        bench.accept(first, 50).await;
        bench.accept(flood, 50).await;
        bench.accept(quiet, 5).await;
        let records = records(&disk);
        let damaged = records[50 + 50 + 3];
        assert!(records[..50].iter().all(|record| record.segment < damaged.segment));
        spoil(&disk, damaged);
        for _ in 0..2000 {
            bench.engine.accepted(flood, vec![sized(flood, 200)]).await.unwrap();
            assert!(disk.used() <= 12 * SMALL_SEGMENT as usize + SLACK, "{}", disk.used());
        }
        assert_eq!(bench.account(quiet).await.dropped(DropReason::LogDamaged), lost);
        sink.permits.add_permits(Semaphore::MAX_PERMITS);
        assert_eq!(bench.settled(quiet).await.stored, 5 - lost);
        bench.settled(flood).await;
        bench.close().await;
        assert_eq!(names(&disk).0.len(), usize::try_from(lost).unwrap());
        assert_eq!(names(&disk).1, [""; 0]);
    }
}
