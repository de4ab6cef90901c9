//! The frames of a stack trace that tell where something happened.

use serde_json::Value;

use super::{Digest, Object, text, variable};

/// The frames of one stack trace, the outermost first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stack<'a>(&'a [Value]);

impl<'a> Stack<'a> {
    /// The stack trace of an exception, a thread or an event.
    pub(super) fn of(holder: &'a Object) -> Self {
        let frames = holder.get("stacktrace").and_then(|stack| stack.get("frames")).and_then(Value::as_array);
        Self(frames.map_or(&[], Vec::as_slice))
    }

    fn frames(self) -> impl Iterator<Item = &'a Object> {
        self.0.iter().filter_map(Value::as_object)
    }

    /// Adds the frames that count. Equal ones that follow each other count once: how deep a recursion went says nothing.
    pub(super) fn add_to(self, digest: &mut Digest, says_in_app: bool) {
        let mut before = None;
        for frame in self.frames().filter(|frame| counts(frame, says_in_app)) {
            let place = place(frame);
            let function = variable::of_symbol(text(frame, "function"));
            let this = Some((place, function));
            if this != before {
                if let Some((place, function)) = &this {
                    digest.add("frame");
                    digest.add(place);
                    digest.add(function);
                }
                before = this;
            }
        }
    }
}

/// Whether any of the frames counts.
pub(super) fn have_frames(stacks: &[Stack<'_>]) -> bool {
    let says_in_app = say_in_app(stacks);
    stacks.iter().flat_map(|stack| stack.frames()).any(|frame| counts(frame, says_in_app))
}

/// Whether any of the frames says that it is the application's, or that it is not. If none does, all count.
pub(super) fn say_in_app(stacks: &[Stack<'_>]) -> bool {
    stacks
        .iter()
        .flat_map(|stack| stack.frames())
        .any(|frame| frame.get("in_app").is_some_and(Value::is_boolean))
}

/// The stack trace of an event without an exception: its own, or that of the thread that crashed, or of the current one.
pub(super) fn of_event(event: &Object) -> Stack<'_> {
    let own = Stack::of(event);
    if !own.0.is_empty() {
        return own;
    }
    let threads = match event.get("threads") {
        Some(Value::Object(threads)) => threads.get("values"),
        threads => threads,
    };
    let threads = threads.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let threads = || threads.iter().filter_map(Value::as_object);
    let is = |thread: &&Object, what: &str| thread.get(what) == Some(&Value::Bool(true));
    threads()
        .find(|thread| is(thread, "crashed"))
        .or_else(|| threads().find(|thread| is(thread, "current")))
        .or_else(|| threads().next())
        .map_or(Stack(&[]), Stack::of)
}

fn counts(frame: &Object, says_in_app: bool) -> bool {
    let is_somewhere =
        ["module", "function", "filename"].iter().any(|member| !text(frame, member).is_empty());
    is_somewhere && (!says_in_app || frame.get("in_app") == Some(&Value::Bool(true)))
}

/// The module of a frame, or else its file.
fn place(frame: &Object) -> String {
    match text(frame, "module") {
        "" => variable::of_file(text(frame, "filename")),
        module => variable::of_symbol(module),
    }
}
