use tokio::io::AsyncReadExt as _;
use tonic::{Code, transport::Endpoint};

use super::{super::failure::Again, *};

/// Has as many parcels as this wait for a lane to nobody, and gives what they are told.
async fn told(count: usize, close: CancellationToken) -> Vec<Failure> {
    let channel = Endpoint::from_static("http://127.0.0.1:1").connect_lazy();
    let (lanes, tasks) = Lanes::new(&channel);
    let parcels = (0..count).map(|_| lanes.store("writer", Parcel::default(), None));
    let all = futures_util::future::join_all(parcels);
    let run = async {
        // All are in the queues by then.
        tokio::task::yield_now().await;
        for lane in tasks {
            tokio::spawn(lane.run(close.clone()));
        }
    };
    tokio::join!(all, run).0.into_iter().map(Result::unwrap_err).collect()
}

#[tokio::test]
async fn what_waits_for_a_writer_that_is_not_there_goes_on_at_once() {
    let failures = told(100, CancellationToken::new()).await;
    assert_eq!(failures.len(), 100);
    for failure in failures {
        assert_eq!((failure.again, failure.away), (Again::Always, true), "{failure:?}");
    }
}

#[tokio::test]
async fn what_waits_for_a_lane_that_closes_was_never_sent() {
    let close = CancellationToken::new();
    close.cancel();
    for failure in told(100, close).await {
        assert_eq!((failure.again, failure.away), (Again::Always, true), "{failure:?}");
    }
}

#[tokio::test]
async fn a_lane_that_closes_does_not_wait_for_its_stream_to_be_opened() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (lanes, tasks) = Lanes::new(&Endpoint::from_shared(address).unwrap().connect_lazy());
    let close = CancellationToken::new();
    let running: Vec<_> = tasks.into_iter().map(|lane| tokio::spawn(lane.run(close.clone()))).collect();
    let closing = async {
        // Somebody is there who takes what comes, and says nothing.
        let (mut connection, _) = listener.accept().await.unwrap();
        connection.read_u8().await.unwrap();
        close.cancel();
        for lane in running {
            lane.await.unwrap();
        }
    };
    let (told, ()) = tokio::join!(lanes.store("writer", Parcel::default(), None), closing);
    let failure = told.unwrap_err();
    assert_eq!((failure.again, failure.away), (Again::Always, true), "{failure:?}");
}

#[tokio::test]
async fn what_waits_is_bounded_by_its_bytes_also_when_its_sender_is_gone() {
    let channel = Endpoint::from_static("http://127.0.0.1:1").connect_lazy();
    let (lanes, tasks) = Lanes::new(&channel);
    let large = || Parcel { api_key: "x".repeat(8 << 20), ..Parcel::default() };
    for _ in 0..7 {
        let gone = timeout(Duration::ZERO, lanes.store("writer", large(), None)).await;
        assert!(gone.is_err(), "it waits, and its sender does not");
    }
    let refused = lanes.store("writer", large(), None).await.unwrap_err();
    assert_eq!((refused.status.code(), refused.again), (Code::Unavailable, Again::Never));
    drop(tasks);
    assert_eq!(lanes.room.available_permits(), QUEUE_KIB);
}

#[tokio::test]
async fn of_a_stream_that_ends_it_is_known_what_was_sent() {
    for status in [None, Some(Status::unavailable("reset"))] {
        let mut stream = Stream {
            messages: None,
            batch: Batch::default(),
            unanswered: HashMap::new(),
            number: 0,
            was_answered: false,
        };
        let add = |stream: &mut Stream| {
            let (waiting, answered) = oneshot::channel();
            let reply = Reply { waiting, attempt: None };
            stream.add(Waiting { parcel: Parcel::default(), bytes: 0, reply, _room: None });
            answered
        };
        let sent = add(&mut stream);
        assert_eq!(stream.batch.take().parcels.len(), 1);
        let unsent = add(&mut stream);
        stream.end(status.clone());
        assert!(!unsent.await.unwrap().unwrap_err().was_sent);
        match sent.await {
            Ok(told) => assert!(told.unwrap_err().was_sent),
            Err(_) => assert!(status.is_none(), "whoever waits is told what is known"),
        }
    }
}
