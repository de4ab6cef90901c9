//! The account of a project's events: accepted = stored + buffered + dropped + dead-lettered, at every moment.

/// Reasons, and all that names each of them: where they are counted by their place in `ALL`, none may be missing there.
macro_rules! reasons {
    ($(#[$about:meta])* $name:ident { $($(#[$doc:meta])* $reason:ident = $label:literal,)+ }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name {
            $($(#[$doc])* $reason,)+
        }

        impl $name {
            /// Every reason, in the order in which they are declared.
            pub const ALL: [Self; [$($label),+].len()] = [$(Self::$reason),+];

            /// The reason as a metric's label.
            pub fn label(self) -> &'static str {
                match self {
                    $(Self::$reason => $label,)+
                }
            }
        }
    };
}

reasons! {
    /// Why an accepted event was dropped.
    DropReason {
        /// The project's buffer or quota was full, or there was no more room for all, and it was the oldest.
        BufferFull = "buffer_full",
        /// The database did not take it in, however often it was tried.
        DatabaseFailed = "database_failed",
        /// An event with its id is there already.
        Duplicate = "duplicate",
        /// Its project was deleted while it waited.
        ProjectDeleted = "project_deleted",
        /// Its record in the log could not be read any more.
        LogDamaged = "log_damaged",
    }
}

reasons! {
    /// Why an event was refused, and so never accepted.
    RefuseReason {
        /// It is not what an event can be.
        Invalid = "invalid",
        /// It is larger than allowed.
        TooLarge = "too_large",
        /// It is beyond a rate limit.
        RateLimited = "rate_limited",
        /// The project's quota on disk is full, or that of all.
        QuotaFull = "quota_full",
        /// The log on disk cannot be written.
        LogFailed = "log_failed",
        /// Too much was waiting to be buffered.
        Overloaded = "overloaded",
        /// A fault of the writer's own.
        Internal = "internal",
    }
}

/// What became of an event that was flushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// It is committed.
    Stored,
    /// The database refused it for its data; it is in the dead-letter table.
    DeadLettered,
    /// It is gone.
    Dropped(DropReason),
}

/// How many of a project's events met which end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Account {
    /// Acknowledged.
    pub accepted: u64,
    /// Committed.
    pub stored: u64,
    /// Waiting in memory or on disk, or in flight.
    pub buffered: u64,
    /// In the dead-letter table.
    pub dead_lettered: u64,
    /// Never acknowledged; not among the accepted.
    pub refused: u64,
    refused_for: [u64; RefuseReason::ALL.len()],
    dropped: [u64; DropReason::ALL.len()],
}

impl Account {
    /// How many were dropped for a reason.
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.dropped[reason as usize]
    }

    /// How many were refused for a reason.
    pub fn refused_for(&self, reason: RefuseReason) -> u64 {
        self.refused_for[reason as usize]
    }

    /// Counts events that were refused.
    pub(super) fn refuse(&mut self, reason: RefuseReason, count: u64) {
        self.refused += count;
        self.refused_for[reason as usize] += count;
    }

    /// Counts events that were buffered.
    pub(super) fn accept(&mut self, count: u64) {
        self.accepted += count;
        self.buffered += count;
    }

    /// Counts an event that is no longer buffered.
    pub(super) fn settle(&mut self, settled: Settled) {
        self.buffered -= 1;
        match settled {
            Settled::Stored => self.stored += 1,
            Settled::DeadLettered => self.dead_lettered += 1,
            Settled::Dropped(reason) => self.dropped[reason as usize] += 1,
        }
    }
}
