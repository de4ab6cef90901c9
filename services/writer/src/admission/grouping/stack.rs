//! The frames of a stack trace that tell where something happened.

use super::{Digest, Json, Object, text, variable};

/// The frames of one stack trace, the outermost first.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stack<'e, 'a>(&'e [Json<'a>]);

impl<'e, 'a> Stack<'e, 'a> {
    /// The stack trace of an exception, a thread or an event.
    pub(super) fn of(holder: &'e Object<'a>) -> Self {
        let frames = || holder.get("stacktrace")?.as_object()?.get("frames")?.as_array();
        Self(frames().unwrap_or_default())
    }

    fn frames(self) -> impl Iterator<Item = &'e Object<'a>> {
        self.0.iter().filter_map(Json::as_object)
    }

    /// Adds the frames that count. Equal ones that follow each other count once: how deep a recursion went says nothing.
    pub(super) fn add_to(self, digest: &mut Digest, one_is_in_app: bool) {
        let mut before = None;
        for frame in self.frames().filter(|frame| counts(frame, one_is_in_app)) {
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
pub(super) fn have_frames(stacks: &[Stack<'_, '_>]) -> bool {
    let one_is_in_app = one_is_in_app(stacks);
    stacks.iter().flat_map(|stack| stack.frames()).any(|frame| counts(frame, one_is_in_app))
}

/// Whether any of the frames says that it is the application's: then the others are not. If none does, all are that do not
/// say that they are not, for there are SDKs that know what is a library's, and say nothing of what they do not know.
pub(super) fn one_is_in_app(stacks: &[Stack<'_, '_>]) -> bool {
    stacks.iter().flat_map(|stack| stack.frames()).any(|frame| in_app(frame) == Some(true))
}

/// The stack trace of an event without an exception: its own, or that of the thread that crashed, or of the current one.
pub(super) fn of_event<'e, 'a>(event: &'e Object<'a>) -> Stack<'e, 'a> {
    let own = Stack::of(event);
    if !own.0.is_empty() {
        return own;
    }
    let threads = match event.get("threads") {
        Some(Json::Object(threads)) => threads.get("values"),
        threads => threads,
    };
    let threads = threads.and_then(Json::as_array).unwrap_or_default();
    let threads = || threads.iter().filter_map(Json::as_object);
    let is = |thread: &&Object<'_>, what: &str| thread.get(what) == Some(&Json::Bool(true));
    threads()
        .find(|thread| is(thread, "crashed"))
        .or_else(|| threads().find(|thread| is(thread, "current")))
        .or_else(|| threads().next())
        .map_or(Stack(&[]), Stack::of)
}

fn counts(frame: &Object<'_>, one_is_in_app: bool) -> bool {
    let is_somewhere =
        ["module", "function", "filename"].iter().any(|member| !text(frame, member).is_empty());
    is_somewhere && in_app(frame).unwrap_or(!one_is_in_app)
}

/// Whether a frame is the application's, if it says so.
fn in_app(frame: &Object<'_>) -> Option<bool> {
    match frame.get("in_app") {
        Some(Json::Bool(in_app)) => Some(*in_app),
        _ => None,
    }
}

/// The module of a frame, or else its file.
fn place(frame: &Object<'_>) -> String {
    match text(frame, "module") {
        "" => variable::of_file(text(frame, "filename")),
        module => variable::of_symbol(module),
    }
}
