//! What holds whatever bytes come. Each function takes any bytes, and panics if a property does not hold for them.
//!
//! A fuzz target in `tests/fuzz` calls each with what it makes up; `tests/corpus.rs` calls each with what is in
//! `tests/fuzz/corpus`, so that what was found once stays found.

#![expect(clippy::missing_panics_doc, reason = "a panic is how a property says that it does not hold")]

mod admission;
mod grouping;
mod log_reader;
mod samples;

pub use self::{admission::admission, grouping::grouping, log_reader::log_reader};
