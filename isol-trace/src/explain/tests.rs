//! Reports to the letter, and no event of which none could be made.

use std::{os::unix::process::ExitStatusExt as _, sync::Arc};

use isol_trace_common::{cause::Cause, kill::SI_KERNEL, record::End};
use proptest::prelude::*;

use super::*;
use crate::{
    consume::Consumer as _,
    event::{
        ids::{Address, Cpu, MonoNanos, Nanos, Pid, RuleId, Seq},
        kill::SI_TIMER,
        model::{
            Breach, CauseDetail, Detection, Event, Function, Kill, KilledBy, Signaller, Unlogged,
        },
        signal::Signal,
    },
    wire::tests::any,
};
use sample::{END, entry, history, kill, killed, logged, shootdown, stack, task};

mod sample;

fn tell(events: impl IntoIterator<Item = Event>) -> String {
    let mut gatherer = Gatherer::default();
    for event in events {
        gatherer.event(&event);
    }
    rendered(&gatherer.finish())
}

/// The history, this breach, and this end.
fn tell_of(breach: Breach, kill: Kill) -> String {
    tell(history().into_iter().chain([logged(breach), killed(kill)]))
}

#[test]
fn a_system_call_by_strict_mode() {
    let breach = Breach {
        end: End::Exited,
        remedy: RuleId::new("syscall-io"),
        ..entry(17, 4_100)
    };
    let text = tell_of(breach, kill());
    let page = include_str!("../../../docs/explain.md");
    assert!(page.contains(&text), "docs/explain.md shows another report");
    insta::assert_snapshot!(text);
}

#[test]
fn a_page_fault_by_the_tracers_strict_mode() {
    let breach = Breach {
        end: End::Exited,
        cause: CauseDetail::PageFault {
            address: Address(0x7f00_dead_b000),
            write: true,
            user: true,
            fetch: false,
            protection: false,
        },
        cause_name: None,
        location: Some("grow+0x40".into()),
        source: Some("pool.c:12".into()),
        remedy: RuleId::new("first-touch"),
        ..entry(17, 4_100)
    };
    let kill = Kill {
        by: KilledBy::Tracer,
        user_stack: stack(&[
            "clear (pool.h:7) [inlined]",
            "grow+0x40 (pool.c:12)",
            "main+0x1f (feed.c:10)",
        ]),
        ..kill()
    };
    insta::assert_snapshot!(tell_of(breach, kill));
}

/// The remedy of a report names this rule.
fn assert_remedy(breach: &Breach, signal: u32, by: KilledBy, rule: &str) {
    let kill = Kill {
        signal: Signal::new(signal).unwrap(),
        by,
        ..kill()
    };
    let text = tell_of(breach.clone(), kill);
    let remedy = text
        .lines()
        .find_map(|line| line.strip_prefix("  remedy: "));
    let (found, _) = remedy.unwrap().split_once(':').unwrap();
    assert_eq!(found, rule, "{text}");
}

#[test]
fn what_a_signal_answers_is_no_matter_of_locked_memory() {
    let fault = Breach {
        end: End::Exited,
        cause: CauseDetail::PageFault {
            address: Address(8),
            write: false,
            user: true,
            fetch: false,
            protection: false,
        },
        cause_name: None,
        remedy: RuleId::new("first-touch"),
        ..entry(17, 4_100)
    };
    for signal in [7, 11] {
        assert_remedy(&fault, signal, KilledBy::Task, "fault-signal");
    }
    // Strict mode ended it, or another process: the kernel would have served the fault.
    assert_remedy(&fault, 9, KilledBy::Tracer, "first-touch");
    assert_remedy(&fault, 9, KilledBy::Unknown, "first-touch");
    let mut killed = fault;
    (killed.section, killed.remedy) = (Some(false), RuleId::new("fault-signal"));
    assert_remedy(&killed, 9, KilledBy::Unknown, "first-touch");
}

