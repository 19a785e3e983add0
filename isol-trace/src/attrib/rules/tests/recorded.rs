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
    log::LogReader,
};

/// Every rule that a recorded breach shows.
const RECORDED: [&str; 36] = [
    "clocksource-watchdog",
    "copy-on-write",
    "corrected-errors",
    "debugger",
    "device-irq",
    "exception",
    "fair-server",
    "first-touch",
    "jump-label",
    "membarrier",
    "nmi-backtrace",
    "nohz-kick",
    "own-timer",
    "perf-event",
    "printk",
    "reschedule",
    "residual-tick",
    "second-task",
    "signal",
    "syscall",
    "syscall-futex",
    "syscall-identity",
    "syscall-io",
    "syscall-memory",
    "syscall-network",
    "syscall-process",
    "syscall-signal",
    "syscall-sleep",
    "syscall-timer",
    "thermal",
    "tick-sched",
    "timer-migration",
    "tlb-mprotect",
    "tlb-munmap",
    "tlb-shootdown",
    "vmstat",
];

/// What is said of a reschedule where nothing more is known of it.
const LAST_RESORT: &str = "reschedule";

/// A file of the corpus.
struct Recording {
    path: PathBuf,
    header: Header,
    breaches: Vec<Breach>,
}

fn recordings() -> Vec<Recording> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/attrib/rules/recorded");
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
            ) && it.remedy.as_ref().map(RuleId::as_str) != Some(LAST_RESORT)
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
