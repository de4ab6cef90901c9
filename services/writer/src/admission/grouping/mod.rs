//! Grouping: events with the same [`Fingerprint`] in a project are one issue.
//!
//! What makes the fingerprint, the first of these that the event has:
//! 1. the list `fingerprint` that its SDK or application gave, in which `{{ default }}` stands for what follows,
//! 2. of each exception of the chain its type, and the module (or else the file) and function of its in-app frames,
//! 3. of each exception of the chain its type and value,
//! 4. the message, or rather the template that it was made from,
//! 5. the in-app frames of its own stack trace, or of the thread that crashed.
//!
//! In-app are the frames that say so; if none does, those that do not say that they are not.
//!
//! Line numbers never count: they change with every release. Nor do the parts of a text that differ from event to event, which
//! [`variable`] takes out. A change of any of these rules needs a new [`VERSION`]: without one, an issue would go on under
//! rules that its older events were not grouped by.

mod fingerprint;
mod stack;
mod variable;

use std::borrow::Cow;

pub use self::fingerprint::{Fingerprint, VERSION};
use self::{fingerprint::Digest, stack::Stack};
use super::{
    json::{Json, Object},
    shape::{json, scalar},
};

/// How many exceptions of a chain tell what it is, from the one that was thrown on: more than SDKs send.
const MAX_EXCEPTIONS: usize = 50;

/// The fingerprint of an event with these `exceptions` and this `message`.
pub(super) fn fingerprint(
    event: &Object<'_>,
    exceptions: &[&Object<'_>],
    message: Option<&str>,
) -> Fingerprint {
    let mut digest = Digest::new();
    let by_default = |digest: &mut Digest| default(digest, event, exceptions, message);
    match event.get("fingerprint") {
        Some(Json::Array(parts)) if !parts.is_empty() => {
            // Alone it is what an event without a list has.
            if let [part] = parts.as_slice()
                && is_default(part)
            {
                by_default(&mut digest);
            } else {
                digest.add("given");
                for part in parts {
                    if is_default(part) {
                        by_default(&mut digest);
                    } else {
                        digest.add("part");
                        match part {
                            Json::Text(text) => digest.add(text),
                            other => digest.add(&json(other)),
                        }
                    }
                }
            }
        }
        _ => by_default(&mut digest),
    }
    digest.finish()
}

/// Whether a part of the list stands for what the event would have without a list.
fn is_default(part: &Json<'_>) -> bool {
    let Json::Text(text) = part else { return false };
    let inner = text.trim().strip_prefix("{{").and_then(|text| text.strip_suffix("}}"));
    inner.is_some_and(|name| name.trim() == "default")
}

fn default(digest: &mut Digest, event: &Object<'_>, exceptions: &[&Object<'_>], message: Option<&str>) {
    let exceptions = &exceptions[exceptions.len().saturating_sub(MAX_EXCEPTIONS)..];
    let stacks: Vec<Stack<'_, '_>> = exceptions.iter().map(|exception| Stack::of(exception)).collect();
    if stack::have_frames(&stacks) {
        let one_is_in_app = stack::one_is_in_app(&stacks);
        for (exception, stack) in exceptions.iter().zip(&stacks) {
            digest.add("exception");
            digest.add(&variable::of_symbol(text(exception, "type")));
            stack.add_to(digest, one_is_in_app);
        }
        return;
    }
    let says = |exception: &&Object<'_>| {
        !text(exception, "type").is_empty()
            || exception.get("value").is_some_and(|value| !matches!(value, Json::Null))
    };
    if exceptions.iter().any(says) {
        for exception in exceptions {
            digest.add("value");
            digest.add(&variable::of_symbol(text(exception, "type")));
            digest.add(&variable::of_text(&value_of(exception)));
        }
        return;
    }
    if let Some(message) = template(event).or(message) {
        digest.add("message");
        digest.add(&variable::of_text(message));
        return;
    }
    let stack = stack::of_event(event);
    digest.add("stack");
    let one_is_in_app = stack::one_is_in_app(std::slice::from_ref(&stack));
    stack.add_to(digest, one_is_in_app);
}

/// The text of a member, or none.
fn text<'a>(object: &'a Object, member: &str) -> &'a str {
    object.get(member).and_then(Json::as_text).unwrap_or_default()
}

/// An exception's value as text.
fn value_of<'a>(exception: &'a Object<'_>) -> Cow<'a, str> {
    exception.get("value").and_then(|value| scalar(value, super::fields::MAX_TEXT)).unwrap_or_default()
}

/// What a message was made from, such as `user %s not found`.
fn template<'a>(event: &'a Object<'_>) -> Option<&'a str> {
    ["logentry", "message"]
        .iter()
        .find_map(|member| event.get(member)?.as_object()?.get("message")?.as_text())
        .filter(|template| !template.is_empty())
}

#[cfg(test)]
mod tests;
