//! Which events are one issue, and which are not.

use serde_json::{Value, json};

use super::*;
use crate::admission::{fields, parse};

fn of(event: &Value) -> Fingerprint {
    let text = event.to_string();
    let Json::Object(event) = parse::parse(&text).unwrap().0 else { panic!("an event is an object") };
    let exceptions = fields::exceptions(&event).unwrap();
    let message = fields::message(&event).unwrap();
    fingerprint(&event, &exceptions, message.as_deref())
}

fn exception(kind: &str, value: &str, frames: &Value) -> Value {
    json!({"exception": {"values": [{"type": kind, "value": value, "stacktrace": {"frames": frames}}]}})
}

fn assert_one(events: &[Value]) {
    for event in events {
        assert_eq!(of(event), of(&events[0]), "{event} and {}", events[0]);
    }
}

fn assert_different(events: &[Value]) {
    for (index, event) in events.iter().enumerate() {
        for other in &events[..index] {
            assert_ne!(of(event), of(other), "{event} and {other}");
        }
    }
}

#[test]
fn in_app_frames_tell_by_module_file_and_function() {
    let frames = |line: u32, library: &str| {
        json!([
            {"module": "app.views", "filename": "app/views.py", "function": "index", "lineno": line, "in_app": true},
            {"module": library, "function": "get", "in_app": false},
        ])
    };
    assert_one(&[
        exception("KeyError", "'a'", &frames(1, "requests")),
        exception("KeyError", "'b'", &frames(7, "urllib3")),
    ]);
    let frame = |module: &str, file: &str, function: &str| {
        exception(
            "E",
            "",
            &json!([{"module": module, "filename": file, "function": function, "in_app": true}]),
        )
    };
    assert_different(&[
        frame("a", "a.py", "f"),
        frame("b", "a.py", "f"),
        frame("a", "a.py", "g"),
        frame("", "a.py", "f"),
        frame("", "b.py", "f"),
        exception("KeyError", "", &frames(1, "x")),
        exception("ValueError", "", &frames(1, "x")),
    ]);
    assert_one(&[frame("a", "a.py", "f"), frame("a", "moved/a.py", "f")]);
}

#[test]
fn without_a_word_about_in_app_all_frames_tell() {
    assert_different(&[
        exception("E", "", &json!([{"function": "f"}, {"function": "g"}])),
        exception("E", "", &json!([{"function": "f"}, {"function": "h"}])),
    ]);
}

#[test]
fn frames_that_say_nothing_tell_where_others_say_that_they_are_not_in_app() {
    // sentry-python says nothing of code that is neither installed nor below the working directory.
    let raised = |kind: &str, function: &str, library: &str| {
        exception(
            kind,
            "no row 17",
            &json!([
                {"module": "jobs.nightly", "function": function},
                {"module": library, "function": "get", "in_app": false},
            ]),
        )
    };
    assert_one(&[
        raised("KeyError", "run", "requests"),
        raised("KeyError", "run", "urllib3"),
        exception(
            "KeyError",
            "other",
            &json!([{"module": "jobs.nightly", "function": "run", "in_app": null}]),
        ),
    ]);
    assert_different(&[
        raised("KeyError", "run", "requests"),
        raised("KeyError", "clean", "requests"),
        raised("ValueError", "run", "requests"),
    ]);
    // Where one says that it is in-app, those that say nothing are not.
    let marked = |other: &str| {
        exception(
            "E",
            "",
            &json!([{"function": "f", "in_app": true}, {"function": other}, {"function": "g", "in_app": false}]),
        )
    };
    assert_one(&[marked("a"), marked("b"), exception("E", "", &json!([{"function": "f", "in_app": true}]))]);
    // Also where it is in another exception of the chain.
    let chain = |cause: &str| {
        let mut chain = marked("a");
        let cause = json!({"type": "C", "stacktrace": {"frames": [{"function": cause}]}});
        chain["exception"]["values"].as_array_mut().unwrap().insert(0, cause);
        chain
    };
    assert_one(&[chain("x"), chain("y")]);
}

