//! Taking events in and storing them.

use std::collections::BTreeMap;

use mesher_common::{clock::Clock, config::DatabaseArgs, db, id::ProjectId};
use mesher_proto::mesher::writer::v1::{
    DropReason, Durability, EventPayload, StoreBatchRequest, StoreRequest, StoreStreamRequest, store_request,
    store_result,
};
use mesher_suite::{Suite, error_info, reason, violated_field, with_key};
use mesher_testing::{TestDatabase, eventually};
use mesher_writer::{
    admission::{Sent, admit},
    engine::sink::{Outcome, Sink as _},
    store::Store,
};
use sqlx::PgPool;
use tokio_stream::StreamExt as _;
use tonic::Code;

use crate::support::{PATIENCE, dropped, events, flush, json, metrics, payload, stats, store, store_batch};

#[tokio::test]
async fn what_is_sent_is_buffered_flushed_and_read_back() {
    let suite = Suite::start().await;
    let key = suite.key().await;
    let answer =
        suite.writer().store(with_key(&key, json(r#"{"message":"boom","tags":{"a":1}}"#))).await.unwrap();
    let answer = answer.into_inner();
    assert_eq!((answer.event_id.len(), answer.durability()), (32, Durability::Disk));
    let event = prost_types::Struct {
        fields: BTreeMap::from([(
            "message".to_owned(),
            prost_types::Value {
                kind: Some(prost_types::value::Kind::StringValue("as a Struct".to_owned())),
            },
        )]),
    };
    let request = StoreRequest { payload: Some(store_request::Payload::Event(event)) };
    suite.writer().store(with_key(&key, request)).await.unwrap();

    assert_eq!(flush(&suite, &key.project).await, 2);
    assert_eq!(flush(&suite, &key.project).await, 0, "nothing waits any more");
    let found = events(&suite, &key.project).await;
    let messages: Vec<&str> = found.iter().map(|event| event.message.as_str()).collect();
    assert_eq!(messages, ["as a Struct", "boom"], "the newest first");
    assert_eq!((found[1].event_id.as_str(), found[1].tags["a"].as_str()), (answer.event_id.as_str(), "1"));
    let stats = stats(&suite, &key.project).await;
    assert_eq!((stats.accepted_count, stats.stored_count, stats.buffered_count), (2, 2, 0));
}

#[tokio::test]
async fn a_commit_is_on_disk_whatever_the_servers_default_is() {
    let database = TestDatabase::new().await;
    let args = DatabaseArgs {
        database_url: database.url().parse().unwrap(),
        database_connections: 1,
        database_wait: PATIENCE,
    };
    let pool = db::connect(&args, mesher_writer::DATABASE_ROLE).await.unwrap();
    let setting = async |pool: &PgPool| -> String {
        sqlx::query_scalar("SHOW synchronous_commit").fetch_one(pool).await.unwrap()
    };
    assert_eq!((setting(database.pool()).await.as_str(), setting(&pool).await.as_str()), ("off", "on"));
}

#[tokio::test]
async fn an_id_beside_the_event_is_its_id_and_a_bad_one_refuses_it_alone() {
    let suite = Suite::start().await;
    let key = suite.key().await;
    let id = "0123456789abcdef0123456789abcdef";
    let event = |event_id: &str| EventPayload {
        event_id: event_id.to_owned(),
        ..payload(r#"{"message":"m","event_id":"ffffffffffffffffffffffffffffffff"}"#)
    };
    let request = StoreBatchRequest { events: vec![event(id), event("x")] };
    let results = suite.writer().store_batch(with_key(&key, request)).await.unwrap().into_inner().results;
    assert_eq!(results[0].outcome, Some(store_result::Outcome::EventId(id.to_owned())));
    assert!(matches!(results[1].outcome, Some(store_result::Outcome::Error(_))));
    assert_eq!(flush(&suite, &key.project).await, 1);
    assert_eq!(events(&suite, &key.project).await[0].event_id, id);
}

#[tokio::test]
async fn without_events_a_batch_says_whether_the_key_is_good() {
    let suite = Suite::start().await;
    let key = suite.key().await;
    let request = || with_key(&key, StoreBatchRequest { events: Vec::new() });
    assert_eq!(suite.writer().store_batch(request()).await.unwrap().into_inner().results, []);
    let mut other = request();
    other.metadata_mut().insert("x-mesher-project", "999999".parse().unwrap());
    let refused = suite.writer().store_batch(other).await.unwrap_err();
    let (reason, about) = error_info(&refused);
    assert_eq!((reason.as_str(), about["fault"].as_str()), ("API_KEY_INVALID", "OTHER_PROJECT"));
}

#[tokio::test]
async fn an_event_is_in_the_table_without_a_flush_when_the_interval_is_over() {
    let suite = Suite::start_with(&[], &["--flush-interval", "100ms"]).await;
    let key = suite.key().await;
    store(&suite, &key, r#"{"message":"boom"}"#).await;
    eventually("the event was stored", PATIENCE, async || {
        stats(&suite, &key.project).await.stored_count == 1
    })
    .await;
    assert_eq!(events(&suite, &key.project).await.len(), 1);
}

#[tokio::test]
async fn a_batch_has_an_answer_for_each_event() {
    let suite = Suite::start().await;
    let key = suite.key().await;
    let given = "0123456789abcdef0123456789abcdef";
    let texts = [
        format!(r#"{{"message":"good","event_id":"{given}"}}"#),
        "[]".to_owned(),
        r#"{"message":"good","level":"loud"}"#.to_owned(),
        r#"{"message":"also good"}"#.to_owned(),
    ];
    let results = store_batch(&suite, &key, &texts).await;
    let mut fields = Vec::new();
    for (index, result) in results.into_iter().enumerate() {
        match result.outcome.unwrap() {
            store_result::Outcome::EventId(id) => {
                assert!(index == 3 || (index == 0 && id == given), "{index} {id}");
            }
            store_result::Outcome::Error(error) => {
                assert_eq!((index == 1 || index == 2, error.code), (true, Code::InvalidArgument as i32));
                fields.push(error.message.split(' ').next().unwrap().to_owned());
            }
        }
    }
    assert_eq!(fields, ["json", "level"]);
    assert_eq!(flush(&suite, &key.project).await, 2);
    assert_eq!(stats(&suite, &key.project).await.refused_count, 2);
    let request = StoreBatchRequest { events: vec![payload("{}"); 1001] };
    let refused = suite.writer().store_batch(with_key(&key, request)).await.unwrap_err();
    assert_eq!(violated_field(&refused), "events");
}

#[tokio::test]
async fn a_stream_answers_each_request_in_order_until_the_key_is_revoked() {
    let suite = Suite::start_with(&[], &["--api-key-cache", "0s"]).await;
    let key = suite.key().await;
    let (requests, stream) = tokio::sync::mpsc::channel(4);
    let request = with_key(&key, tokio_stream::wrappers::ReceiverStream::new(stream));
    let send = async |sequence| {
        let events = vec![payload(r#"{"message":"streamed"}"#), payload("5")];
        requests.send(StoreStreamRequest { sequence, events, parcels: Vec::new() }).await.unwrap();
    };
    send(7).await;
    let mut answers = suite.writer().store_stream(request).await.unwrap().into_inner();
    for sequence in 7..10 {
        let answer = answers.next().await.unwrap().unwrap();
        assert_eq!((answer.sequence, answer.results.len()), (sequence, 2));
        send(sequence + 1).await;
    }
    answers.next().await.unwrap().unwrap();
    let revoke = mesher_proto::mesher::project::v1::RevokeApiKeyRequest { key_id: key.id.clone() };
    suite.projects().revoke_api_key(mesher_suite::signed(&key.project.org.owner, revoke)).await.unwrap();
    send(11).await;
    assert_eq!(reason(&answers.next().await.unwrap().unwrap_err()), "API_KEY_INVALID");
    assert!(answers.next().await.is_none(), "an error ends the stream");
    assert_eq!(flush(&suite, &key.project).await, 4);
}

#[tokio::test]
async fn the_same_id_is_the_same_event_for_a_day() {
    let suite = Suite::start().await;
    let (key, other) = (suite.key().await, suite.key().await);
    let text = r#"{"message":"boom","event_id":"0123456789abcdef0123456789abcdef"}"#.to_owned();
    store_batch(&suite, &key, &[text.clone(), text.clone()]).await;
    assert_eq!(flush(&suite, &key.project).await, 1, "twice in one batch");
    store(&suite, &key, &text).await;
    assert_eq!(flush(&suite, &key.project).await, 0, "and once more later");
    assert_eq!(dropped(&stats(&suite, &key.project).await, DropReason::Duplicate), 2);
    store(&suite, &other, &text).await;
    assert_eq!(flush(&suite, &other.project).await, 1, "in another project it is another event");

    let pool = suite.database.pool();
    sqlx::query("SELECT ensure_event_partitions(current_date - 3, current_date)")
        .execute(pool)
        .await
        .unwrap();
    sqlx::query("UPDATE events SET received_at = received_at - interval '49 hours'")
        .execute(pool)
        .await
        .unwrap();
    store(&suite, &key, &text).await;
    assert_eq!(flush(&suite, &key.project).await, 1, "after a day it is another event");
    sqlx::query("UPDATE events SET received_at = received_at - interval '23 hours' WHERE received_at > now() - interval '1 hour'")
        .execute(pool)
        .await
        .unwrap();
    store(&suite, &key, &text).await;
    assert_eq!(
        flush(&suite, &key.project).await,
        0,
        "within a day it is the same, also in yesterday's partition"
    );
}

#[tokio::test]
async fn a_batch_that_was_committed_although_its_answer_was_lost_is_not_stored_twice() {
    let suite = Suite::start().await;
    let project = ProjectId::parse("project_id", &suite.project().await.id).unwrap();
    let store = Store::new(suite.database.pool().clone());
    let clock = Clock::system();
    let json = |text: &str| admit(project, &Sent::Json(text.as_bytes()), clock.now()).unwrap();
    let given = json(r#"{"message":"m","event_id":"0123456789abcdef0123456789abcdef"}"#);
    let batch = [json(r#"{"message":"m"}"#), given, json(r#"{"message":"m"}"#)];
    for _ in 0..2 {
        assert_eq!(store.store(&batch).await.unwrap(), [Outcome::Stored; 3]);
    }
    let stored: i64 =
        sqlx::query_scalar("SELECT count(*) FROM events").fetch_one(suite.database.pool()).await.unwrap();
    assert_eq!(stored, 3);
}

#[tokio::test]
async fn events_of_a_deleted_project_are_dropped_and_its_neighbours_stored() {
    // One shard, so that they share its batches. The key of the deleted project is known for long enough to send with it.
    let suite = Suite::start_with(&[], &["--shards", "1", "--api-key-cache", "10s"]).await;
    let (doomed, neighbour) = (suite.key().await, suite.key().await);
    store(&suite, &doomed, r#"{"message":"boom"}"#).await;
    store(&suite, &neighbour, r#"{"message":"boom"}"#).await;
    let delete = "DELETE FROM projects WHERE id = $1::uuid";
    sqlx::query(delete).bind(&doomed.project.id).execute(suite.database.pool()).await.unwrap();
    let texts = vec![r#"{"message":"more"}"#.to_owned(); 60];
    store_batch(&suite, &doomed, &texts).await;
    store_batch(&suite, &neighbour, &texts).await;
    // So many are due by themselves.
    eventually("the neighbour's events were stored", PATIENCE, async || {
        stats(&suite, &neighbour.project).await.stored_count == 61
    })
    .await;
    let dropped = r#"mesher_writer_settled_total{end="project_deleted"} 61"#;
    eventually("the deleted project's events were dropped, and said to be", PATIENCE, async || {
        metrics(&suite).await.lines().any(|line| line == dropped)
    })
    .await;
    let dead: i64 = sqlx::query_scalar("SELECT count(*) FROM dead_letters")
        .fetch_one(suite.database.pool())
        .await
        .unwrap();
    assert_eq!(dead, 0, "nothing was wrong with them");
}

#[tokio::test]
async fn a_row_that_postgresql_refuses_becomes_a_dead_letter_and_its_neighbours_are_stored() {
    let suite = Suite::start().await;
    let key = suite.key().await;
    sqlx::query("ALTER TABLE events ADD CONSTRAINT no_poison CHECK (message <> 'poison')")
        .execute(suite.database.pool())
        .await
        .unwrap();
    let mut texts: Vec<String> = (0..30).map(|n| format!(r#"{{"message":"good {n}"}}"#)).collect();
    texts[11] = r#"{"message":"poison"}"#.to_owned();
    store_batch(&suite, &key, &texts).await;
    assert_eq!(flush(&suite, &key.project).await, 29);
    assert_eq!(stats(&suite, &key.project).await.dead_lettered_count, 1);
    let (sqlstate, reason): (String, String) = sqlx::query_as("SELECT sqlstate, reason FROM dead_letters")
        .fetch_one(suite.database.pool())
        .await
        .unwrap();
    assert_eq!(sqlstate, "23514");
    assert!(reason.contains("no_poison"), "{reason}");
}

#[tokio::test]
async fn a_missing_partition_is_made() {
    let suite = Suite::start().await;
    let key = suite.key().await;
    let drop = "DO $$ DECLARE part regclass; BEGIN
        FOR part IN SELECT inhrelid::regclass FROM pg_inherits WHERE inhparent = 'events'::regclass
        LOOP EXECUTE 'DROP TABLE ' || part; END LOOP; END $$";
    sqlx::query(drop).execute(suite.database.pool()).await.unwrap();
    store(&suite, &key, r#"{"message":"boom"}"#).await;
    assert_eq!(flush(&suite, &key.project).await, 1);
}

#[tokio::test]
async fn partitions_are_made_a_week_ahead_by_many_at_once() {
    let suite = Suite::start().await;
    let pool = suite.database.pool();
    let calls = (0..5).map(|_| {
        sqlx::query("SELECT ensure_event_partitions(current_date + 10, current_date + 20)").execute(pool)
    });
    for made in futures_util::future::join_all(calls).await {
        made.unwrap();
    }
    let count: i64 =
        sqlx::query_scalar("SELECT count(*) FROM pg_inherits WHERE inhparent = 'events'::regclass")
            .fetch_one(pool)
            .await
            .unwrap();
    assert_eq!(count, 8 + 11, "today and a week at the start, and eleven days more");
}

#[tokio::test]
async fn a_shutdown_stores_what_is_buffered() {
    let suite = Suite::start().await;
    let key = suite.key().await;
    for n in 0..7 {
        store(&suite, &key, &format!(r#"{{"message":"{n}"}}"#)).await;
    }
    assert_eq!(stats(&suite, &key.project).await.buffered_count, 7);
    let database = suite.stop_writer().await;
    let stored: i64 =
        sqlx::query_scalar("SELECT count(*) FROM events").fetch_one(database.pool()).await.unwrap();
    assert_eq!(stored, 7);
}

#[tokio::test]
async fn bad_input_is_refused_and_nothing_is_stored() {
    let suite = Suite::start().await;
    let key = suite.key().await;
    let large = format!(r#"{{"message":"{}"}}"#, "x".repeat(2 * 1024 * 1024));
    let deep = format!(r#"{{"message":"m","extra":{}{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
    for (text, expected) in [
        ("[]", "INVALID_FIELD"),
        ("null", "INVALID_FIELD"),
        ("{", "INVALID_FIELD"),
        (large.as_str(), "TOO_LARGE"),
        (deep.as_str(), "INVALID_FIELD"),
    ] {
        let refused = suite.writer().store(with_key(&key, json(text))).await.unwrap_err();
        assert_eq!(
            (refused.code(), reason(&refused).as_str()),
            (Code::InvalidArgument, expected),
            "{text:.30}"
        );
        assert_eq!(violated_field(&refused), "json");
    }
    // A Struct so deep that protobuf does not decode it.
    let mut value = prost_types::Value { kind: Some(prost_types::value::Kind::NullValue(0)) };
    for _ in 0..60 {
        let list = prost_types::ListValue { values: vec![value] };
        value = prost_types::Value { kind: Some(prost_types::value::Kind::ListValue(list)) };
    }
    let event = prost_types::Struct { fields: BTreeMap::from([("message".to_owned(), value)]) };
    let request = StoreRequest { payload: Some(store_request::Payload::Event(event)) };
    let refused = suite.writer().store(with_key(&key, request)).await.unwrap_err();
    assert_eq!((refused.code(), reason(&refused).as_str()), (Code::InvalidArgument, "MALFORMED_REQUEST"));
    let stats = stats(&suite, &key.project).await;
    assert_eq!((stats.accepted_count, stats.refused_count), (0, 5));
}
