//! The levels of events: the database's `event_level`, which the writer writes and the issue service reads.

/// How bad the matter is that an event tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::Type)]
#[sqlx(type_name = "event_level", rename_all = "lowercase")]
pub enum Level {
    /// Of interest only while debugging.
    Debug,
    /// Worth knowing.
    Info,
    /// Something may be going wrong.
    Warning,
    /// Something went wrong.
    Error,
    /// The application could not go on.
    Fatal,
}

impl Level {
    /// Its label in the database: what a COPY in binary form takes.
    pub fn label(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Fatal => "fatal",
        }
    }
}
