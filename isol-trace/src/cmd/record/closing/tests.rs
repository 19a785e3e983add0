use std::sync::Arc;

use super::{super::section_option, *};
use crate::event::{
    breach::tests::breach,
    ids::{Address, Cpu, MonoNanos, Seq, Tid},
    model::{CauseSummary, Kill, KilledBy, TaskId, TracerSummary},
    signal::Signal,
};

fn summary(causes: &[(Cause, u64)]) -> Summary {
    let entries = causes.iter().map(|(_, count)| count).sum();
    let causes = causes.iter().map(|&(cause, count)| CauseSummary {
        cause,
        count,
        total: Some(Nanos(0)),
        max: Some(Nanos(0)),
        p50: None,
        p99: None,
    });
    Summary {
        at: MonoNanos(9),
        cpus: vec![CpuSummary {
            cpu: Cpu(1),
            entries,
            attributed: entries,
            unattributed: 0,
            filtered: 0,
            lost: 0,
            open: 0,
            kernel: Some(Nanos(0)),
            idle: Nanos(0),
            away: Nanos(0),
            max: Some(Nanos(0)),
            defects: Some(0),
            causes: causes.collect(),
        }],
        tracer: TracerSummary::default(),
    }
}

fn entry(seq: u64, nanos: u64) -> Breach {
    let task = TaskId {
        pid: Some(Pid(7)),
        tid: Tid(7),
        comm: Some(Arc::from("spin")),
    };
    Breach {
        seq: Seq(seq),
        duration: Some(Nanos(nanos)),
        remedy: RuleId::new("syscall-identity"),
        task,
        cpu: Cpu(1),
        ..breach()
    }
}

fn tally(events: &[Event]) -> Tally {
    let mut tally = Tally::new(true);
    for event in events {
        tally.event(event);
    }
    tally
}

fn event(breach: Breach) -> Event {
    Event::Breach(Box::new(breach))
}

fn lines(tally: Tally, summary: &Summary, command: Option<Command<'_>>) -> String {
    let closing = Closing {
        summary,
        log: Some("my log"),
        command,
        filters: Filters::default(),
    };
    tally.lines(&closing, true).join("\n")
}

/// Until it executes the command, its process is a copy of isol-trace, and slow.
#[test]
fn what_isol_trace_does_itself_is_not_the_worst() {
    let ours = |comm: &str| {
        let breach = entry(1, 900);
        let task = TaskId {
            comm: Some(comm.into()),
            ..breach.task.clone()
        };
        event(Breach { task, ..breach })
    };
    for (comm, worst) in [("isol-trace", 2), ("isol-guard", 2), ("isol-tracer", 1)] {
        let tally = tally(&[ours(comm), event(entry(2, 800))]);
        let seq = tally.worst.expect("there are two").seq;
        assert_eq!(seq, Seq(worst), "{comm}");
    }
}

#[test]
fn quiet_cpus_are_said_to_be_quiet() {
    assert_eq!(
        lines(Tally::new(false), &summary(&[]), None),
        "no kernel entry on CPU 1: what ran there stayed in user mode, or nothing ran"
    );
}

/// Whoever asks for a task that never came, or for a section that never began, is not to read that all is well, nor that
/// the command's own entries are those of others.
#[test]
fn what_a_filter_leaves_out_is_said_as_what_it_is() {
    let told = |tasks, section| {
        let mut summary = summary(&[]);
        (summary.cpus[0].entries, summary.cpus[0].filtered) = (9, 9);
        in_numbers(&summary, Filters { tasks, section })
    };
    for (tasks, section, expected) in [
        (
            true,
            false,
            "no kernel entry of a task that was asked for on CPU 1; 9 of other tasks left out",
        ),
        (
            false,
            true,
            "no kernel entry in an isolated section on CPU 1; 9 outside of isolated sections left out",
        ),
        (
            true,
            true,
            "no kernel entry in an isolated section of a task that was asked for on CPU 1; 9 of other tasks or outside \
             of isolated sections left out",
        ),
    ] {
        assert_eq!(told(tasks, section), expected);
    }
    let mut some = summary(&[(Cause::Syscall, 2)]);
    (some.cpus[0].entries, some.cpus[0].filtered) = (5, 3);
    let section = Filters {
        section: true,
        ..Filters::default()
    };
    assert_eq!(
        in_numbers(&some, section),
        "2 kernel entries on CPU 1: 2 syscall; 3 outside of isolated sections left out"
    );
}

