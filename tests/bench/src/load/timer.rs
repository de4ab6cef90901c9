//! A timer that is right to some microseconds, where tokio's own rounds to milliseconds.

use std::{
    io::ErrorKind,
    time::{Duration, Instant},
};

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::net::unix::pipe::Receiver;

/// Ticks at a fixed distance, whoever is late.
pub(super) struct Timer {
    // A timer's file is no pipe, but is waited for and read as one; tokio has nothing for files of any kind without `unsafe`.
    file: Receiver,
    start: Instant,
    every: Duration,
    ticks: u32,
}

impl Timer {
    pub(super) fn start(every: Duration) -> anyhow::Result<Self> {
        let file = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        let spec =
            Timespec { tv_sec: i64::try_from(every.as_secs())?, tv_nsec: i64::from(every.subsec_nanos()) };
        let start = Instant::now();
        timerfd_settime(
            &file,
            TimerfdTimerFlags::empty(),
            &Itimerspec { it_interval: spec, it_value: spec },
        )?;
        Ok(Self { file: Receiver::from_owned_fd_unchecked(file)?, start, every, ticks: 0 })
    }

    /// The times of the ticks that have passed since the last call, of which there is at least one.
    pub(super) async fn passed(&mut self) -> anyhow::Result<impl Iterator<Item = Instant> + use<>> {
        let mut count = [0; 8];
        loop {
            self.file.readable().await?;
            match self.file.try_read(&mut count) {
                Ok(_) => break,
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) => return Err(error.into()),
            }
        }
        let first = self.ticks + 1;
        self.ticks += u32::try_from(u64::from_ne_bytes(count))?;
        let (start, every) = (self.start, self.every);
        Ok((first..=self.ticks).map(move |tick| start + every * tick))
    }
}
