//! The machine that the ground truth runs on: which kernel, which CPUs, how to make it quiet.

use std::{fs, io, thread, time::Duration};

use anyhow::{Context, Result, bail};

use super::{
    clock,
    files::{cpu_list, read},
    interrupts::Interrupts,
    sys,
};

/// What was found out at the start.
#[derive(Clone, Debug)]
pub struct Guest {
    /// `uname -r`.
    pub release: String,
    /// Major and minor version.
    pub version: (u32, u32),
    /// A `PREEMPT_RT` kernel.
    pub realtime: bool,
    /// Isolated CPUs with context tracking, at least one.
    pub watched: Vec<u32>,
    /// The other online CPUs, at least one.
    pub housekeeping: Vec<u32>,
}

/// Why a test cannot be had here. Not a failure, and not a pass.
#[derive(Debug)]
pub struct Skip(pub String);

impl std::fmt::Display for Skip {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Skip {}

/// Gives a test up with a reason.
pub fn skip<T>(why: impl Into<String>) -> Result<T> {
    Err(Skip(why.into()).into())
}

/// The machine was too slow for what a test had timed. Not a failure the first time.
#[derive(Debug)]
pub struct TooLate(pub &'static str);

impl std::fmt::Display for TooLate {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} came before the beginning", self.0)
    }
}

impl std::error::Error for TooLate {}

/// How long a CPU's interrupt counts must stand still to call it quiet.
const STILL: Duration = Duration::from_millis(300);
const PATIENCE: u32 = 60;

impl Guest {
    /// Looks at the machine, and binds this thread to the housekeeping CPUs.
    pub fn detect() -> Result<Self> {
        let release = read("/proc/sys/kernel/osrelease")?;
        let mut numbers = release.split(['.', '-', '+']).map(str::parse::<u32>);
        let (Some(Ok(major)), Some(Ok(minor))) = (numbers.next(), numbers.next()) else {
            bail!("the kernel calls itself {release}");
        };
        let online = cpu_list(&read("/sys/devices/system/cpu/online")?)?;
        let isolated = cpu_list(&read("/sys/devices/system/cpu/isolated")?)?;
        let tracked = cpu_list(&read("/sys/devices/system/cpu/nohz_full")?)?;
        let watched: Vec<u32> = isolated
            .into_iter()
            .filter(|cpu| tracked.contains(cpu))
            .collect();
        let housekeeping: Vec<u32> = online
            .into_iter()
            .filter(|cpu| !watched.contains(cpu) && !tracked.contains(cpu))
            .collect();
        if watched.is_empty() || housekeeping.is_empty() {
            bail!(
                "this machine isolates CPUs {watched:?} and keeps {housekeeping:?}: the ground truth needs both (nohz_full=1-2 isolcpus=domain,managed_irq,1-2)"
            );
        }
        clock::settled()?;
        sys::pin(0, &housekeeping)?;
        Ok(Self {
            realtime: read("/proc/sys/kernel/version")?.contains("PREEMPT_RT"),
            version: (major, minor),
            release,
            watched,
            housekeeping,
        })
    }

    /// The CPU that triggers hit.
    #[must_use]
    pub fn cpu(&self) -> u32 {
        self.watched.first().copied().unwrap_or(1)
    }

    /// A second watched CPU, where there is one.
    #[must_use]
    pub fn second(&self) -> Option<u32> {
        self.watched.get(1).copied()
    }

    /// The CPU that helpers of an actor run on.
    #[must_use]
    pub fn helper(&self) -> u32 {
        self.housekeeping.last().copied().unwrap_or(0)
    }

    /// Whether the kernel has the `csd_*` tracepoints (added in 6.5, `include/trace/events/csd.h`).
    #[must_use]
    pub fn names_calls(&self) -> bool {
        self.version >= (6, 5)
    }

    /// Stops what stock kernels do to an isolated CPU on their own.
    pub fn silence(&self) {
        // Whichever of these a kernel lacks has nothing to be silenced.
        let mut settings = vec![
            ("/proc/sys/kernel/printk".to_owned(), "1"),
            ("/proc/sys/kernel/watchdog".to_owned(), "0"),
            // Every ten seconds khugepaged has each CPU drain its batches of pages, if it has some
            // (khugepaged_do_scan, mm/khugepaged.c, v6.12): now, and then not for an hour.
            (
                "/sys/kernel/mm/transparent_hugepage/khugepaged/scan_sleep_millisecs".to_owned(),
                "3600000",
            ),
        ];
        // Up to 6.11 a real-time task arms a period timer on its CPU. Later kernels rebuild the
        // scheduler's domains at each use of the file, and 6.12 forgets the deadline bandwidth then
        // (kernel/sched/rt.c).
        if self.version < (6, 12) {
            let path = "/proc/sys/kernel/sched_rt_runtime_us";
            settings.push((path.to_owned(), "-1"));
        }
        for cpu in &self.watched {
            // The fair server's zero-laxity timer kicks a busy isolated CPU once a second
            // on 6.12 (kernel/sched/deadline.c).
            settings.push((
                format!("/sys/kernel/debug/sched/fair_server/cpu{cpu}/runtime"),
                "0",
            ));
        }
        for (path, value) in settings {
            let _ = fs::write(path, value);
        }
    }

    /// Waits until no interrupt arrives at the watched CPUs.
    pub fn wait_quiet(&self) -> Result<()> {
        self.wait_quiet_on(&self.watched)
    }

    /// Waits until no interrupt arrives at some CPUs that have no tick of their own.
    pub fn wait_quiet_on(&self, cpus: &[u32]) -> Result<()> {
        let cpus: Vec<u32> = cpus
            .iter()
            .copied()
            .filter(|cpu| self.watched.contains(cpu))
            .collect();
        let mut changes = Vec::new();
        let mut before = Interrupts::read()?;
        for _ in 0..PATIENCE {
            thread::sleep(STILL);
            let after = Interrupts::read()?;
            changes = cpus
                .iter()
                .map(|&cpu| (cpu, before.changes(&after, cpu)))
                .filter(|(_, changes)| !changes.is_empty())
                .collect();
            if changes.is_empty() {
                return Ok(());
            }
            before = after;
        }
        bail!("the watched CPUs do not get quiet: {changes:?}")
    }
}

/// A kernel setting that is put back when dropped.
#[derive(Debug)]
pub struct Setting {
    path: String,
    before: String,
}

impl Setting {
    /// Changes a setting.
    pub fn change(path: &str, value: &str) -> Result<Self> {
        let before = match fs::read_to_string(path) {
            Ok(before) => before.trim_end().to_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return skip(format!("this kernel has no {path}"));
            }
            Err(error) => return Err(error).context(path.to_owned()),
        };
        fs::write(path, value).with_context(|| format!("{path} = {value}"))?;
        Ok(Self {
            path: path.to_owned(),
            before,
        })
    }

    /// Changes it again.
    pub fn set(&self, value: &str) -> Result<()> {
        fs::write(&self.path, value).with_context(|| format!("{} = {value}", self.path))
    }
}

impl Drop for Setting {
    fn drop(&mut self) {
        let _ = fs::write(&self.path, &self.before);
    }
}
