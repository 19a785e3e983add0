//! Breaches that kernels have shown, from `recorded/*.jsonl`: the rule that fired then fires now.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::BufReader,
    path::{Path, PathBuf},
};

use super::embedded;
use crate::{
    event::{
        ids::RuleId,
        model::{Breach, Cause, Event, Header},
    },
    wire::LogReader,
};

/// Every rule that a recorded breach shows.
const RECORDED: [&str; 83] = [
    "bh-lru",
    "block-completion",
    "bound-kworker",
    "cfs-bandwidth",
    "clock-set",
    "clocksource-skew-check",
    "clocksource-watchdog",
    "code-fault",
    "copy-on-write",
    "corrected-errors",
    "debugger",
    "device-irq",
    "exception",
    "fair-server",
    "first-touch",
    "irq-timer",
    "jump-label",
    "kernel-thread",
    "ksoftirqd",
    "lru-drain",
    "managed-irq",
    "mce-polling",
    "membarrier",
    "memcg-drain",
    "module-load",
    "msr-access",
    "net-flush-backlog",
    "net-rps",
    "nmi-backtrace",
    "nohz-kick",
    "own-timer",
    "own-writeback",
    "packet-timer",
    "perf-event",
    "printk",
    "rcu-barrier",
    "rcu-callbacks",
    "rcu-expedited",
    "reschedule",
    "residual-tick",
    "rt-throttling",
    "second-task",
    "signal",
    "soft-lockup-watchdog",
    "stack-growth",
    "stop-machine",
    "syscall",
    "syscall-futex",
    "syscall-identity",
    "syscall-io",
    "syscall-memory",
    "syscall-network",
    "syscall-process",
    "syscall-signal",
    "syscall-sleep",
    "syscall-time",
    "syscall-timer",
    "task-moved",
    "text-patching",
    "thermal",
    "threaded-irq",
    "tick-perf",
    "tick-posix-timer",
    "tick-rcu",
    "tick-sched",
    "tlb-compaction",
    "tlb-cow",
    "tlb-fork",
    "tlb-kernel",
    "tlb-ksm",
    "tlb-mprotect",
    "tlb-munmap",
    "tlb-numa-balancing",
    "tlb-reclaim",
    "tlb-shootdown",
    "tlb-thp-collapse",
    "tlb-writeback",
    "trace-buffer-resize",
    "trace-reader",
    "tracer",
    "tracing-attach",
    "unbound-workqueue",
    "vmstat",
];

/// Every other rule, and why no recorded guest shows it. `recorded/README.md` says the same.
const UNRECORDED: &[(&str, &str)] = &[
    (
        "alignment",
        "QEMU's TCG raises no alignment check: a misaligned access with the AC flag set went through.",
    ),
    (
        "cpu-settings",
        "the guest's CPUs have no resctrl, and nobody writes their machine-check settings while a task is watched.",
    ),
    ("cpu-time-read", "the recordings are older than the rule."),
    ("cpufreq", "the guest's CPUs have no frequency driver."),
    (
        "cross-call",
        "every function that another CPU was seen to ask for has a rule of its own.",
    ),
    ("fault-signal", "the recordings are older than the rule."),
    (
        "fault-wait",
        "the guest's programs run from memory: no page is read from a disk or from swap.",
    ),
    (
        "isolcpus-dropped",
        "no breach shows it, only the doctor does.",
    ),
    (
        "load-balance",
        "the tick raises that softirq, and its rules stand before: 161 of 163 seen came with a tick, the other two beside a call or a thread.",
    ),
    ("mm-change", "the recordings are older than the rule."),
    (
        "net-softirq",
        "packets come by the task's own system calls, by RPS or by a device's interrupt here, whose rules stand before.",
    ),
    (
        "nmi-perf-counter",
        "QEMU's TCG has no performance counters.",
    ),
    ("own-signal", "the recordings are older than the rule."),
    ("policy-changed", "the recordings are older than the rule."),
    (
        "rcu-kick",
        "RCU asks a CPU only while it is in the kernel for long, which no load of the guests is.",
    ),
    (
        "rcu-softirq",
        "the tick raises that softirq, and its rules stand before: 1262 of 1267 seen came with a tick, the other five beside a call, a thread or a device's interrupt.",
    ),
    ("section-begins", "the recordings are older than the rule."),
    ("section-ends", "the recordings are older than the rule."),
    (
        "softirq",
        "no device of the guest schedules a tasklet outside of its own interrupt.",
    ),
    ("syscall-ipc", "the recordings are older than the rule."),
    (
        "syscall-settings",
        "the recordings are older than the rule.",
    ),
    ("task-work", "the recordings are older than the rule."),
    (
        "tick-clock-unstable",
        "the guest's TSC stays stable while it runs (a write to it changed nothing), and `tsc=unstable` at boot left the tick off.",
    ),
    ("timer-gone", "the recordings are older than the rule."),
    (
        "timer-migration",
        "timers that may leave the guests' watched CPUs do, and those that were recorded to stay are of interrupts, whose rule stands before; where they may not leave, `remedy_timer_migration` makes it on 6.1, and is younger than the recordings.",
    ),
    (
        "tlb-other-process",
        "the recordings are older than the rule.",
    ),
    ("tsc-adjust-check", "QEMU's TCG has no TSC_ADJUST register."),
    ("userfaultfd", "the recordings are older than the rule."),
    ("vsyscall", "the recordings are older than the rule."),
];