#[test]
fn what_a_call_raises_against_the_task_is_no_matter_of_the_call() {
    let call = |name: &str, remedy| Breach {
        cause_name: Some(name.into()),
        remedy: RuleId::new(remedy),
        ..entry(17, 4_100)
    };
    let (abort, write) = (
        call("tgkill", "syscall-signal"),
        call("write", "syscall-io"),
    );
    assert_remedy(&abort, 6, KilledBy::Task, "own-signal");
    assert_remedy(&write, 13, KilledBy::Task, "own-signal");
    assert_remedy(&write, 25, KilledBy::Kernel, "own-signal");
    assert_remedy(&write, 15, KilledBy::Unknown, "syscall-io");
}

#[test]
fn a_siblings_munmap_by_strict_mode() {
    let kill = Kill {
        user_stack: stack(&["spin+0x8 (feed.c:11)", "main+0x1f (feed.c:10)"]),
        ..kill()
    };
    insta::assert_snapshot!(tell_of(shootdown(), kill));
}

/// How isol-trace's own strict mode raises its signal is no act of the program.
#[test]
fn the_signal_of_the_tracers_strict_mode_has_no_sender() {
    let has_sender = |by, callback: &str| {
        let mut breach = shootdown();
        let sender = breach.origins[0].sender_mut().expect("a thread");
        sender.callback = Some(Function {
            address: None,
            name: Some(callback.into()),
        });
        tell_of(breach, Kill { by, ..kill() }).contains("  sender: ")
    };
    assert!(!has_sender(KilledBy::Tracer, "do_bpf_send_signal"));
    assert!(has_sender(KilledBy::Tracer, "flush_tlb_func"));
    assert!(has_sender(KilledBy::StrictMode, "do_bpf_send_signal"));
}

#[test]
fn a_segmentation_fault() {
    let breach = Breach {
        end: End::Exited,
        section: None,
        cause: CauseDetail::PageFault {
            address: Address(0),
            write: false,
            user: true,
            fetch: false,
            protection: false,
        },
        cause_name: None,
        location: Some("next+0x4".into()),
        source: Some("list.c:5".into()),
        ..entry(17, 9_000)
    };
    let kill = Kill {
        signal: Signal::new(11).unwrap(),
        by: KilledBy::Task,
        code: Some(1),
        user_stack: Arc::default(),
        ..kill()
    };
    insta::assert_snapshot!(tell_of(breach, kill));
}

#[test]
fn a_kill_by_another_process() {
    let breach = Breach {
        end: End::Exited,
        cause: CauseDetail::Plain(Cause::Reschedule),
        cause_name: None,
        ..entry(17, 9_000)
    };
    let kill = Kill {
        by: KilledBy::Remote(Signaller {
            cpu: Cpu(0),
            task: task(88, 88, "bash"),
        }),
        code: Some(0),
        user_stack: stack(&["spin+0x8 (feed.c:11)", "main+0x1f (feed.c:10)"]),
        ..kill()
    };
    insta::assert_snapshot!(tell_of(breach, kill));
}

#[test]
fn a_signal_that_is_handled() {
    let io = task(1234, 1236, "feed-io");
    let kill = Kill {
        signal: Signal::new(10).unwrap(),
        fatal: false,
        task: io.clone(),
        ..kill()
    };
    let again = Kill {
        at: MonoNanos(END + 5),
        ..kill.clone()
    };
    let mut events = history();
    events.push(logged(entry(17, 4_100)));
    for event in &mut events {
        if let Event::Breach(breach) = event {
            breach.task = io.clone();
        }
    }
    events.extend([killed(kill), killed(again.clone()), killed(again)]);
    insta::assert_snapshot!(tell(events));
}

#[test]
fn a_breach_that_was_lost() {
    let unlogged = |before: u64, duration| Unlogged {
        at: MonoNanos(END - before),
        duration,
        cause: CauseDetail::Syscall {
            number: Some(39),
            args: Some([0; 6]),
        },
        cause_name: Some("getpid".into()),
        ip: Address(0x0040_1000),
        location: None,
        source: None,
    };
    let kill = Kill {
        breach: None,
        history: [9, 11, 12].map(Seq).into(),
        unlogged: vec![unlogged(800_000, Some(Nanos(900))), unlogged(2_000, None)],
        ..kill()
    };
    let events = history().into_iter().chain([killed(kill)]);
    insta::assert_snapshot!(tell(events));
}

