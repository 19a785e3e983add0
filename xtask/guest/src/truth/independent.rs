//! The kernel's own account, by ftrace in an instance of its own: nothing of isol-trace is in it.
//!
//! Used for two things: to count entries beside the tracer, and (`truth observe`)
//! to see what a trigger does on a kernel before anybody claims it.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result};

/// Events that show causes and activities. Which of them exist depends on the kernel.
const ACCOUNT: &[&str] = &[
    "context_tracking/user_exit",
    "context_tracking/user_enter",
    "irq_vectors/local_timer_entry",
    "irq_vectors/reschedule_entry",
    "irq_vectors/call_function_entry",
    "irq_vectors/call_function_single_entry",
    "irq_vectors/irq_work_entry",
    "irq_vectors/x86_platform_ipi_entry",
    "irq_vectors/thermal_apic_entry",
    "irq_vectors/threshold_apic_entry",
    "irq_vectors/deferred_error_apic_entry",
    "irq_vectors/error_apic_entry",
    "irq_vectors/spurious_apic_entry",
    "exceptions/page_fault_user",
    "exceptions/page_fault_kernel",
    "irq/irq_handler_entry",
    "irq/softirq_entry",
    "nmi/nmi_handler",
    "csd/csd_function_entry",
    "timer/hrtimer_expire_entry",
    "timer/timer_expire_entry",
    "timer/tick_stop",
    "workqueue/workqueue_execute_start",
    "sched/sched_switch",
    "sched/sched_process_exit",
    "signal/signal_generate",
    "signal/signal_deliver",
    "raw_syscalls/sys_enter",
];

/// Events that only count entries.
const COUNT: &[&str] = &["context_tracking/user_exit"];

/// An instance of the kernel's tracer, gone when dropped.
#[derive(Debug)]
pub struct Ftrace {
    folder: PathBuf,
}

/// One event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// When, in nanoseconds of `CLOCK_MONOTONIC`, rounded down to a microsecond.
    pub at: u64,
    /// Thread.
    pub tid: u32,
    /// The event's name.
    pub name: String,
    /// The rest of the line.
    pub rest: String,
}

impl Ftrace {
    /// Counts entries.
    pub fn count(cpus: &[u32]) -> Result<Self> {
        Self::start(cpus, COUNT)
    }

    /// Takes everything down.
    pub fn account(cpus: &[u32]) -> Result<Self> {
        Self::start(cpus, ACCOUNT)
    }

    /// Takes these events down.
    pub fn events_of(cpus: &[u32], events: &[&str]) -> Result<Self> {
        Self::start(cpus, events)
    }

    fn start(cpus: &[u32], events: &[&str]) -> Result<Self> {
        let folder = PathBuf::from("/sys/kernel/tracing/instances/truth");
        if folder.exists() {
            fs::remove_dir(&folder).context("an old ftrace instance")?;
        }
        fs::create_dir(&folder).context("an ftrace instance")?;
        let ftrace = Self { folder };
        let mask: u64 = cpus.iter().map(|cpu| 1 << cpu).sum();
        ftrace.set("tracing_on", "0")?;
        ftrace.set("trace_clock", "mono")?;
        ftrace.set("buffer_size_kb", "16384")?;
        ftrace.set("tracing_cpumask", &format!("{mask:x}"))?;
        for event in events {
            let enable = format!("events/{event}/enable");
            if ftrace.folder.join(&enable).exists() {
                ftrace.set(&enable, "1")?;
            }
        }
        ftrace.set("tracing_on", "1")?;
        Ok(ftrace)
    }

    fn set(&self, name: &str, value: &str) -> Result<()> {
        fs::write(self.folder.join(name), value).with_context(|| format!("{name} = {value}"))
    }

    /// Forgets everything so far and goes on.
    pub fn restart(&self) -> Result<()> {
        self.set("tracing_on", "0")?;
        self.set("trace", "")?;
        self.set("tracing_on", "1")
    }

    /// The events of a CPU so far. Fails where the buffer had to drop some.
    pub fn events(&self, cpu: u32) -> Result<Vec<Event>> {
        self.set("tracing_on", "0")?;
        let folder = self.folder.join(format!("per_cpu/cpu{cpu}"));
        let stats = fs::read_to_string(folder.join("stats"))?;
        for line in stats.lines() {
            let (key, value) = line.split_once(": ").unwrap_or_default();
            if matches!(key, "overrun" | "dropped events") && value.trim() != "0" {
                anyhow::bail!("ftrace lost events on CPU {cpu}: {line}");
            }
        }
        let text = fs::read_to_string(folder.join("trace"))?;
        Ok(text.lines().filter_map(parse).collect())
    }
}

impl Drop for Ftrace {
    fn drop(&mut self) {
        let _ = self.set("events/enable", "0");
        let _ = fs::remove_dir(&self.folder);
    }
}

/// Reads a line such as `  truth-97  [001] d..1.  12.000345: user_exit: `.
pub(super) fn parse(line: &str) -> Option<Event> {
    if line.starts_with('#') {
        return None;
    }
    let (task, rest) = line.split_once(" [")?;
    let (_, rest) = rest.split_once("] ")?;
    let (_, tid) = task.trim().rsplit_once('-')?;
    let (head, rest) = rest
        .split_once(": ")
        .unwrap_or((rest.trim_end_matches(':'), ""));
    let stamp = head.split_whitespace().last()?;
    let (seconds, micros) = stamp.split_once('.')?;
    let (name, rest) = rest.split_once(':').unwrap_or((rest, ""));
    Some(Event {
        at: seconds.parse::<u64>().ok()? * 1_000_000_000 + micros.parse::<u64>().ok()? * 1000,
        tid: tid.parse().ok()?,
        name: name.trim().to_owned(),
        rest: rest.trim().to_owned(),
    })
}

impl Event {
    /// The value of `key` in the event's text, where it is followed by a space or the end.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<&str> {
        let start = self.rest.find(key)? + key.len();
        let rest = self.rest.get(start..)?;
        let word = rest.split_whitespace().next()?;
        Some(word.trim_end_matches([',', ')', ']']))
    }
}
