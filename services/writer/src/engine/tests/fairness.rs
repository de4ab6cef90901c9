//! What projects get of a flush, and what may wait for a shard.

use super::*;

/// How many bytes of a project the first batches have.
fn bytes_of(sink: &Script, sizes: &HashMap<EventId, usize>, project: ProjectId, batches: usize) -> usize {
    let taken = sink.batches.lock().unwrap();
    let of = |(_, batch): &(Instant, Ids)| ids(batch, project).iter().map(|id| sizes[id]).sum::<usize>();
    taken.iter().take(batches).map(of).sum()
}

#[tokio::test(start_paused = true)]
async fn projects_share_by_bytes_whatever_the_size_of_their_events() {
    for on_disk in [false, true] {
        let sink = Script::closed();
        let [large, small, first] = [(); 3].map(|()| ProjectId::new());
        let disk = Simulated::default();
        let bench = if on_disk { Bench::simulated(&sink, settings(), &[disk]) } else { Bench::new(&sink) };
        // Keeps the shard busy until the others are all there.
        bench.accept(first, 50).await;
        let mut sizes = HashMap::new();
        for (project, size, count) in [(large, 200_000, 20), (small, 1000, 500)] {
            let one = sized(project, size);
            let events: Vec<Event> =
                (0..count).map(|_| Event { id: EventId::new(), ..one.clone() }).collect();
            sizes.extend(events.iter().map(|event| (event.id, event.record().length())));
            for events in events.chunks(10) {
                bench.engine.accepted(project, events.to_vec()).await.unwrap();
            }
        }
        let engine = bench.engine.clone();
        let flush_of_large = tokio::spawn(async move { engine.flush(large).await });
        let engine = bench.engine.clone();
        let flush_of_small = tokio::spawn(async move { engine.flush(small).await });
        tokio::time::sleep(Duration::from_millis(1)).await;
        sink.permits.add_permits(Semaphore::MAX_PERMITS);
        flush_of_small.await.unwrap().unwrap();
        let last = |(_, batch): &(Instant, Ids)| !ids(batch, small).is_empty();
        // In the last one that it is in, nobody else wants what is left.
        let rounds = sink.batches.lock().unwrap().iter().rposition(last).unwrap();
        let (of_large, of_small) =
            (bytes_of(&sink, &sizes, large, rounds), bytes_of(&sink, &sizes, small, rounds));
        assert!(of_large < 2 * of_small + 200_000, "{of_large} against {of_small}");
        assert!(of_large > of_small / 2, "{of_large} against {of_small}");
        assert_eq!(flush_of_large.await.unwrap(), Ok(20));
        bench.close().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_flush_with_room_takes_along_what_is_not_due_yet_the_soonest_first() {
    let sink = Script::open();
    let bench = Bench::simulated(&sink, settings(), &[Simulated::default()]);
    let started = Instant::now();
    // In another order than that of their ids.
    let mut others: Vec<ProjectId> = (0..12).map(|_| ProjectId::new()).collect();
    others.rotate_left(5);
    for other in &others {
        bench.accept(*other, 40).await;
        advance(Duration::from_millis(1)).await;
    }
    assert!(sink.stored().is_empty(), "nothing is due");
    let due = ProjectId::new();
    bench.accept(due, 50).await;
    bench.settled(due).await;
    let batches = sink.batches.lock().unwrap().clone();
    let [(at, batch)] = batches.as_slice() else { panic!("{} batches", batches.len()) };
    assert!(*at < started + INTERVAL / 2);
    let on_board: Vec<usize> = others.iter().map(|other| ids(batch, *other).len()).collect();
    // 500 are the most in one flush.
    assert_eq!(on_board, [[40; 11].as_slice(), &[10]].concat());
    assert_eq!(ids(batch, due).len(), 50);
    let last = bench.settled(others[11]).await;
    assert_eq!((last.stored, sink.batches.lock().unwrap().len()), (40, 2));
    bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn what_is_due_is_not_kept_out_by_what_is_taken_along() {
    let sink = Script::closed();
    let bench = Bench::simulated(&sink, settings(), &[Simulated::default()]);
    let [first, one, other, early] = [(); 4].map(|()| ProjectId::new());
    // Keeps the shard busy until the others are all there.
    bench.accept(first, 50).await;
    bench.accept(early, 40).await;
    for flood in [one, other] {
        bench.accept(flood, 250).await;
    }
    sink.permits.add_permits(Semaphore::MAX_PERMITS);
    bench.settled(early).await;
    let batches = sink.batches.lock().unwrap().clone();
    let of =
        |project: ProjectId| batches.iter().map(|(_, batch)| ids(batch, project).len()).collect::<Vec<_>>();
    assert_eq!([of(one), of(other), of(early)], [[0, 250, 0], [0, 250, 0], [0, 0, 40]]);
    bench.close().await;
}

/// How soon a second flush takes off, and with how many events, of so many projects that have so many events of so many bytes
/// each, while one of another project stays in flight. The last of them may be asked to be flushed.
async fn second_flight(projects: usize, events: usize, bytes: usize, asks: bool) -> (usize, Duration) {
    let (sink, disk) = (Script::closed(), Simulated::default());
    let bench = Bench::simulated(&sink, Settings { flights: 2, ..settings() }, &[disk]);
    bench.accept(ProjectId::new(), 50).await;
    while sink.begun.lock().unwrap().is_empty() {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let started = Instant::now();
    let projects: Vec<ProjectId> = (0..projects).map(|_| ProjectId::new()).collect();
    for project in &projects {
        let one = sized(*project, bytes);
        let events = (0..events).map(|_| Event { id: EventId::new(), ..one.clone() });
        bench.engine.accepted(*project, events.collect()).await.unwrap();
    }
    let (engine, last) = (bench.engine.clone(), projects[projects.len() - 1]);
    let flush = tokio::spawn(async move { if asks { engine.flush(last).await } else { Ok(0) } });
    while sink.begun.lock().unwrap().len() < 2 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let (at, on_board) = sink.begun.lock().unwrap()[1];
    sink.permits.add_permits(Semaphore::MAX_PERMITS);
    flush.await.unwrap().unwrap();
    bench.close().await;
    (on_board, at - started)
}

#[tokio::test(start_paused = true)]
async fn while_one_is_in_flight_the_next_takes_off_when_it_is_worth_it_or_late() {
    let (at_once, late) = (0..20, 90..120);
    for (what, projects, events, bytes, asks, expected) in [
        ("neither", 9, 50, 1, false, &late),
        ("full", 10, 50, 1, false, &at_once),
        ("all that a project may have", 1, 250, 1, false, &at_once),
        ("large events", 1, 50, 20_000, false, &at_once),
        ("asked for", 3, 50, 1, true, &at_once),
        ("asked for before it is due", 2, 3, 1, true, &at_once),
    ] {
        let (on_board, took) = second_flight(projects, events, bytes, asks).await;
        assert_eq!(on_board, projects * events, "{what}");
        assert!(expected.contains(&took.as_millis()), "{what}: after {took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_taken_along_where_it_could_be_lost_or_while_not_all_is_well() {
    for on_disk in [false, true] {
        let sink = Script::open();
        let disk = Simulated::default();
        let bench = if on_disk { Bench::simulated(&sink, settings(), &[disk]) } else { Bench::new(&sink) };
        let [busy, quiet] = [(); 2].map(|()| ProjectId::new());
        if on_disk {
            // It takes more than a second to be stored.
            sink.fail(4);
            bench.accept(busy, 50).await;
            bench.settled(busy).await;
        }
        bench.accept(quiet, 1).await;
        bench.accept(busy, 50).await;
        bench.settled(busy).await;
        assert_eq!(bench.account(quiet).await.stored, 0);
        if on_disk {
            bench.accept(busy, 50).await;
            bench.settled(busy).await;
            assert_eq!(bench.account(quiet).await.stored, 1, "all is well again");
        }
        bench.close().await;
    }
}

#[tokio::test(start_paused = true)]
async fn who_asks_for_a_flush_of_what_came_while_its_project_was_in_flight_waits_for_no_full_one() {
    let sink = Script::closed();
    let bench = Bench::with(&sink, Settings { flights: 2, buffer_events: 1000, ..settings() }, None::<Logs>);
    let [asked, other] = [(); 2].map(|()| ProjectId::new());
    // One flight of each.
    bench.accept(asked, 50).await;
    bench.accept(other, 500).await;
    bench.accept(asked, 1).await;
    let engine = bench.engine.clone();
    let flush = tokio::spawn(async move { engine.flush(asked).await });
    tokio::time::sleep(Duration::from_millis(1)).await;
    let started = Instant::now();
    // The first lands; the other's stays where it is.
    sink.permits.add_permits(1);
    while sink.begun.lock().unwrap().len() < 3 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let begun: Vec<usize> = sink.begun.lock().unwrap().iter().map(|(_, events)| *events).collect();
    assert_eq!(begun, [50, 500, 1]);
    assert!(started.elapsed() < Duration::from_millis(10), "{:?}", started.elapsed());
    sink.permits.add_permits(Semaphore::MAX_PERMITS / 2);
    assert_eq!(flush.await.unwrap(), Ok(51));
    bench.close().await;
}

#[tokio::test(start_paused = true)]
async fn a_request_larger_than_all_that_may_wait_passes_alone() {
    let (sink, project) = (Script::open(), ProjectId::new());
    let bench = Bench::new(&sink);
    let events = vec![sized(project, 1_000_000); 12];
    assert!(events.iter().map(Event::size).sum::<usize>() / 1024 > QUEUE_KIB as usize / 2);
    let twice: Vec<Event> = events.iter().chain(&events).cloned().collect();
    assert_eq!(bench.engine.accepted(project, twice).await, Ok(()));
    assert_eq!(bench.engine.accepted(project, events).await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_shard_is_bounded_by_bytes() {
    let (sink, project) = (Script::open(), ProjectId::new());
    // Its shard is not run: all that is accepted waits.
    let (engine, shards) =
        Engine::new(settings(), &sink, &Metrics::new(&mut Registry::default()), None::<Logs>);
    let event = sized(project, 1_000_000);
    let mut waiting = JoinSet::new();
    for _ in 0..40 {
        let (engine, event) = (engine.clone(), event.clone());
        waiting.spawn(async move { engine.accepted(project, vec![event]).await });
    }
    tokio::time::sleep(2 * QUEUE_TIMEOUT).await;
    let mut overloaded = 0;
    while let Some(result) = waiting.try_join_next() {
        assert_eq!(result.unwrap(), Err(EngineError::Overloaded));
        overloaded += 1;
    }
    assert!((20..40).contains(&overloaded), "{overloaded}");
    // Once it runs, those are taken in.
    let running: JoinSet<_> = shards.into_iter().map(Shard::run).collect();
    while let Some(result) = waiting.join_next().await {
        assert_eq!(result.unwrap(), Ok(()));
    }
    drop(running);
}
