//! The kernel's own account, by ftrace in an instance of its own: nothing of isol-trace is in it.
//!
//! Used for two things: to count entries beside the tracer, and (`truth observe`)
//! to see what a provocation does on a kernel before anybody claims it.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result};

use super::log::{Activity, Breach, Cause, Log, Origin, Task};

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
fn parse(line: &str) -> Option<Event> {
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
    fn value(&self, key: &str) -> Option<&str> {
        let start = self.rest.find(key)? + key.len();
        let rest = self.rest.get(start..)?;
        let word = rest.trim_start().split_whitespace().next()?;
        Some(word.trim_end_matches([',', ')']))
    }
}

/// Derives the log that the tracer should have written, as far as ftrace knows.
#[must_use]
pub fn derive(cpu: u32, events: &[Event]) -> Log {
    let mut log = Log::default();
    let mut open: Option<Breach> = None;
    let close = |open: &mut Option<Breach>, log: &mut Log, end: &str| {
        if let Some(mut breach) = open.take() {
            breach.seq = log.breaches.len() as u64 + 1;
            end.clone_into(&mut breach.end);
            if breach.cause.kind.is_empty() {
                "unknown".clone_into(&mut breach.cause.kind);
            }
            log.breaches.push(breach);
        }
    };
    for event in events {
        match event.name.as_str() {
            "user_exit" => {
                open = Some(Breach {
                    mono_ns: event.at,
                    cpu,
                    task: Task {
                        tid: event.tid,
                        ..Task::default()
                    },
                    ..Breach::default()
                });
            }
            "user_enter" => {
                let same = open.as_ref().is_some_and(|one| one.task.tid == event.tid);
                let slept = open.as_ref().is_some_and(|one| one.idle_ns.is_some());
                let end = match (same, slept) {
                    (true, true) => "blocked",
                    (true, false) => "return",
                    (false, _) => "switched",
                };
                close(&mut open, &mut log, end);
            }
            "sched_process_exit" if open.as_ref().is_some_and(|one| one.task.tid == event.tid) => {
                close(&mut open, &mut log, "exited");
            }
            "nmi_handler"
                if open.is_none() && event.tid != 0 && event.value("handled:") != Some("0") =>
            {
                open = Some(Breach {
                    mono_ns: event.at,
                    cpu,
                    task: Task {
                        tid: event.tid,
                        ..Task::default()
                    },
                    ..Breach::default()
                });
                if let Some(breach) = &mut open {
                    note(breach, event);
                }
                close(&mut open, &mut log, "return");
            }
            _ => {
                if let Some(breach) = &mut open {
                    note(breach, event);
                }
            }
        }
    }
    log
}

fn note(breach: &mut Breach, event: &Event) {
    let mut activity = |kind: &str, name: Option<&str>| {
        breach.activity.push(Activity {
            kind: kind.to_owned(),
            name: name.map(str::to_owned),
            ..Activity::default()
        });
    };
    let cause = match event.name.as_str() {
        "softirq_entry" => return activity("softirq", event.value("action=")),
        "csd_function_entry" => return activity("csd", event.value("func=")),
        "hrtimer_expire_entry" => return activity("hrtimer", event.value("function=")),
        "timer_expire_entry" => return activity("timer", event.value("function=")),
        "workqueue_execute_start" => return activity("work", event.value("function ")),
        "tick_stop" => return activity("tick", event.value("dependency=")),
        "signal_deliver" => return activity("signal", event.value("sig=")),
        "sched_switch" => {
            let next = event.value("next_comm=");
            activity("switch", next);
            if event.value("next_pid=") == Some("0") {
                breach.idle_ns = Some(1);
            }
            return;
        }
        "sys_enter" => Cause {
            kind: "syscall".to_owned(),
            nr: event.value("NR ").and_then(|text| text.parse().ok()),
            name: event.value("NR ").and_then(syscall_name).map(str::to_owned),
            ..Cause::default()
        },
        "page_fault_user" => {
            let code = event
                .value("error_code=")
                .and_then(super::expect::parse_address);
            Cause {
                kind: "page_fault".to_owned(),
                address: event.value("address=").map(str::to_owned),
                write: code.map(|code| code & 2 != 0),
                user: code.map(|code| code & 4 != 0),
                ..Cause::default()
            }
        }
        "irq_handler_entry" => Cause {
            kind: "device_irq".to_owned(),
            irq: event.value("irq=").and_then(|text| text.parse().ok()),
            name: event.value("name=").map(str::to_owned),
            ..Cause::default()
        },
        "nmi_handler" => Cause {
            kind: "nmi".to_owned(),
            name: event
                .rest
                .split_once("()")
                .map(|(handler, _)| handler.to_owned()),
            ..Cause::default()
        },
        "signal_generate" => Cause {
            kind: "exception".to_owned(),
            name: trap_name(event.value("sig="), event.value("code=")).map(str::to_owned),
            ..Cause::default()
        },
        other => match vector(other) {
            Some(kind) => Cause {
                kind: kind.to_owned(),
                ..Cause::default()
            },
            None => return,
        },
    };
    if breach.cause.kind.is_empty() {
        let origin = match cause.kind.as_str() {
            "syscall" | "page_fault" | "exception" => "task",
            "device_irq" => "device",
            _ => "unknown",
        };
        breach.cause = cause;
        breach.origins = vec![Origin {
            kind: origin.to_owned(),
        }];
    } else if let Some(kind) = vector(&event.name) {
        activity("vector", Some(kind));
    }
}

