//! Parcels: the events of many callers on one stream, each with a key of its own.

use std::{collections::BTreeMap, time::Duration};

use mesher_proto::mesher::writer::v1::{
    Parcel, ParcelResult, StoreStreamRequest, StoreStreamResponse, store_result::Outcome,
};
use mesher_suite::{Key, Suite, reason};
use tokio_stream::StreamExt as _;
use tonic::{Code, Request, Streaming};

use crate::support::{flush, payload, stats, status};

fn parcel(sequence: u64, key: &Key, texts: &[&str]) -> Parcel {
    let events = texts.iter().map(|text| payload(text)).collect();
    Parcel { sequence, api_key: key.secret.clone(), events, ..Parcel::default() }
}

fn request(parcels: Vec<Parcel>) -> StoreStreamRequest {
    StoreStreamRequest { parcels, ..StoreStreamRequest::default() }
}

/// A stream without a key of its own.
async fn stream(suite: &Suite, requests: Vec<StoreStreamRequest>) -> Streaming<StoreStreamResponse> {
    suite.writer().store_stream(Request::new(tokio_stream::iter(requests))).await.unwrap().into_inner()
}

/// The answers to all parcels of a stream that ends well, by their numbers.
async fn answers(mut stream: Streaming<StoreStreamResponse>) -> BTreeMap<u64, ParcelResult> {
    let mut answers = BTreeMap::new();
    while let Some(answer) = stream.message().await.unwrap() {
        for parcel in answer.parcels {
            assert!(answers.insert(parcel.sequence, parcel).is_none(), "each is answered once");
        }
    }
    answers
}

fn refusal(result: &ParcelResult) -> (Code, String) {
    let error = result.error.clone().unwrap();
    assert!(result.results.is_empty() && result.project_id.is_empty(), "{result:?}");
    let refused = status(error);
    (refused.code(), reason(&refused))
}

