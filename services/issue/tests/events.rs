//! Reading events back, over gRPC, on PostgreSQL.

use mesher_proto::mesher::issue::v1::{GetEventRequest, Level, ListEventsRequest};
use mesher_suite::{Key, Suite, error_info, flush, signed, store, violated_field};
use prost_types::value::Kind;
use tonic::Code;

fn get(key: &Key, event_id: &str) -> GetEventRequest {
    GetEventRequest { project_id: key.project.id.clone(), event_id: event_id.to_owned() }
}

#[tokio::test]
async fn an_event_comes_back_as_it_was_sent() {
    let suite = Suite::start().await;
    let key = suite.key().await;
    let json = r#"{"event_id":"0123456789ABCDEF0123456789abcdef","level":"fatal","timestamp":1767323045.5,
        "exception":[{"type":"ValueError","value":"bad \u0000 value"}],"release":"1.2.3","environment":"test",
        "tags":[["a","b"]],"user":{"id":7,"name":"Ada"},"sdk":{"name":"sentry.python","version":"2.0"},
        "extra":{"unknown":[1,null,{"deep":true}]}}"#;
    let id = store(&suite, &key, json).await;
    flush(&suite, &key.project).await;
    // The id is taken with dashes and in upper case, too.
    let answer =
        suite.issues().get_event(signed(&key.project.org.owner, get(&key, &id))).await.unwrap().into_inner();
    let dashed = "01234567-89AB-CDEF-0123-456789abcdef";
    let again = suite.issues().get_event(signed(&key.project.org.owner, get(&key, dashed))).await.unwrap();
    assert_eq!(again.into_inner(), answer);

    let event = answer.event.unwrap();
    assert_eq!((event.event_id.as_str(), event.level()), ("0123456789abcdef0123456789abcdef", Level::Fatal));
    let occurred = event.occur_time.unwrap();
    assert_eq!((occurred.seconds, occurred.nanos), (1_767_323_045, 500_000_000));
    assert_eq!(
        (event.exception_type.as_str(), event.exception_value.as_str()),
        ("ValueError", "bad \u{fffd} value")
    );
    assert_eq!((event.release.as_str(), event.environment.as_str()), ("1.2.3", "test"));
    assert_eq!((event.sdk_name.as_str(), event.sdk_version.as_str()), ("sentry.python", "2.0"));
    assert_eq!(event.tags["a"], "b");
    assert_eq!(event.user.unwrap().fields["id"].kind, Some(Kind::NumberValue(7.0)));

    let payload = answer.payload.unwrap();
    assert_eq!(payload.fields["release"].kind, Some(Kind::StringValue("1.2.3".to_owned())));
    assert!(format!("{payload:?}").contains("deep"), "fields that Mesher does not know are kept");
    assert!(format!("{payload:?}").contains("bad \\0 value"), "and the payload is as received");
}

#[tokio::test]
async fn an_event_at_the_limit_of_nesting_can_be_read() {
    let suite = Suite::start().await;
    let key = suite.key().await;
    let json =
        format!(r#"{{"message":"m","extra":{}{}}}"#, r#"{"a":"#.repeat(97) + r#"{"a":1"#, "}".repeat(98));
    let id = store(&suite, &key, &json).await;
    flush(&suite, &key.project).await;
    let answer =
        suite.issues().get_event(signed(&key.project.org.owner, get(&key, &id))).await.unwrap().into_inner();
    assert!(format!("{:?}", answer.payload.unwrap()).contains("{\\\"a\\\":"), "what is too deep is text");
}

#[tokio::test]
async fn events_are_listed_in_pages_from_the_last_received() {
    let suite = Suite::start().await;
    let (key, other) = (suite.key().await, suite.key().await);
    let mut sent = Vec::new();
    for n in 0..5 {
        sent.push(store(&suite, &key, &format!(r#"{{"message":"{n}"}}"#)).await);
    }
    store(&suite, &other, r#"{"message":"another project's"}"#).await;
    flush(&suite, &key.project).await;
    flush(&suite, &other.project).await;
    let mut found = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListEventsRequest { project_id: key.project.id.clone(), page_size: 2, page_token };
        let page =
            suite.issues().list_events(signed(&key.project.org.owner, request)).await.unwrap().into_inner();
        found.extend(page.events.into_iter().map(|event| event.event_id));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    sent.reverse();
    assert_eq!(found, sent);
}

#[tokio::test]
async fn a_page_of_large_events_ends_early_and_the_next_one_goes_on() {
    let suite = Suite::start().await;
    let key = suite.key().await;
    // As much as the columns take: 200 tags of 200 characters of 4 bytes, in their names and in their values.
    let text = "\u{1f525}".repeat(197);
    let tags: Vec<String> = (100..300).map(|n| format!(r#""{n}{text}":"{n}{text}""#)).collect();
    let json = format!(r#"{{"message":"m","tags":{{{}}}}}"#, tags.join(","));
    let mut sent = Vec::new();
    for _ in 0..40 {
        sent.push(store(&suite, &key, &json).await);
    }
    flush(&suite, &key.project).await;
    let mut issues = suite.issues().max_decoding_message_size(16 * 1024 * 1024);
    let mut pages = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = ListEventsRequest { project_id: key.project.id.clone(), page_size: 1000, page_token };
        let page = issues.list_events(signed(&key.project.org.owner, request)).await.unwrap().into_inner();
        let bytes: usize = page.events.iter().map(prost::Message::encoded_len).sum();
        assert!(bytes <= 8 * 1024 * 1024, "{bytes}");
        pages.push(page.events.into_iter().map(|event| event.event_id).collect::<Vec<_>>());
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    assert_eq!(pages.len(), 2, "{pages:?}");
    sent.reverse();
    assert_eq!(pages.concat(), sent);
}

#[tokio::test]
async fn what_is_not_there_and_what_is_no_id_get_typed_errors() {
    let suite = Suite::start().await;
    let (key, other) = (suite.key().await, suite.key().await);
    let id = store(&suite, &other, r#"{"message":"another project's"}"#).await;
    flush(&suite, &other.project).await;
    let owner = &key.project.org.owner;
    let missing = suite.issues().get_event(signed(owner, get(&key, &id))).await.unwrap_err();
    assert_eq!(missing.code(), Code::NotFound, "an id names an event of its own project only");
    assert_eq!(error_info(&missing).1["resource"], "event");
    let wrong = suite.issues().get_event(signed(owner, get(&key, "xyz"))).await.unwrap_err();
    assert_eq!(violated_field(&wrong), "event_id");
    let request =
        ListEventsRequest { project_id: key.project.id.clone(), page_size: -5, page_token: String::new() };
    let wrong = suite.issues().list_events(signed(owner, request)).await.unwrap_err();
    assert_eq!(violated_field(&wrong), "page_size");
}
