//! The account of a project's events: accepted = stored + buffered + dropped + dead-lettered, at every moment.

/// Why an accepted event was dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// The project's buffer, or its quota on disk, was full, and it was the oldest.
    BufferFull,
    /// The database did not take it in, however often it was tried.
    DatabaseFailed,
    /// An event with its id is there already.
    Duplicate,
    /// Its project was deleted while it waited.
    ProjectDeleted,
    /// Its record in the log could not be read any more.
    LogDamaged,
}

impl DropReason {
    /// Every reason.
    pub const ALL: [Self; 5] =
        [Self::BufferFull, Self::DatabaseFailed, Self::Duplicate, Self::ProjectDeleted, Self::LogDamaged];

    /// The reason as a metric's label.
    pub fn label(self) -> &'static str {
        match self {
            Self::BufferFull => "buffer_full",
            Self::DatabaseFailed => "database_failed",
            Self::Duplicate => "duplicate",
            Self::ProjectDeleted => "project_deleted",
            Self::LogDamaged => "log_damaged",
        }
    }
}

/// Why an event was refused, and so never accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefuseReason {
    /// It is not what an event can be.
    Invalid,
    /// It is larger than allowed.
    TooLarge,
    /// It is beyond a rate limit.
    RateLimited,
    /// The project's quota on disk is full, or that of all.
    QuotaFull,
    /// The log on disk cannot be written.
    LogFailed,
    /// A fault of the writer's own.
    Internal,
}

impl RefuseReason {
    /// Every reason.
    pub const ALL: [Self; 6] =
        [Self::Invalid, Self::TooLarge, Self::RateLimited, Self::QuotaFull, Self::LogFailed, Self::Internal];

    /// The reason as a metric's label.
    pub fn label(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::TooLarge => "too_large",
            Self::RateLimited => "rate_limited",
            Self::QuotaFull => "quota_full",
            Self::LogFailed => "log_failed",
            Self::Internal => "internal",
        }
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
    /// Waiting in memory, or in flight.
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