#[test]
fn the_depth_of_a_recursion_says_nothing() {
    let deep = |depth: usize| exception("E", "", &Value::from(vec![json!({"function": "f"}); depth]));
    assert_one(&[deep(1), deep(2), deep(100)]);
}

#[test]
fn every_exception_of_the_chain_tells() {
    let chain = |cause: &str| {
        json!({"exception": {"values": [
            {"type": cause, "value": "x"},
            {"type": "RuntimeError", "stacktrace": {"frames": [{"function": "f", "in_app": true}]}},
        ]}})
    };
    assert_different(&[chain("KeyError"), chain("ValueError")]);
}

#[test]
fn without_frames_of_the_application_type_and_value_tell() {
    let library = json!([{"function": "f", "in_app": false}]);
    assert_one(&[
        exception("KeyError", "no row 17", &library),
        exception("KeyError", "no row 4", &json!([])),
        json!({"exception": {"type": "KeyError", "value": "no row 5"}}),
        json!({"exception": [{"type": "KeyError", "value": "no row 6"}], "message": "other"}),
    ]);
    assert_different(&[
        exception("KeyError", "no row", &library),
        exception("KeyError", "no column", &library),
        exception("IndexError", "no row", &library),
    ]);
}

#[test]
fn without_an_exception_the_message_or_its_template_tells() {
    assert_one(&[
        json!({"message": "user 17 is gone"}),
        json!({"message": "user 4 is gone", "level": "info", "tags": {"a": "b"}}),
        json!({"logentry": {"formatted": "user 4 is gone"}}),
    ]);
    assert_one(&[
        json!({"logentry": {"message": "hello %s", "formatted": "hello Ada"}}),
        json!({"logentry": {"message": "hello %s", "formatted": "hello Bob"}}),
        json!({"message": {"message": "hello %s", "params": ["Eve"]}}),
    ]);
    assert_different(&[json!({"message": "a"}), json!({"message": "b"})]);
}

#[test]
fn with_nothing_else_the_stack_trace_or_the_crashed_thread_tells() {
    let stack = |function: &str| json!({"stacktrace": {"frames": [{"function": function, "in_app": true}]}});
    let threads = |function: &str| {
        let mut crashed = stack(function);
        crashed["crashed"] = json!(true);
        json!({"threads": {"values": [stack("other"), crashed]}})
    };
    assert_one(&[stack("f"), threads("f")]);
    assert_different(&[stack("f"), stack("g"), threads("h"), json!({"stacktrace": {}})]);
}

#[test]
fn the_fingerprint_that_was_given_counts_and_default_stands_for_the_rest() {
    let given = |fingerprint: &Value, message: &str| json!({"message": message, "fingerprint": fingerprint});
    assert_one(&[given(&json!(["mine", 7]), "a"), given(&json!(["mine", "7"]), "b")]);
    assert_one(&[
        json!({"message": "a"}),
        given(&json!(["{{ default }}"]), "a"),
        given(&json!(["{{default}}"]), "a"),
        given(&json!([]), "a"),
        given(&json!(null), "a"),
        given(&json!("not a list"), "a"),
    ]);
    assert_different(&[
        given(&json!(["{{ default }}"]), "a"),
        given(&json!(["{{ default }}", "x"]), "a"),
        given(&json!(["{{ default }}", "x"]), "b"),
        given(&json!(["x"]), "a"),
        given(&json!(["x", "y"]), "a"),
        given(&json!(["xy"]), "a"),
    ]);
}

/// What is stored is compared with what comes later: a change here needs a new version.
#[test]
fn fingerprints_of_this_version_stay_what_they_are() {
    for (event, expected) in [
        (json!({"message": "user 17 is gone"}), "02c4d405e0613d728a5cf89b6f999376cf"),
        (
            exception("KeyError", "'a'", &json!([{"module": "app", "function": "f", "in_app": true}])),
            "02b186c56684608fde5afff7ae31d616e5",
        ),
        (
            json!({"message": "a", "fingerprint": ["x", "{{ default }}"]}),
            "0285974c29f0606386555df4d328e1950c",
        ),
    ] {
        assert_eq!(hex::encode(of(&event).as_bytes()), expected, "{event}");
    }
}
