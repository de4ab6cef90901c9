//! A panic that was caught, as an error.

use std::any::Any;

/// A bug: something panicked. Its text is for the log, and not for a caller.
#[derive(Debug, thiserror::Error)]
#[error("{what} panicked: {text}")]
pub struct Panicked {
    what: &'static str,
    text: String,
}

impl Panicked {
    /// What panicked, and what was caught of it.
    pub fn new(what: &'static str, panic: Box<dyn Any + Send>) -> Self {
        let text = panic.downcast::<String>().map(|text| *text);
        let text = text.or_else(|panic| panic.downcast::<&str>().map(|text| (*text).to_owned()));
        Self { what, text: text.unwrap_or_else(|_| "no text".to_owned()) }
    }
}

#[cfg(test)]
mod tests {
    use super::Panicked;

    #[test]
    fn its_text_is_that_of_the_panic() {
        for (caught, text) in [
            (std::panic::catch_unwind(|| panic!("a constant")), "the test panicked: a constant"),
            (
                std::panic::catch_unwind(|| panic!("the number {}", std::hint::black_box(7))),
                "the test panicked: the number 7",
            ),
            (std::panic::catch_unwind(|| std::panic::panic_any(7)), "the test panicked: no text"),
        ] {
            assert_eq!(Panicked::new("the test", caught.unwrap_err()).to_string(), text);
        }
    }
}