/// The signal itself tells of the entry whose record is not there.
#[test]
fn a_breach_that_was_lost_is_in_the_signal() {
    let rendered_of = |breach: Option<Seq>, source: Option<&str>| {
        let entry = Unlogged {
            at: MonoNanos(END - 2_000),
            duration: Some(Nanos(700)),
            cause: CauseDetail::Syscall {
                number: Some(39),
                args: Some([0; 6]),
            },
            cause_name: Some("getpid".into()),
            ip: Address(0x0040_1000),
            location: source.map(|_| "work+0x8".into()),
            source: source.map(Into::into),
        };
        let remembered = Unlogged {
            duration: None,
            ..entry.clone()
        };
        let kill = Kill {
            breach,
            history: vec![Seq(9)],
            entry: Some(entry),
            unlogged: vec![remembered],
            user_stack: Arc::default(),
            ..kill()
        };
        tell(history().into_iter().chain([killed(kill)]))
    };
    insta::assert_snapshot!(rendered_of(None, Some("feed.c:12")));
    let text = rendered_of(Some(Seq(900)), None);
    assert!(text.contains("syscall getpid() at 0x401000"), "{text}");
    assert!(!text.contains("from the kernel's memory"), "once: {text}");
}

#[test]
fn nothing_is_known_but_the_signal() {
    let kill = Kill {
        by: KilledBy::Unknown,
        breach: None,
        history: Vec::new(),
        user_stack: Arc::default(),
        ..kill()
    };
    assert_eq!(
        tell([killed(kill.clone())]),
        "pid 1234 (feed) was killed on CPU 3, by whom is not known\n"
    );
    let by_kernel = Kill {
        by: KilledBy::Kernel,
        ..kill.clone()
    };
    assert!(
        tell([killed(by_kernel)])
            .starts_with("pid 1234 (feed) was killed on CPU 3 by the kernel\n")
    );
    let by_key = Kill {
        by: KilledBy::Kernel,
        signal: Signal::INTERRUPT,
        ..kill.clone()
    };
    assert!(
        tell([killed(by_key)]).starts_with(
            "pid 1234 (feed) was killed (SIGINT) on CPU 3 by its terminal, for Ctrl-C\n"
        )
    );
    let strict = Kill {
        by: KilledBy::StrictMode,
        user_stack: stack(&["main+0x1f (feed.c:10)"]),
        ..kill
    };
    let text = tell([killed(strict)]);
    assert!(
        text.contains(
            " by strict mode: the entry that led to it is not in the log; it was at feed.c:10 in main()\n"
        ),
        "{text}"
    );
}

#[test]
fn why_an_exception_has_no_entry_is_said() {
    let rendered_of = |detection, signal, code| {
        let mut header = any::plain_header();
        header.cpus = vec![(Cpu(3), detection)];
        let kill = Kill {
            by: KilledBy::Task,
            signal: Signal::from_text(signal).unwrap(),
            code: Some(code),
            breach: None,
            history: Vec::new(),
            user_stack: Arc::default(),
            ..kill()
        };
        tell([Event::Header(header), killed(kill)])
    };
    let why = "the entry that led to it is not in the log, as detection by vectors sees no exceptions but page faults\n";
    for (signal, code) in [
        ("FPE", 1),
        ("ILL", 2),
        ("TRAP", SI_KERNEL),
        ("SEGV", SI_KERNEL),
    ] {
        let text = rendered_of(Detection::Vectors, signal, code);
        assert!(text.ends_with(why), "{text}");
        let text = rendered_of(Detection::ContextTracking, signal, code);
        assert!(text.ends_with(" is not in the log\n"), "{text}");
    }
    // A page fault, and a signal that the task has sent itself.
    for (signal, code) in [("SEGV", 1), ("BUS", 2), ("FPE", -6)] {
        let text = rendered_of(Detection::Vectors, signal, code);
        assert!(text.ends_with(" is not in the log\n"), "{text}");
    }
}