#[test]
fn how_many_the_worst_the_remedy_and_what_next() {
    let tally = tally(&[
        event(entry(1, 300)),
        event(entry(2, 2_100)),
        event(entry(3, 5)),
    ]);
    let summary = summary(&[(Cause::Syscall, 2), (Cause::Unknown, 1)]);
    let text = lines(tally, &summary, None);
    let lines: Vec<_> = text.lines().collect();
    assert_eq!(
        lines[0],
        "3 kernel entries on CPU 1: 2 syscall, 1 without a cause"
    );
    assert!(
        lines[1].starts_with("worst: 2.10 µs on CPU 1, breach 2, spin (pid 7): "),
        "{text}"
    );
    assert!(
        lines[2].starts_with("3 of 3 would be ended by syscall-identity: "),
        "{text}"
    );
    assert_eq!(
        lines[3],
        "next: jq 'select(.remedy == \"syscall-identity\")' 'my log'"
    );
}

#[test]
fn the_place_of_the_worst_is_a_name_or_not_said() {
    let at = |seq, nanos, ip, location: Option<&str>| {
        event(Breach {
            ip: Address(ip),
            location: location.map(Arc::from),
            source: None,
            ..entry(seq, nanos)
        })
    };
    let told = |later| {
        let events = [
            at(1, 900, 0x10, None),
            at(2, 5, 0x20, Some("other+0x1")),
            later,
        ];
        let text = lines(tally(&events), &summary(&[]), None);
        let line = text.lines().nth(1).unwrap_or_default();
        line.to_owned()
    };
    let nameless = told(at(3, 6, 0x30, Some("main+0x2")));
    assert!(
        nameless.contains("breach 1, ") && !nameless.contains(" at 0x"),
        "{nameless}"
    );
    let named = told(at(3, 6, 0x10, Some("main+0x2")));
    assert_eq!(named, format!("{nameless} in main()"));
}

/// The log's own record of the remedy has the CPU.
#[test]
fn a_remedy_names_the_cpus_of_the_breaches_that_it_would_end() {
    let told = |cpus: &[u32]| {
        let events = cpus.iter().zip(1..).map(|(&cpu, seq)| {
            event(Breach {
                cpu: Cpu(cpu),
                remedy: RuleId::new("second-task"),
                ..entry(seq, 1)
            })
        });
        lines(tally(&events.collect::<Vec<_>>()), &summary(&[]), None)
    };
    let text = told(&[3, 3]);
    assert!(
        text.contains("2 of 2 would be ended by second-task: "),
        "{text}"
    );
    assert!(text.contains("pinned to CPU 3."), "{text}");
    let text = told(&[1, 3, 2]);
    assert!(
        text.contains("3 of 3 would be ended by second-task, where N is each of 1-3: "),
        "{text}"
    );
    assert!(text.contains("pinned to CPU N."), "{text}");
    let scattered: Vec<u32> = (0..100).map(|cpu| 2 * cpu).collect();
    let text = told(&scattered);
    assert!(text.contains("would be ended by second-task: "), "{text}");
}

#[test]
fn a_killed_command_is_said_to_be_with_what_explains_it() {
    let task = entry(1, 1).task;
    let kill = Kill {
        at: MonoNanos(5),
        cpu: Cpu(1),
        task,
        of_command: true,
        signal: Signal::KILL,
        fatal: true,
        by: KilledBy::Tracer,
        code: None,
        breach: Some(Seq(1)),
        entry: None,
        history: vec![Seq(1)],
        unlogged: Vec::new(),
        user_stack: Arc::default(),
    };
    // Of the breach itself the record is lost.
    let tally = tally(&[Event::Kill(Box::new(kill))]);
    let command = Command {
        name: "./task",
        pid: Some(Pid(7)),
        was_killed: true,
        section_option: Some("--strict"),
    };
    let text = lines(tally, &summary(&[(Cause::Unknown, 1)]), Some(command));
    assert!(
        text.contains("\npid 7 (spin) was killed on CPU 1 by isol-trace's strict mode: "),
        "{text}"
    );
    assert!(
        text.ends_with("\nnext: isol-trace explain 'my log'"),
        "{text}"
    );
    assert!(!text.contains("did nothing"), "{text}");
}

#[test]
fn a_command_that_never_said_that_it_is_isolated_is_named() {
    for (from_prctl, is_strict, option) in [
        (true, false, Some("--from-prctl")),
        (false, true, Some("--strict")),
        (true, true, Some("--strict")),
        (false, false, None),
    ] {
        let command = Command {
            name: "./task",
            pid: Some(Pid(7)),
            was_killed: false,
            section_option: section_option(from_prctl, is_strict),
        };
        let text = lines(tally(&[]), &summary(&[]), Some(command));
        let expected = option.map(|option| {
            format!("{option} did nothing: ./task never said on a watched CPU that it is isolated")
        });
        match expected {
            Some(expected) => assert!(text.contains(&expected), "{text}"),
            None => assert!(!text.contains("did nothing"), "{text}"),
        }
    }
}
