//! A report in words: its first line, which says it all, and what is known beyond.

use std::fmt::Write as _;

use isol_trace_common::kill::SI_KERNEL;

use super::{
    Entry, KillReport, KillReports,
    cause::{call_name, cause},
    lines,
    place::{of_entry, of_stack, of_task, of_unlogged},
    task::name,
};
use crate::{
    event::{
        ids::Pid,
        kill::SI_TIMER,
        model::{Breach, Kill, KilledBy, Origin, Sender, TaskId},
        signal::Signal,
    },
    printable::printable,
    tui::text::{counted, function, on_cpu},
};

/// Everything that a log tells, ended by a line feed: reports with an empty line between them.
#[must_use]
pub fn rendered(reports: &KillReports) -> String {
    if reports.reports.is_empty() {
        let breaches = counted(reports.breaches, "breach", "breaches");
        return format!(
            "No task was killed or signalled: the log has {breaches} and no such end.\n"
        );
    }
    let mut text = String::new();
    for (number, report) in reports.reports.iter().enumerate() {
        if number > 0 {
            text.push('\n');
        }
        text.push_str(&rendered_report(report));
    }
    if reports.omitted > 0 {
        // Writing to a string does not fail.
        let _ = writeln!(
            text,
            "\n{} not told here: the log names them (records of type kill).",
            counted(reports.omitted, "further signal is", "further signals are")
        );
    }
    text
}

/// One report, ended by a line feed.
#[must_use]
pub fn rendered_report(report: &KillReport) -> String {
    let culprit = report.culprit();
    let mut lines = vec![headline(report, culprit.as_ref())];
    lines.extend(lines::of(report, culprit.as_ref()));
    let mut text = String::new();
    for line in lines {
        // Names of tasks and functions may have anything in them.
        text.push_str(&printable(&line));
        text.push('\n');
    }
    text
}

/// `pid 1234 (feed) was killed on CPU 3 by strict mode: syscall …`.
fn headline(report: &KillReport, culprit: Option<&Entry>) -> String {
    let kill = &report.kill;
    let ended = match kill.fatal {
        // That is what killing is.
        true if kill.signal == Signal::KILL => "killed".to_owned(),
        true => format!("killed ({})", kill.signal),
        false => format!("signalled ({})", kill.signal),
    };
    let by = match &kill.by {
        KilledBy::StrictMode => " by strict mode".to_owned(),
        KilledBy::Tracer => " by isol-trace's strict mode".to_owned(),
        KilledBy::Task => " by itself".to_owned(),
        KilledBy::Remote(sender) => format!(" by {} on CPU {}", name(&sender.task), sender.cpu),
        // The kernel itself sends these for a terminal's keys alone (`drivers/tty/n_tty.c:isig`, v6.12).
        KilledBy::Kernel if kill.signal == Signal::INTERRUPT => {
            " by its terminal, for Ctrl-C".to_owned()
        }
        KilledBy::Kernel if kill.signal == Signal::QUIT => {
            " by its terminal, for Ctrl-\\".to_owned()
        }
        KilledBy::Kernel => format!(" by the kernel{}", occasion(kill)),
        KilledBy::Unknown => ", by whom is not known".to_owned(),
    };
    let is_its_doing = matches!(
        kill.by,
        KilledBy::StrictMode | KilledBy::Tracer | KilledBy::Task
    );
    let link = match (culprit, is_its_doing) {
        (Some(_), true) => ": ",
        (Some(_), false) => ", during ",
        (None, true) if report.is_blind && kill.is_of_an_unseen_exception() => {
            ": the entry that led to it is not in the log, as detection by vectors sees no exceptions but page faults"
        }
        (None, true) => ": the entry that led to it is not in the log",
        (None, false) => "",
    };
    format!(
        "{} was {ended} on CPU {}{by}{link}{}",
        subject(&kill.task),
        kill.cpu,
        entry_and_place(kill, culprit)
    )
}

