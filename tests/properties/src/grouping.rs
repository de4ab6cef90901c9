//! Grouping: what an event is grouped by does not change with what says nothing about where it comes from.

use mesher_writer::{admission::Sent, event::Event};
use serde_json::{Map, Value, json};

use crate::samples::admitted;

type Object = Map<String, Value>;

/// Takes `data` for an event's JSON, and tries whether variants of it that are the same issue have its fingerprint.
pub fn grouping(data: &[u8]) {
    let (Some(event), Ok(object)) = (fingerprint(data), serde_json::from_slice::<Object>(data)) else {
        return;
    };
    let assert_same = |variant: Object, what: &str| {
        let text = Value::Object(variant).to_string();
        assert_eq!(fingerprint(text.as_bytes()), Some(event), "{what} made another issue of it: {text}");
    };
    assert_eq!(fingerprint(data), Some(event), "the same event is another issue");
    assert_same(object.clone(), "being written again");
    let mut text = String::new();
    write_reversed(&Value::Object(object.clone()), &mut text);
    assert_eq!(fingerprint(text.as_bytes()), Some(event), "another order of members: {text}");
    assert_same(with_other_circumstances(&object), "what says nothing about the place");
    assert_same(with_other_lines(&object), "another line of the same function");
    assert_same(with_other_digits(&object), "another number in the text");
    assert_same(with_recursion(&object), "a deeper recursion");
    assert_same(with_more_of_libraries(&object), "a library's frame");
}

fn fingerprint(json: &[u8]) -> Option<[u8; 17]> {
    let event: Event = admitted(&Sent::Json(json)).ok()?;
    Some(*event.fingerprint.as_bytes())
}

/// JSON text with the members of objects the other way round, and with white space.
fn write_reversed(value: &Value, out: &mut String) {
    match value {
        Value::Object(members) => {
            out.push('{');
            for (index, (name, value)) in members.iter().rev().enumerate() {
                out.push_str(if index == 0 { "" } else { ", " });
                out.push_str(&Value::String(name.clone()).to_string());
                out.push_str(":\n");
                write_reversed(value, out);
            }
            out.push('}');
        }
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                out.push_str(if index == 0 { "" } else { ", " });
                write_reversed(item, out);
            }
            out.push(']');
        }
        scalar => out.push_str(&scalar.to_string()),
    }
}

/// Another time, sender, release and so on.
fn with_other_circumstances(event: &Object) -> Object {
    let mut event = event.clone();
    for (member, value) in [
        ("event_id", json!("fedcba9876543210fedcba9876543210")),
        ("timestamp", json!(1.5)),
        ("level", json!("debug")),
        ("platform", json!("other")),
        ("release", json!("2.0")),
        ("environment", json!("elsewhere")),
        ("server_name", json!("web-2")),
        ("sdk", json!({"name": "another", "version": "3"})),
        ("tags", json!({"a": 1})),
        ("user", json!({"id": 8})),
        ("extra", json!({"stacktrace": {"frames": [{"function": "f"}]}})),
        ("contexts", json!({"exception": []})),
        ("breadcrumbs", json!([{"message": "b"}])),
        ("request", json!({"url": "http://localhost/"})),
    ] {
        event.insert(member.to_owned(), value);
    }
    event
}

fn with_other_lines(event: &Object) -> Object {
    let mut event = event.clone();
    for frame in frames(&mut event).into_iter().flatten().filter_map(Value::as_object_mut) {
        for member in ["lineno", "colno"] {
            let line = frame.get(member).and_then(Value::as_u64).unwrap_or(0);
            frame.insert(member.to_owned(), json!(line / 2 + 11));
        }
        frame.insert("context_line".to_owned(), json!("raise"));
        frame.insert("vars".to_owned(), json!({"a": "1"}));
        frame.insert("instruction_addr".to_owned(), json!("0x7f00"));
    }
    event
}

fn with_recursion(event: &Object) -> Object {
    let mut event = event.clone();
    for frames in frames(&mut event) {
        *frames = std::mem::take(frames).into_iter().flat_map(|frame| [frame.clone(), frame]).collect();
    }
    event
}

/// With one more frame in each stack trace of an exception, which says that it is not the application's.
fn with_more_of_libraries(event: &Object) -> Object {
    let mut event = event.clone();
    for frames in exceptions(&mut event).into_iter().filter_map(frames_of) {
        frames.push(json!({"module": "library", "function": "call", "in_app": false}));
    }
    event
}

fn with_other_digits(event: &Object) -> Object {
    let mut event = event.clone();
    for member in ["message", "logentry"] {
        match event.get_mut(member) {
            Some(Value::String(text)) => *text = other_digits(text),
            Some(Value::Object(entry)) => {
                entry.values_mut().for_each(change_digits);
            }
            _ => {}
        }
    }
    for exception in exceptions(&mut event) {
        exception.get_mut("value").into_iter().for_each(change_digits);
    }
    event
}

fn change_digits(value: &mut Value) {
    if let Value::String(text) = value {
        *text = other_digits(text);
    }
}

/// A zero stays one: it may be that of a hexadecimal number.
fn other_digits(text: &str) -> String {
    let other = |char| match char {
        '1'..='8' => char::from_u32(u32::from(char) + 1).unwrap_or(char),
        '9' => '1',
        char => char,
    };
    text.chars().map(other).collect()
}

fn exceptions(event: &mut Object) -> Vec<&mut Object> {
    event.get_mut("exception").map(holders).unwrap_or_default()
}

/// The exceptions or threads in a member: a list, a list in `values`, or a single one.
fn holders(member: &mut Value) -> Vec<&mut Object> {
    let is_list = member.is_array() || member.get("values").is_some();
    if !is_list {
        return member.as_object_mut().into_iter().collect();
    }
    let list = match member {
        Value::Object(holder) => holder.get_mut("values").and_then(Value::as_array_mut),
        list => list.as_array_mut(),
    };
    list.into_iter().flatten().filter_map(Value::as_object_mut).collect()
}

fn frames_of(holder: &mut Object) -> Option<&mut Vec<Value>> {
    holder.get_mut("stacktrace")?.get_mut("frames")?.as_array_mut()
}

/// The frames of all stack traces.
fn frames(event: &mut Object) -> Vec<&mut Vec<Value>> {
    let mut all = Vec::new();
    for (name, member) in event {
        match name.as_str() {
            "exception" | "threads" => all.extend(holders(member).into_iter().filter_map(frames_of)),
            "stacktrace" => all.extend(member.get_mut("frames").and_then(Value::as_array_mut)),
            _ => {}
        }
    }
    all
}