#[test]
fn for_what_the_kernel_sent_a_signal_is_said_where_it_is_certain() {
    let rendered_of = |signal, code| {
        tell([killed(Kill {
            by: KilledBy::Kernel,
            signal: Signal::from_text(signal).unwrap(),
            code: Some(code),
            breach: None,
            history: Vec::new(),
            user_stack: Arc::default(),
            ..kill()
        })])
    };
    for (signal, code, occasion) in [
        (
            "ALRM",
            SI_KERNEL,
            ", for a timer that it had set (alarm, setitimer)",
        ),
        (
            "PROF",
            SI_KERNEL,
            ", for a timer of its CPU time that it had set (setitimer)",
        ),
        (
            "USR1",
            SI_TIMER,
            ", for a timer that it had set (timer_create)",
        ),
        (
            "XCPU",
            SI_KERNEL,
            ", for a limit of its CPU time (RLIMIT_CPU or RLIMIT_RTTIME)",
        ),
        ("XFSZ", 0, ", for the limit of a file's size (RLIMIT_FSIZE)"),
        ("KILL", SI_KERNEL, ""),
    ] {
        let text = rendered_of(signal, code);
        assert!(
            text.ends_with(&format!(" by the kernel{occasion}\n")),
            "{text}"
        );
    }
}

#[test]
fn a_log_without_kills_says_so() {
    assert_eq!(
        tell(history()),
        "No task was killed or signalled: the log has 2 breaches and no such end.\n"
    );
}

#[test]
fn a_process_is_told_once() {
    let other = |tid, before: u64| {
        killed(Kill {
            at: MonoNanos(END - before),
            task: task(1234, tid, "feed-io"),
            by: KilledBy::Unknown,
            breach: None,
            ..kill()
        })
    };
    let events = [
        other(1236, 50),
        logged(entry(17, 4_100)),
        killed(kill()),
        other(1237, 0),
    ];
    let text = tell(events.clone());
    assert!(text.starts_with("pid 1234 (feed) was killed on CPU 3 by strict mode: syscall write(1, 0x7ffd00001000, 12) at feed.rs:42 in publish(), called from main\n"), "{text}");
    assert!(
        text.contains("\n  2 other threads of the process died with it\n"),
        "{text}"
    );
    // The number again: another process.
    let text = tell(events.into_iter().chain([other(1236, 0)]));
    assert_eq!(text.split("\n\n").count(), 2, "{text}");
}

#[test]
fn a_breach_may_come_after_its_kill() {
    let in_order = tell_of(entry(17, 4_100), kill());
    let mut events = history();
    events.insert(0, killed(kill()));
    events.push(logged(entry(17, 4_100)));
    assert_eq!(tell(events), in_order);
}

#[test]
fn a_command_is_told_of_by_its_report_or_by_a_sentence() {
    let told_after = |raw, pid| {
        let mut gatherer = Gatherer::default();
        gatherer.event(&killed(kill()));
        let ended = Ended {
            name: "./feed",
            pid: Some(Pid(pid)),
            status: std::process::ExitStatus::from_raw(raw),
            sees_children: false,
            is_filtered: false,
            last: gatherer.last_of(Pid(pid)),
        };
        rendered_end(&gatherer.finish(), &ended)
    };
    let report = tell([killed(kill())]);
    assert_eq!(told_after(9, 1234), report);
    assert_eq!(
        told_after(15, 1234),
        report,
        "a fatal signal is delivered as SIGKILL"
    );
    assert_eq!(told_after(9, 2), report, "in a PID namespace");
    let text = told_after(0, 1);
    assert_eq!(
        text,
        format!(
            "{report}\n./feed was not killed: it ended with exit status 0; 0 breaches were recorded.\n"
        )
    );
    assert!(told_after(11, 1).contains("\n\n./feed was killed (SIGSEGV)"));
}

