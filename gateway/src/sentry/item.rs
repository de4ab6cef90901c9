//! The types of items that envelopes have.

macro_rules! item_types {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// The type of an item, among those that SDKs are known to send.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum ItemType {
            $($(#[$doc])* $variant,)*
            /// Any other.
            Other,
        }

        impl ItemType {
            /// The type of that name.
            pub(super) fn named(name: &str) -> Self {
                match name {
                    $($name => Self::$variant,)*
                    _ => Self::Other,
                }
            }

            /// Its name: one of a fixed set, whatever was sent.
            pub(super) fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                    Self::Other => "other",
                }
            }
        }
    };
}

item_types! {
    /// An error event.
    Event = "event",
    /// What an SDK says that it dropped itself.
    ClientReport = "client_report",
    /// A performance event.
    Transaction = "transaction",
    /// The state of a session.
    Session = "session",
    /// Counts of sessions.
    Sessions = "sessions",
    /// A part of a trace.
    Span = "span",
    /// Log records.
    Log = "log",
    /// Metrics of an application.
    TraceMetric = "trace_metric",
    /// Metrics, in their older form.
    Statsd = "statsd",
    /// A file.
    Attachment = "attachment",
    /// What a user says.
    Feedback = "feedback",
    /// What a user says, in its older form.
    UserReport = "user_report",
    /// What describes a recorded session of a browser.
    ReplayEvent = "replay_event",
    /// A recorded session of a browser.
    ReplayRecording = "replay_recording",
    /// The same as a film.
    ReplayVideo = "replay_video",
    /// A profile.
    Profile = "profile",
    /// A part of a continuous profile.
    ProfileChunk = "profile_chunk",
    /// A sign of life of a scheduled job.
    CheckIn = "check_in",
    /// A report of a browser.
    Security = "security",
}
