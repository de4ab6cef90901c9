//! Whom the database's error is about, when it does not say that it refuses a row for its data.

use mesher_common::db::DatabaseError;

/// What may have to change for the same events to be stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Blame {
    /// The database, or the way to it.
    Database,
    /// The schema or its rights: a part of the events may be stored meanwhile, but none is to blame.
    Schema,
    /// Somebody who holds a lock, perhaps on one issue: all others may be stored meanwhile, and none is to blame.
    Lock,
    /// One of the rows, perhaps: a limit of what can be stored, a statement that takes too long for it, a broken page of an
    /// index. (A statement that is ended for its time, 57014, did not wait for a lock: that is given up long before.)
    Row,
}

impl Blame {
    /// By PostgreSQL's error code, of which there is none when the connection was lost.
    pub(super) fn of(error: &DatabaseError) -> Self {
        // Connections (08), transaction states (25), logins (28), serialization and deadlocks (40), resources (53), objects in
        // use (55), shutdowns (57P, but not a cancelled query, 57014), the machine (58).
        const DATABASE: [&str; 8] = ["08", "25", "28", "40", "53", "55", "57P", "58"];
        const SCHEMA: &str = "42";
        const LOCK_NOT_AVAILABLE: &str = "55P03";
        match error.sqlstate() {
            None => Self::Database,
            Some(code) if code == LOCK_NOT_AVAILABLE => Self::Lock,
            Some(code) if DATABASE.iter().any(|class| code.starts_with(class)) => Self::Database,
            Some(code) if code.starts_with(SCHEMA) => Self::Schema,
            Some(_) => Self::Row,
        }
    }
}
