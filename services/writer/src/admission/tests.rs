use chrono::TimeZone as _;
use serde_json::Value;

use super::*;
use crate::row::Column;

fn now() -> DateTime<Utc> {
    Utc.with_ymd_and_hms(2026, 1, 2, 3, 4, 5).unwrap()
}

fn admit_text(json: &str) -> Result<Event, AdmissionError> {
    admit(ProjectId::new(), &Sent::Json(json.as_bytes()), now())
}

fn refused(json: &str) -> Violation {
    match admit_text(json) {
        Err(AdmissionError::Invalid(violation) | AdmissionError::TooLarge(violation)) => violation,
        other => panic!("{json:.100} gave {other:?}"),
    }
}

#[test]
fn an_event_as_sdks_send_it_is_read_whole() {
    let json = r#"{
        "event_id": "0123456789ABCDEF0123456789ABCDEF", "timestamp": "2026-01-02T03:04:05.123456789Z",
        "level": "Warning", "logentry": {"message": "a %s", "params": ["b"], "formatted": "a b"},
        "exception": {"values": [{"type": "Inner", "value": "i"}, {"type": "Outer", "value": "o"}]},
        "tags": {"a": "x", "b": 1, "c": true, "d": null}, "user": {"id": 7}, "release": "1.2",
        "environment": "test", "sdk": {"name": "sentry.python", "version": "2"}, "unknown": [1]
    }"#;
    let event = admit_text(json).unwrap();
    assert_eq!(event.id.to_hex(), "0123456789abcdef0123456789abcdef");
    assert!(event.id_given);
    assert_eq!(payload::decompress(event.payload()).unwrap(), json.as_bytes());
    let occurred_at = event.row.time(Column::OccurredAt).unwrap();
    assert_eq!(occurred_at.timestamp_micros(), now().timestamp_micros() + 123_456);
    for (column, expected) in [
        (Column::Level, "warning"),
        (Column::Message, "a b"),
        // The last one is the one thrown.
        (Column::ExceptionType, "Outer"),
        (Column::ExceptionValue, "o"),
        (Column::Release, "1.2"),
        (Column::Environment, "test"),
        (Column::SdkName, "sentry.python"),
        (Column::SdkVersion, "2"),
        (Column::Tags, r#"{"a":"x","b":"1","c":"true"}"#),
        (Column::User, r#"{"id":7}"#),
    ] {
        assert_eq!(event.row.text(column), Some(expected), "{column:?}");
    }
    assert_eq!(event.row.time(Column::ReceivedAt), Some(now()));
    assert_eq!(event.row.get(Column::Fingerprint), Some(event.fingerprint.as_bytes().as_slice()));
}

#[test]
fn the_least_event_gets_what_it_lacks() {
    let event = admit_text(r#"{"message":"boom"}"#).unwrap();
    assert!(!event.id_given);
    assert_eq!(event.row.time(Column::OccurredAt), Some(now()));
    assert_eq!(event.row.text(Column::Level), Some("error"));
    assert_eq!(event.row.text(Column::Tags), Some("{}"));
    assert_eq!(event.row.text(Column::Release), None);
}

#[test]
fn other_shapes_of_the_same_are_normalised() {
    for (json, expected) in [
        (r#"{"message":"m","tags":[["a",1],["b"],5]}"#, r#"{"a":"1"}"#),
        (r#"{"message":"m","tags":{"a\u0000b":"x\u0000y"}}"#, "{\"a\u{fffd}b\":\"x\u{fffd}y\"}"),
        (r#"{"message":"m","tags":null}"#, "{}"),
    ] {
        assert_eq!(admit_text(json).unwrap().row.text(Column::Tags), Some(expected));
    }
    for timestamp in [
        "1767323045",
        "1767323045.0",
        "1767323045000",
        "1767323045000.0",
        "\"2026-01-02T04:04:05+01:00\"",
        "\"2026-01-02T03:04:05\"",
    ] {
        let event = admit_text(&format!(r#"{{"message":"m","timestamp":{timestamp}}}"#)).unwrap();
        assert_eq!(event.row.time(Column::OccurredAt), Some(now()), "{timestamp}");
    }
    for thrown in [r#"{"type":"T"}"#, r#"[{"type":"T"}]"#, r#"{"values":[{"type":"T"},null]}"#] {
        let event = admit_text(&format!(r#"{{"exception":{thrown}}}"#)).unwrap();
        assert_eq!(event.row.text(Column::ExceptionType), Some("T"), "{thrown}");
    }
    let levels = [("10", "debug"), ("20", "info"), ("30", "warning"), ("40", "error")];
    for (number, level) in [&levels[..], &[("35", "warning"), ("50", "fatal")]].concat() {
        let event = admit_text(&format!(r#"{{"message":"m","level":{number}}}"#)).unwrap();
        assert_eq!(event.row.text(Column::Level), Some(level), "{number}");
    }
    // Whatever is a time in seconds is one; beyond that, milliseconds are.
    for (timestamp, seconds, millis) in [
        ("253402300799", 253_402_300_799, 0),
        ("253402300800", 253_402_300, 800),
        ("253402300799000", 253_402_300_799, 0),
    ] {
        let event = admit_text(&format!(r#"{{"message":"m","timestamp":{timestamp}}}"#)).unwrap();
        let expected = Utc.timestamp_opt(seconds, millis * 1_000_000).unwrap();
        assert_eq!(event.row.time(Column::OccurredAt), Some(expected), "{timestamp}");
    }
    for (name, level) in [
        ("Log", "info"),
        ("notice", "info"),
        ("SUCCESS", "info"),
        ("trace", "debug"),
        ("verbose", "debug"),
        ("warn", "warning"),
        ("critical", "fatal"),
        ("alert", "fatal"),
        ("emergency", "fatal"),
    ] {
        let event = admit_text(&format!(r#"{{"message":"m","level":"{name}"}}"#)).unwrap();
        assert_eq!(event.row.text(Column::Level), Some(level), "{name}");
    }
    let event = admit_text(r#"{"message":{"message":"m"},"user":{"a\u0000":"\u0000"}}"#).unwrap();
    assert_eq!(event.row.text(Column::Message), Some("m"));
    assert_eq!(event.row.text(Column::User), Some("{\"a\u{fffd}\":\"\u{fffd}\"}"));
    for member in ["logentry", "message"] {
        let json = format!(r#"{{"{member}":{{"message":"User %s is gone","params":["A\u0000da"]}}}}"#);
        let event = admit_text(&json).unwrap();
        assert_eq!(event.row.text(Column::Message), Some("User A\u{fffd}da is gone"));
        assert_eq!(event.title(), "User A\u{fffd}da is gone");
    }
    assert!(admit_text(r#"{"stacktrace":{"frames":[]}}"#).is_ok());
    assert!(admit_text(r#"{"threads":{"values":[]}}"#).is_ok());
}

#[test]
fn odd_but_legal_json_never_costs_the_event() {
    for (odd, kept) in [
        ("9007199254740993", "9007199254740993"),
        ("123456789012345678901234567890", "123456789012345678901234567890"),
        ("1e400", "\"1e400\""),
        ("-0.1e-400", "-0.1e-400"),
        (r#"{"a":1,"a":2}"#, r#"{"a":1,"a":2}"#),
        (r#""\ud800 \u0000""#, r#""\ufffd \u0000""#),
        (r#"{"":{"\u0000":[[],{}]}}"#, r#"{"":{"\u0000":[[],{}]}}"#),
    ] {
        for field in ["extra", "tags", "contexts", "breadcrumbs"] {
            let event = |odd: &str| format!(r#" {{"message":"m","{field}":{{"odd":{odd}}},"message":"n"}}"#);
            let admitted = admit_text(&event(odd)).unwrap();
            assert_eq!(admitted.row.text(Column::Message), Some("n"), "the last of a key counts");
            let payload = payload::decompress(admitted.payload()).unwrap();
            assert_eq!(String::from_utf8(payload).unwrap(), event(kept));
        }
    }
}

#[test]
fn an_id_beside_the_event_holds() {
    let id = EventId::new();
    for json in [r#"{"message":"m"}"#, r#"{"message":"m","event_id":"0123456789abcdef0123456789abcdef"}"#] {
        let sent = Sent::Json(json.as_bytes());
        let event = admit_with_id(ProjectId::new(), &sent, IdsBeside { id: Some(id), fallback: None }, now())
            .unwrap();
        assert_eq!((event.id, event.id_given), (id, true));
        let mut bytes = Vec::new();
        event.record().encode(&mut bytes);
        assert_eq!(restore(Record::decode(&bytes).unwrap()).unwrap().id, id);
    }
}

#[test]
fn a_fallback_is_the_id_of_an_event_that_has_no_other() {
    let [id, fallback] = [EventId::new(), EventId::new()];
    let admitted = |json: &str, id| {
        let ids = IdsBeside { id, fallback: Some(fallback) };
        let event = admit_with_id(ProjectId::new(), &Sent::Json(json.as_bytes()), ids, now()).unwrap();
        assert!(event.id_given, "it may come again, as another event never will");
        event.id
    };
    let own = r#"{"message":"m","event_id":"0123456789abcdef0123456789abcdef"}"#;
    assert_eq!(admitted(r#"{"message":"m"}"#, None), fallback);
    assert_eq!(admitted(r#"{"message":"m"}"#, Some(id)), id);
    assert_eq!(admitted(own, None).to_hex(), "0123456789abcdef0123456789abcdef");
    assert_eq!(admitted(own, Some(id)), id);
}

#[test]
fn columns_are_bounded_and_the_payload_keeps_all() {
    let long = "ü".repeat(100_000);
    let json = format!(
        r#"{{"message":"{long}","exception":{{"type":"T","value":"{long}"}},"user":{{
            "id":7,"email":"{long}","username":"a\u0000da","ip_address":true,"name":["Ada"],"notes":"{long}"}}}}"#
    );
    let event = admit_text(&json).unwrap();
    let cut = "ü".repeat(2000);
    for column in [Column::Message, Column::ExceptionValue] {
        assert_eq!(event.row.text(column), Some(cut.as_str()), "{column:?}");
    }
    let user: Value = serde_json::from_str(event.row.text(Column::User).unwrap()).unwrap();
    let expected = serde_json::json!({
        "id": 7, "email": "ü".repeat(200), "username": "a\u{fffd}da", "ip_address": true
    });
    assert_eq!(user, expected);
    assert_eq!(payload::decompress(event.payload()).unwrap(), json.as_bytes());

    // {"a":"…"} of 8 KiB is kept as it is; a byte more, and it has no member that tells who it was.
    for (bytes, kept) in [(8192, true), (8193, false)] {
        let user = format!(r#"{{"a":"{}"}}"#, "x".repeat(bytes - 8));
        let event = admit_text(&format!(r#"{{"message":"m","user":{user}}}"#)).unwrap();
        assert_eq!(event.row.text(Column::User), Some(if kept { user.as_str() } else { "{}" }));
    }
    // However its members are escaped, the column is no larger.
    let controls = "\\u0001".repeat(10_000);
    let members =
        ["id", "email", "username", "ip_address", "name"].map(|name| format!(r#""{name}":"{controls}""#));
    let event = admit_text(&format!(r#"{{"message":"m","user":{{{}}}}}"#, members.join(","))).unwrap();
    assert!(event.row.text(Column::User).unwrap().len() <= 8192);
}

#[test]
fn what_cannot_be_normalised_is_refused_with_the_fields_name() {
    for (json, field) in [
        ("[]", "json"),
        ("null", "json"),
        ("", "json"),
        ("{", "json"),
        ("{}", "message"),
        (r#"{"message":""}"#, "message"),
        (r#"{"message":5}"#, "message"),
        (r#"{"exception":{"values":[]}}"#, "message"),
        (r#"{"exception":"x"}"#, "exception"),
        (r#"{"exception":{"values":5}}"#, "exception.values"),
        (r#"{"message":"m","event_id":"xyz"}"#, "event_id"),
        (r#"{"message":"m","event_id":5}"#, "event_id"),
        (r#"{"message":"m","level":"loud"}"#, "level"),
        (r#"{"message":"m","level":-1}"#, "level"),
        (r#"{"message":"m","level":[]}"#, "level"),
        (r#"{"message":"m","timestamp":"yesterday"}"#, "timestamp"),
        (r#"{"message":"m","timestamp":1e300}"#, "timestamp"),
        (r#"{"message":"m","timestamp":253402300800000}"#, "timestamp"),
        (r#"{"message":"m","timestamp":[]}"#, "timestamp"),
        (r#"{"message":"m","timestamp":-1}"#, "timestamp"),
        (r#"{"message":"m","tags":5}"#, "tags"),
        (r#"{"message":"m","user":"me"}"#, "user"),
        (r#"{"message":"m","release":{}}"#, "release"),
    ] {
        assert_eq!(refused(json).field, field, "{json}");
    }
    let deep = format!(r#"{{"message":"m","extra":{}{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
    assert!(refused(&deep).description.contains("nested deeper"));
    let large = format!(r#"{{"message":"{}"}}"#, "x".repeat(2 * 1024 * 1024));
    assert!(refused(&large).description.contains("bytes"));
}

#[test]
fn a_struct_is_as_good_as_json() {
    let text = |text: &str| prost_types::Value {
        kind: Some(prost_types::value::Kind::StringValue(text.to_owned())),
    };
    let fields = [("message".to_owned(), text("boom")), ("level".to_owned(), text("info"))].into();
    let event = admit(ProjectId::new(), &Sent::Struct(&Struct { fields }), now()).unwrap();
    assert_eq!(event.row.text(Column::Message), Some("boom"));
    assert_eq!(payload::decompress(event.payload()).unwrap(), br#"{"level":"info","message":"boom"}"#);
}

#[test]
fn an_event_comes_back_from_its_record_as_it_was() {
    for json in [
        r#"{"message":"m"}"#,
        r#"{"event_id":"0123456789abcdef0123456789abcdef","exception":[{"type":"T"}],"tags":{"a":1},"timestamp":1.5}"#,
    ] {
        let event = admit_text(json).unwrap();
        let mut bytes = Vec::new();
        event.record().encode(&mut bytes);
        let record = Record::decode(&bytes).unwrap();
        assert_eq!(restore(record.clone()).unwrap(), event);
        // The columns of another version are not known; the payload behind them is.
        let mut row = vec![0, 0, 0, 1, b'x', 0xff, 0xff, 0xff, 0xff];
        row::put(&mut row, event.payload());
        assert_eq!(restore(Record { layout: 0, row, ..record }).unwrap(), event);
    }
}
