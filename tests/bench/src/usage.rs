//! What processes use of processor and memory, from `/proc` (its manual page, `proc(5)`).

use std::{fs, ops::Sub, time::Duration};

use anyhow::Context as _;

/// The processor time that was used so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cpu {
    /// That of the service that is measured: the writer, as a rule.
    pub(crate) service: Duration,
    pub(crate) gateway: Duration,
    pub(crate) postgres: Duration,
    pub(crate) generator: Duration,
    /// That of the whole machine, with what the machine below it took away.
    machine: Duration,
}

impl Cpu {
    /// That of a service, a gateway and a PostgreSQL server, by their process ids, and of this process.
    pub(crate) fn now(service: Option<u32>, gateway: Option<u32>, postgres: u32) -> anyhow::Result<Self> {
        let own =
            |id: Option<u32>| id.map_or(Ok(Duration::ZERO), |id| Ok::<_, anyhow::Error>(Stat::of(id)?.own));
        Ok(Self {
            service: own(service)?,
            gateway: own(gateway)?,
            postgres: with_children(postgres)?,
            generator: Stat::of(std::process::id())?.own,
            machine: machine()?,
        })
    }

    /// What others took: the kernel's own threads, and whatever else ran. Where it is more than some percent, the machine
    /// was not quiet, and the figures are of no use.
    pub(crate) fn others(self) -> Duration {
        self.machine.saturating_sub(self.service + self.gateway + self.postgres + self.generator)
    }

    /// What storing takes: what sent the events is not counted.
    pub(crate) fn of_storing(self) -> Duration {
        self.service + self.postgres
    }
}

impl Sub for Cpu {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            service: self.service.saturating_sub(earlier.service),
            gateway: self.gateway.saturating_sub(earlier.gateway),
            postgres: self.postgres.saturating_sub(earlier.postgres),
            generator: self.generator.saturating_sub(earlier.generator),
            machine: self.machine.saturating_sub(earlier.machine),
        }
    }
}

/// What a process has in memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    pub(crate) now_kib: u64,
    pub(crate) peak_kib: u64,
}

impl Memory {
    pub(crate) fn of(id: u32) -> anyhow::Result<Self> {
        let path = format!("/proc/{id}/status");
        let status = fs::read_to_string(&path).with_context(|| format!("{path} cannot be read"))?;
        let kib = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.trim().strip_suffix(" kB")?.parse().ok()
        };
        let memory = kib("VmRSS:").zip(kib("VmHWM:"));
        let (now_kib, peak_kib) = memory.with_context(|| format!("{path} says nothing of memory"))?;
        Ok(Self { now_kib, peak_kib })
    }
}

/// The processor time of those children of this process that have ended and were waited for.
pub(crate) fn children_gone() -> anyhow::Result<Duration> {
    Ok(Stat::of(std::process::id())?.gone)
}

struct Stat {
    parent: u32,
    own: Duration,
    /// That of children that have ended and were waited for.
    gone: Duration,
}

impl Stat {
    fn of(id: u32) -> anyhow::Result<Self> {
        let path = format!("/proc/{id}/stat");
        let stat = fs::read_to_string(&path).with_context(|| format!("{path} cannot be read"))?;
        Self::parse(&stat).with_context(|| format!("{path} is not readable"))
    }

    fn parse(stat: &str) -> Option<Self> {
        // The name before it, in parentheses, may hold anything.
        let (_, rest) = stat.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split(' ').collect();
        let ticks = |index: usize| fields.get(index)?.parse::<u64>().ok();
        Some(Self {
            parent: fields.get(1)?.parse().ok()?,
            own: time(ticks(11)? + ticks(12)?),
            gone: time(ticks(13)? + ticks(14)?),
        })
    }
}

fn machine() -> anyhow::Result<Duration> {
    let stat = fs::read_to_string("/proc/stat").context("/proc/stat cannot be read")?;
    busy(&stat).context("/proc/stat is not readable")
}

/// User, nice, system, interrupts, soft interrupts and stolen time; not idle, and not waiting for a disk.
fn busy(stat: &str) -> Option<Duration> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    let ticks: Vec<u64> = line.split_whitespace().map(str::parse).collect::<Result<_, _>>().ok()?;
    let counted = [0, 1, 2, 5, 6, 7].into_iter().map(|index| ticks.get(index).copied());
    Some(time(counted.sum::<Option<u64>>()?))
}

fn time(ticks: u64) -> Duration {
    Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second().max(1))
}

fn with_children(id: u32) -> anyhow::Result<Duration> {
    let parent = Stat::of(id)?;
    let mut sum = parent.own + parent.gone;
    for entry in fs::read_dir("/proc").context("/proc cannot be read")? {
        let name = entry.context("/proc cannot be read")?.file_name();
        // Processes come and go meanwhile.
        if let Some(child) = name.to_str().and_then(|name| Stat::of(name.parse().ok()?).ok())
            && child.parent == id
        {
            sum += child.own;
        }
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_whatever_the_name_of_the_process() {
        let stat = "7 (a (b) c) S 5 7 7 0 -1 4194560 1 2 3 4 150 50 30 20 20 0 1 0 100 0 0\n";
        let stat = Stat::parse(stat).unwrap();
        let second = u64::from(u32::try_from(rustix::param::clock_ticks_per_second()).unwrap());
        assert_eq!(stat.parent, 5);
        assert_eq!(stat.own, Duration::from_millis(200_000 / second));
        assert_eq!(stat.gone, Duration::from_millis(50_000 / second));
    }

    #[test]
    fn what_a_machine_waits_is_not_busy() {
        let ticks = rustix::param::clock_ticks_per_second();
        let stat = format!("cpu  {ticks} {ticks} {ticks} 5 6 {ticks} {ticks} {ticks} 8 9\ncpu0 1 2\n");
        assert_eq!(busy(&stat), Some(Duration::from_secs(6)));
    }

    #[test]
    fn this_process_uses_memory() {
        let memory = Memory::of(std::process::id()).unwrap();
        assert!(memory.now_kib > 0 && memory.peak_kib >= memory.now_kib, "{memory:?}");
    }
}
