//! What an error was caused by, in one line.

use std::error::Error;

/// An error with all of its causes, each of them once.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        // Many errors repeat their cause in their own text, and some then say what to do.
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the port cannot be used ({source}): choose another")]
    struct Repeating {
        source: std::io::Error,
    }

    #[test]
    fn a_chain_has_each_cause_once() {
        let error = anyhow::Error::new(Repeating { source: std::io::Error::other("it is taken") });
        let told = "not started: the port cannot be used (it is taken): choose another";
        assert_eq!(chain(error.context("not started").as_ref()), told);
        let error = crate::db::DatabaseError::Unavailable(sqlx::Error::PoolTimedOut);
        let told = "the database is not available: pool timed out while waiting for an open connection";
        assert_eq!(chain(&error), told);
    }
}
