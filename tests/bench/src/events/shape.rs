//! Shapes: what the events of one issue have in common, a chain of exceptions with their stack traces.

use rand::{RngExt as _, seq::IndexedRandom as _};

use super::{
    Rng,
    words::{PLATFORMS, Platform},
};

/// The stack of an exception that another caused goes to where it was caught: it is the shorter one.
const FRAMES: std::ops::RangeInclusive<usize> = 5..=30;
const CAUSE_FRAMES: std::ops::RangeInclusive<usize> = 2..=5;
/// How many of the frames are the application's own.
const OWN: f64 = 0.3;
const OWN_PLACES: usize = 3;
const OTHER_PLACES: usize = 4;

/// A chain of exceptions as one bug throws it.
pub(super) struct Shape {
    pub(super) platform: &'static Platform,
    /// The cause first, as in Sentry's payloads; what was thrown last.
    pub(super) exceptions: Vec<ExceptionShape>,
}

pub(super) struct ExceptionShape {
    pub(super) kind: &'static str,
    /// What its value is made from.
    pub(super) value: &'static str,
    /// The outermost call first, as in Sentry's payloads.
    pub(super) frames: Vec<FrameShape>,
}

#[derive(Clone)]
pub(super) struct FrameShape {
    pub(super) function: &'static str,
    pub(super) module: String,
    pub(super) filename: String,
    pub(super) line: u32,
    pub(super) in_app: bool,
    pub(super) context: &'static str,
    pub(super) around: [&'static str; 2],
}

impl Shape {
    /// A shape of one platform.
    pub(super) fn new(platform: usize, rng: &mut Rng) -> Self {
        let platform = &PLATFORMS[platform % PLATFORMS.len()];
        // A stack goes to and fro between a few places: middleware and retries are in it again and again.
        let own: [FrameShape; OWN_PLACES] = std::array::from_fn(|_| FrameShape::new(platform, true, rng));
        let others: [FrameShape; OTHER_PLACES] =
            std::array::from_fn(|_| FrameShape::new(platform, false, rng));
        let causes = usize::from(rng.random_bool(0.3));
        let exceptions = (0..=causes)
            .map(|depth| {
                let frames = if depth < causes { rng.random_range(CAUSE_FRAMES) } else { frames(rng) };
                let (kind, value) = pick(platform.exceptions, rng);
                let place = |rng: &mut Rng| {
                    let own_place = rng.random_range(0..OWN_PLACES);
                    let other_place = rng.random_range(0..OTHER_PLACES);
                    if rng.random_bool(OWN) { own[own_place].clone() } else { others[other_place].clone() }
                };
                ExceptionShape { kind, value, frames: (0..frames).map(|_| place(rng)).collect() }
            })
            .collect();
        Self { platform, exceptions }
    }
}

impl FrameShape {
    fn new(platform: &'static Platform, in_app: bool, rng: &mut Rng) -> Self {
        let path = pick(if in_app { platform.own } else { platform.libraries }, rng);
        Self {
            function: pick(if in_app { platform.functions } else { platform.library_functions }, rng),
            module: path.trim_start_matches("node_modules/").replace('/', "."),
            filename: format!("{path}{}", platform.extension),
            line: rng.random_range(4..900),
            in_app,
            context: pick(platform.lines, rng),
            around: std::array::from_fn(|_| pick(platform.lines, rng)),
        }
    }
}

/// Most stacks are short: the smaller of two throws.
fn frames(rng: &mut Rng) -> usize {
    let throws: [usize; 2] = std::array::from_fn(|_| rng.random_range(FRAMES));
    throws.into_iter().min().unwrap_or(*FRAMES.start())
}

/// One of several, of which there is always one.
pub(super) fn pick<T: Copy>(choices: &[T], rng: &mut Rng) -> T {
    choices.choose(rng).copied().unwrap_or(choices[0])
}