/// What is said of a reschedule and of a cross-call where nothing more is known of it.
const LAST_RESORTS: [&str; 2] = ["cross-call", "reschedule"];

/// A file of the corpus.
struct Recording {
    path: PathBuf,
    header: Header,
    breaches: Vec<Breach>,
}

fn recordings() -> Vec<Recording> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/remedy/recorded");
    let mut paths: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|it| it == "jsonl"))
        .collect();
    paths.sort_unstable();
    paths.into_iter().map(recording).collect()
}

fn recording(path: PathBuf) -> Recording {
    let mut events = LogReader::new(BufReader::new(File::open(&path).unwrap()));
    let mut next = || {
        let event = events.next()?;
        Some(event.unwrap_or_else(|error| panic!("{}: {error}", path.display())))
    };
    let Some(Event::Header(header)) = next() else {
        panic!("{} does not begin with a header", path.display());
    };
    let breaches = std::iter::from_fn(next).map(|event| match event {
        Event::Breach(breach) => *breach,
        other => panic!("{}: only breaches: {other:?}", path.display()),
    });
    let breaches = breaches.collect();
    Recording {
        path,
        header,
        breaches,
    }
}

#[test]
fn the_table_finds_the_remedy_that_was_recorded() {
    for Recording { path, breaches, .. } in recordings() {
        for mut breach in breaches {
            let recorded = breach.remedy.take();
            let found = embedded().find(&breach).map(|rule| rule.id.clone());
            assert_eq!(found, recorded, "{}: {breach:?}", path.display());
        }
    }
}

/// It is what the record holds that makes a rule fire, not the interrupt alone.
#[test]
fn an_interrupt_without_its_origins_and_activities_fires_another_rule_or_none() {
    let mut interrupts = 0;
    for Recording { breaches, .. } in recordings() {
        // Those that serve many ends; the others are their own explanation.
        let vectors = breaches.into_iter().filter(|it| {
            matches!(
                it.cause.cause(),
                Cause::LocalTimer
                    | Cause::Reschedule
                    | Cause::CallFunction
                    | Cause::CallFunctionSingle
                    | Cause::IrqWork
            ) && !it
                .remedy
                .as_ref()
                .is_some_and(|rule| LAST_RESORTS.contains(&rule.as_str()))
        });
        for mut breach in vectors {
            let recorded = breach.remedy.take();
            breach.activities.clear();
            breach.origins.clear();
            let found = embedded().find(&breach).map(|rule| rule.id.clone());
            assert_ne!(found, recorded, "{breach:?}");
            interrupts += 1;
        }
    }
    assert!(interrupts > 3, "only {interrupts} were looked at");
}

#[test]
fn each_file_is_named_after_its_kernel() {
    for Recording { path, header, .. } in recordings() {
        let name = path.file_stem().unwrap().to_str().unwrap();
        assert!(header.kernel.starts_with(name), "{name}: {}", header.kernel);
    }
}

#[test]
fn every_rule_that_is_said_to_be_recorded_is() {
    let recordings = recordings();
    let breaches = recordings.iter().flat_map(|it| &it.breaches);
    let seen: BTreeSet<_> = breaches
        .filter_map(|breach| breach.remedy.as_ref().map(RuleId::as_str))
        .collect();
    assert_eq!(seen, BTreeSet::from(RECORDED));
}

#[test]
fn every_rule_is_recorded_or_has_a_reason_why_not() {
    let table: Vec<_> = embedded()
        .all()
        .iter()
        .map(|rule| rule.id.as_str())
        .collect();
    let reasons = UNRECORDED.iter().map(|(rule, _)| *rule);
    let mut accounted: Vec<_> = RECORDED.into_iter().chain(reasons).collect();
    accounted.sort_unstable();
    let mut sorted = table;
    sorted.sort_unstable();
    assert_eq!(accounted, sorted, "each once");
}

#[test]
fn the_readme_gives_the_same_reasons() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/remedy/recorded");
    let readme = fs::read_to_string(folder.join("README.md")).unwrap();
    let (_, list) = readme.split_once("## Not recorded").unwrap();
    let said: Vec<_> = list.lines().filter(|line| line.starts_with("- ")).collect();
    let expected: Vec<_> = UNRECORDED
        .iter()
        .map(|(rule, reason)| format!("- `{rule}`: {reason}"))
        .collect();
    assert_eq!(said, expected);
}