/// For what the kernel sent the signal, where only one thing can have been.
fn occasion(kill: &Kill) -> &'static str {
    match (kill.signal.name().as_ref(), kill.code) {
        (_, Some(SI_TIMER)) => ", for a timer that it had set (timer_create)",
        // Nothing else in the kernel sends these: `kernel/time/itimer.c:it_real_fn`,
        // `kernel/time/posix-cpu-timers.c`, `fs/attr.c:inode_newsize_ok` (v6.12).
        ("SIGALRM", Some(SI_KERNEL)) => ", for a timer that it had set (alarm, setitimer)",
        ("SIGVTALRM" | "SIGPROF", Some(SI_KERNEL)) => {
            ", for a timer of its CPU time that it had set (setitimer)"
        }
        ("SIGXCPU", Some(SI_KERNEL)) => {
            ", for a limit of its CPU time (RLIMIT_CPU or RLIMIT_RTTIME)"
        }
        ("SIGXFSZ", _) => ", for the limit of a file's size (RLIMIT_FSIZE)",
        _ => "",
    }
}

/// The entry, who provoked it from elsewhere, and where the task was.
fn entry_and_place(kill: &Kill, culprit: Option<&Entry>) -> String {
    let (detail, cause_name, breach) = match culprit {
        Some(Entry::Logged(breach)) => (&breach.cause, &breach.cause_name, Some(&**breach)),
        Some(Entry::Unlogged(entry) | Entry::OfSignal(entry)) => {
            (&entry.cause, &entry.cause_name, None)
        }
        None => {
            let place = of_task(&kill.user_stack, None, None);
            return if place.is_empty() {
                place
            } else {
                format!("; it was {place}")
            };
        }
    };
    let cause_name = cause_name.as_deref();
    let what = cause(detail, cause_name);
    let mut place = of_task(&kill.user_stack, breach, call_name(detail, cause_name));
    if place.is_empty()
        && let Some(Entry::Unlogged(entry) | Entry::OfSignal(entry)) = culprit
    {
        place = of_unlogged(entry);
    }
    match breach.and_then(first_sender) {
        // The mistake is at the other end.
        Some(sender) if !matches!(kill.by, KilledBy::Remote(_)) => {
            let asked = sent_by(sender, kill.task.pid);
            let what = match sender.callback.as_ref().map(function) {
                Some(callback) => format!("{what} for {callback}"),
                None => what,
            };
            match &*place {
                "" => format!("{what}, {asked}"),
                place => format!("{what}, {asked}; it was {place}"),
            }
        }
        _ if place.is_empty() => what,
        _ => format!("{what} {place}"),
    }
}

/// One breach in a line: its cause, where the task was, and who asked for it from elsewhere.
#[must_use]
pub fn breach_in_words(breach: &Breach) -> String {
    let what = cause(&breach.cause, breach.cause_name.as_deref());
    let line = match of_entry(breach) {
        place if place.is_empty() => what,
        place => format!("{what} {place}"),
    };
    match first_sender(breach) {
        Some(sender) => format!("{line}, {}", sent_by(sender, breach.task.pid)),
        None => line,
    }
}

/// The first who asked from another CPU.
fn first_sender(breach: &Breach) -> Option<&Sender> {
    breach.origins.iter().find_map(|origin| match origin {
        Origin::Remote(sender) | Origin::Tracer(sender) => Some(&**sender),
        _ => None,
    })
}

/// `sent by insmod (pid 88) on CPU 0 at pool.c:88 in shrink(), called from main`.
fn sent_by(sender: &Sender, own: Option<Pid>) -> String {
    let who = match &sender.task {
        Some(task) if task.pid.is_some() && task.pid == own => {
            format!("its own thread {}", thread(task))
        }
        Some(task) => name(task),
        None => "an interrupt".to_owned(),
    };
    let place = of_stack(&sender.user_stack, None);
    let cpu = on_cpu(sender);
    let line = format!("sent by {who}{cpu} {place}");
    line.trim_end().to_owned()
}

/// `pid 1234 (feed)`, `pid 1234, thread 1236 (feed-io),`.
fn subject(task: &TaskId) -> String {
    match task.pid {
        Some(pid) if pid.0 != task.tid.0 => format!("pid {pid}, thread {},", thread(task)),
        Some(pid) => format!("pid {pid}{}", of_comm(task)),
        None => format!("thread {}", thread(task)),
    }
}

/// `1236 (feed-io)`.
fn thread(task: &TaskId) -> String {
    format!("{}{}", task.tid, of_comm(task))
}

fn of_comm(task: &TaskId) -> String {
    match task.comm.as_deref() {
        Some(comm) if !comm.is_empty() => format!(" ({comm})"),
        _ => String::new(),
    }
}