fn vector(event: &str) -> Option<&'static str> {
    Some(match event {
        "local_timer_entry" => "local_timer",
        "reschedule_entry" => "reschedule",
        "call_function_entry" => "call_function",
        "call_function_single_entry" => "call_function_single",
        "irq_work_entry" => "irq_work",
        "x86_platform_ipi_entry" => "platform_ipi",
        "thermal_apic_entry" => "thermal",
        "threshold_apic_entry" => "threshold",
        "deferred_error_apic_entry" => "deferred_error",
        "error_apic_entry" => "apic_error",
        "spurious_apic_entry" => "spurious",
        _ => return None,
    })
}

/// Only the calls that provocations make.
fn syscall_name(number: &str) -> Option<&'static str> {
    Some(match number.parse::<libc::c_long>().ok()? {
        libc::SYS_getppid => "getppid",
        libc::SYS_nanosleep => "nanosleep",
        libc::SYS_rt_sigreturn => "rt_sigreturn",
        libc::SYS_exit_group => "exit_group",
        libc::SYS_read => "read",
        _ => return None,
    })
}

/// ftrace shows no trap number: signal and code tell some of them apart.
fn trap_name(signal: Option<&str>, code: Option<&str>) -> Option<&'static str> {
    Some(match (signal?, code?) {
        ("8", "1") => "divide_error",
        ("8", _) => "x87_fpu",
        ("4", _) => "invalid_opcode",
        ("5", "128") => "breakpoint",
        ("5", _) => "debug",
        // Overflow looks the same; `plan::observe` knows.
        ("11", "128") => "general_protection",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# tracer: nop
           truth-97      [001] d..1.    12.000345: user_exit: 
           truth-97      [001] d.h1.    12.000346: call_function_single_entry: vector=251
           truth-97      [001] d.h1.    12.000347: csd_function_entry: func=flush_tlb_func csd=0000000012345678
           truth-97      [001] d..1.    12.000350: user_enter: 
           truth-97      [001] d..1.    12.000400: user_exit: 
           truth-97      [001] .....    12.000401: sys_enter: NR 35 (7ffc, 0, 0, 0, 0, 0)
           truth-97      [001] d..2.    12.000402: sched_switch: prev_comm=truth prev_pid=97 prev_prio=120 prev_state=S ==> next_comm=swapper/1 next_pid=0 next_prio=120
          <idle>-0       [001] d..2.    12.050402: sched_switch: prev_comm=swapper/1 prev_pid=0 prev_prio=120 prev_state=R ==> next_comm=truth next_pid=97 next_prio=120
           truth-97      [001] d..1.    12.050403: user_enter: 
           truth-97      [001] d.Z..    12.060000: nmi_handler: nmi_cpu_backtrace_handler() delta_ns: 100 handled: 1
";

    #[test]
    fn windows_become_breaches() {
        let events: Vec<Event> = TEXT.lines().filter_map(parse).collect();
        assert_eq!(events.len(), 10);
        assert_eq!(events[0].at, 12_000_345_000);
        let log = derive(1, &events);
        let kinds: Vec<_> = log
            .breaches
            .iter()
            .map(|one| (one.cause.kind.as_str(), one.end.as_str()))
            .collect();
        assert_eq!(
            kinds,
            [
                ("call_function_single", "return"),
                ("syscall", "blocked"),
                ("nmi", "return")
            ]
        );
        assert_eq!(
            log.breaches[0].activity[0].name.as_deref(),
            Some("flush_tlb_func")
        );
        assert_eq!(log.breaches[1].cause.nr, Some(35));
        assert_eq!(
            log.breaches[2].cause.name.as_deref(),
            Some("nmi_cpu_backtrace_handler")
        );
    }
}