#[tokio::test]
async fn each_parcel_is_stored_for_its_own_key_or_refused_by_itself() {
    let suite = Suite::start().await;
    let (shop, bank) = (suite.key().await, suite.key().await);
    let garbage = Parcel { sequence: 4, api_key: "garbage\n".to_owned(), ..Parcel::default() };
    let elsewhere =
        Parcel { project_number: "999999".to_owned(), ..parcel(5, &shop, &[r#"{"message":"m"}"#]) };
    let many = Parcel { events: vec![payload("{}"); 1001], ..parcel(7, &shop, &[]) };
    let requests = vec![
        request(vec![
            parcel(1, &shop, &[r#"{"message":"a"}"#, "5"]),
            parcel(2, &bank, &[r#"{"message":"b"}"#]),
        ]),
        request(vec![parcel(3, &bank, &[]), garbage, elsewhere, Parcel { sequence: 6, ..Parcel::default() }]),
        request(vec![many, parcel(8, &shop, &[r#"{"message":"c"}"#])]),
    ];
    let answers = answers(stream(&suite, requests).await).await;
    assert_eq!(answers.keys().copied().collect::<Vec<_>>(), (1..=8).collect::<Vec<_>>());
    let accepted = |sequence: u64| -> Vec<bool> {
        assert_eq!(answers[&sequence].error, None);
        let outcome = |outcome: &Option<Outcome>| matches!(outcome, Some(Outcome::EventId(_)));
        answers[&sequence].results.iter().map(|result| outcome(&result.outcome)).collect()
    };
    assert_eq!(
        [accepted(1), accepted(2), accepted(3), accepted(8)],
        [vec![true, false], vec![true], vec![], vec![true]]
    );
    for (sequence, key) in [(1, &shop), (2, &bank), (3, &bank), (8, &shop)] {
        assert_eq!(answers[&sequence].project_id, key.project.id);
    }
    for (sequence, expected) in [(4, "API_KEY_INVALID"), (5, "API_KEY_INVALID"), (6, "CREDENTIALS_MISSING")] {
        assert_eq!(refusal(&answers[&sequence]), (Code::Unauthenticated, expected.to_owned()));
    }
    assert_eq!(refusal(&answers[&7]), (Code::InvalidArgument, "INVALID_FIELD".to_owned()));
    assert_eq!(flush(&suite, &shop.project).await, 2);
    // It may have been taken along.
    flush(&suite, &bank.project).await;
    assert_eq!(stats(&suite, &bank.project).await.stored_count, 1);
    assert_eq!(stats(&suite, &shop.project).await.refused_count, 1);
}

#[tokio::test]
async fn many_errors_are_told_in_several_answers() {
    const PARCELS: u64 = 60;
    let suite = Suite::start().await;
    let key = suite.key().await;
    let bad = Parcel { events: vec![payload("5"); 1000], ..parcel(0, &key, &[]) };
    let parcels = (1..=PARCELS).map(|sequence| Parcel { sequence, ..bad.clone() }).collect();
    let mut stream = stream(&suite, vec![request(parcels)]).await;
    let (mut answered, mut total) = (BTreeMap::new(), 0);
    while let Some(answer) = stream.message().await.unwrap() {
        let bytes = prost::Message::encoded_len(&answer);
        assert!(bytes < 2 << 20, "{} parcels in {bytes} bytes", answer.parcels.len());
        total += bytes;
        answered.extend(answer.parcels.into_iter().map(|parcel| (parcel.sequence, parcel.results.len())));
    }
    assert_eq!(answered, (1..=PARCELS).map(|sequence| (sequence, 1000)).collect());
    assert!(total > 4 << 20, "{total} bytes in one answer would be refused");
}

#[tokio::test]
async fn a_message_of_more_parcels_than_may_be_is_refused_before_they_take_memory() {
    let suite = Suite::start().await;
    let most = (0..1000).map(|sequence| Parcel { sequence, ..Parcel::default() }).collect();
    assert_eq!(answers(stream(&suite, vec![request(most)]).await).await.len(), 1000);
    let parcels = |count| request(vec![Parcel::default(); count]);
    // Of so many the whole message is refused: several times as many would fit into its bytes.
    for (count, expected) in
        [(1001, "has 1001 parcels; 1000 are allowed"), (1_100_000, "more than 1048576 elements")]
    {
        let error = stream(&suite, vec![parcels(count)]).await.message().await.unwrap_err();
        assert_eq!(error.code(), Code::InvalidArgument);
        let details = format!("{error:?}");
        assert!(details.contains(expected), "{details}");
    }
}

#[tokio::test]
async fn many_large_parcels_are_all_answered() {
    const MESSAGES: u64 = 10;
    let suite = Suite::start().await;
    let key = suite.key().await;
    // Several times as many bytes as a stream has in hand at once, in messages that are each a large part of that.
    let event = format!(r#"{{"message":"m","extra":{{"text":"{}"}}}}"#, "x".repeat(1_000_000));
    let requests = (0..MESSAGES).map(|message| {
        let parcels = (1..=4).map(|number| parcel(message * 4 + number, &key, &[&event]));
        request(parcels.collect())
    });
    let answers = answers(stream(&suite, requests.collect()).await).await;
    assert_eq!(answers.keys().copied().collect::<Vec<_>>(), (1..=MESSAGES * 4).collect::<Vec<_>>());
    assert!(answers.values().all(|answer| answer.error.is_none()), "{answers:?}");
}

#[tokio::test]
async fn what_is_sent_again_by_its_fallback_id_is_one_event() {
    let suite = Suite::start().await;
    let key = suite.key().await;
    let mut again = parcel(1, &key, &[r#"{"message":"a"}"#]);
    again.events[0].fallback_event_id = "0123456789abcdef0123456789abcdef".to_owned();
    for _ in 0..2 {
        let answers = answers(stream(&suite, vec![request(vec![again.clone()])]).await).await;
        let outcome = answers[&1].results[0].outcome.clone();
        assert_eq!(outcome, Some(Outcome::EventId(again.events[0].fallback_event_id.clone())));
    }
    assert_eq!(flush(&suite, &key.project).await, 1);
}

#[tokio::test]
async fn without_parcels_a_stream_needs_a_key() {
    let suite = Suite::start().await;
    let events = vec![payload(r#"{"message":"a"}"#)];
    let request = StoreStreamRequest { events, ..StoreStreamRequest::default() };
    let error = stream(&suite, vec![request]).await.message().await.unwrap_err();
    assert_eq!(reason(&error), "CREDENTIALS_MISSING");
}

#[tokio::test]
async fn a_stream_on_which_no_valid_key_comes_is_closed() {
    let suite = Suite::start().await;
    let key = suite.key().await;
    let wrong = Parcel { sequence: 1, api_key: "garbage".to_owned(), ..Parcel::default() };
    let open = async |first: Option<Parcel>| {
        let first = first.map(|parcel| request(vec![parcel]));
        let requests = tokio_stream::iter(first).chain(futures_util::stream::pending());
        suite.writer().store_stream(Request::new(requests)).await.unwrap().into_inner()
    };
    let (mut silent, mut garbage) = (open(None).await, open(Some(wrong)).await);
    let mut known = open(Some(parcel(1, &key, &[r#"{"message":"a"}"#]))).await;
    let refused = garbage.message().await.unwrap().unwrap();
    assert_eq!(refusal(&refused.parcels[0]).0, Code::Unauthenticated);
    assert_eq!(known.message().await.unwrap().unwrap().parcels[0].error, None);
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(11)).await;
    tokio::time::resume();
    for stream in [&mut silent, &mut garbage] {
        let error = stream.message().await.unwrap_err();
        assert_eq!((error.code(), reason(&error).as_str()), (Code::Unauthenticated, "CREDENTIALS_MISSING"));
    }
    let more = tokio::time::timeout(Duration::from_millis(200), known.message()).await;
    assert!(more.is_err(), "it stays open: {more:?}");
}