#[test]
fn of_others_a_command_that_was_killed_is_told_in_a_line() {
    let mut gatherer = Gatherer::default();
    let other = |pid, by| Kill {
        task: task(pid, pid, "other"),
        by,
        ..kill()
    };
    for event in history() {
        gatherer.event(&event);
    }
    let strangers = Kill {
        of_command: false,
        ..other(5, KilledBy::Kernel)
    };
    let [childs, grandchilds] = [6, 7].map(|pid| other(pid, KilledBy::Task));
    for kill in [&strangers, &kill(), &childs, &grandchilds] {
        gatherer.event(&killed(kill.clone()));
    }
    let recorded = gatherer.finish();
    let told_after = |pid| {
        let ended = Ended {
            name: "./feed",
            pid: Some(Pid(pid)),
            status: std::process::ExitStatus::from_raw(9),
            sees_children: true,
            is_filtered: false,
            last: None,
        };
        rendered_end(&recorded, &ended)
    };
    let text = told_after(1234);
    let (full, line) = text
        .split_once(
            "\nalso on these CPUs meanwhile, of processes that ./feed was not seen to start:\n",
        )
        .unwrap();
    assert_eq!(
        full,
        tell(
            history()
                .into_iter()
                .chain([kill(), childs, grandchilds].map(killed))
        )
    );
    let report = tell(history().into_iter().chain([killed(strangers)]));
    assert_eq!(line, format!("  {}\n", report.lines().next().unwrap()));
}

/// Whoever was killed while it ran.
#[test]
fn a_stranger_alone_is_not_taken_for_the_command() {
    let told = |sees_children| {
        let stranger = Kill {
            of_command: false,
            by: KilledBy::Task,
            ..kill()
        };
        let mut gatherer = Gatherer::default();
        gatherer.event(&killed(stranger.clone()));
        let ended = Ended {
            name: "./feed",
            pid: Some(Pid(2)),
            status: std::process::ExitStatus::from_raw(0),
            sees_children,
            is_filtered: false,
            last: None,
        };
        let text = rendered_end(&gatherer.finish(), &ended);
        let report = tell([killed(stranger)]);
        let (title, end) = text.split_once(&report).unwrap();
        assert!(end.starts_with("\n./feed was not killed"), "{end}");
        title.to_owned()
    };
    assert_eq!(
        told(true),
        "on these CPUs meanwhile, of processes that ./feed was not seen to start:\n"
    );
    assert_eq!(told(false), "", "nobody knows, as in a PID namespace");
}

#[test]
fn memory_is_bounded() {
    let mut gatherer = Gatherer::default();
    for number in 0..10_000 {
        let mut one = entry(u64::from(number), 0);
        one.cpu = Cpu(number);
        gatherer.event(&logged(one));
    }
    for number in 0..300 {
        let task = task(number, number, "t");
        gatherer.event(&killed(Kill { task, ..kill() }));
    }
    let told = gatherer.finish();
    assert_eq!((told.breaches, told.omitted), (10_000, 44));
    let text = rendered(&told);
    assert!(text.ends_with(
        "\n\n44 further signals are not told here: the log names them (records of type kill).\n"
    ));
}

proptest! {
    /// Whatever a log holds can be told, on printable lines; a report begins with its first line alone.
    #[test]
    fn any_log_is_told(events in proptest::collection::vec(any::event(), 0..12)) {
        let text = tell(events);
        prop_assert!(text.ends_with('\n'));
        for report in text.trim_end().split("\n\n") {
            for (number, line) in report.lines().enumerate() {
                prop_assert!(!line.contains(char::is_control), "{line:?}");
                prop_assert_eq!(number > 0, line.starts_with("  "), "{}", line);
            }
        }
    }
}

#[test]
fn numbers_of_an_earlier_log_in_the_same_file_are_no_longer_meant() {
    let mut gatherer = Gatherer::default();
    gatherer.event(&logged(entry(17, 4_100)));
    gatherer.event(&Event::Header(any::plain_header()));
    gatherer.event(&killed(kill()));
    let told = gatherer.finish();
    assert_eq!(told.reports[0].culprit(), None);
}
