//! The end of a command that was recorded for the sake of its report.

use std::{fmt::Write as _, os::unix::process::ExitStatusExt as _, process::ExitStatus, sync::Arc};

use super::{KillReport, KillReports, breach_in_words, rendered, rendered_report};
use crate::{
    event::{
        ids::Pid,
        kill::KilledBy,
        model::{Breach, End},
        signal::Signal,
    },
    printable::printable,
    tui::text::counted,
};

/// How a command ended.
#[derive(Clone, Debug)]
pub struct Ended<'a> {
    /// As it was typed.
    pub name: &'a str,
    /// Its process, where it is known.
    pub pid: Option<Pid>,
    /// Its own status.
    pub status: ExitStatus,
    /// Whether it was recorded which processes it has started.
    pub sees_children: bool,
    /// Whether filters have left tasks out.
    pub is_filtered: bool,
    /// The last of its entries that was recorded.
    pub last: Option<Arc<Breach>>,
}

/// What was recorded while a command ran, and how that ended, where no report tells it.
#[must_use]
pub fn rendered_end(recorded: &KillReports, ended: &Ended<'_>) -> String {
    let mut text = if recorded.reports.is_empty() {
        String::new()
    } else {
        reports(recorded, ended)
    };
    if let Some(sentence) = sentence(recorded, ended) {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&sentence);
        text.push('\n');
    }
    text
}

/// The reports of the command and of what it has started. Others are told in a line, for whoever else was killed on its
/// CPUs meanwhile may have nothing to do with it; in full where there is no other story. Strict mode's are its concern in
/// any case.
fn reports(recorded: &KillReports, ended: &Ended<'_>) -> String {
    let (own, others): (Vec<_>, Vec<_>) = recorded
        .reports
        .iter()
        .cloned()
        .partition(|report| is_own(report, ended));
    let meanwhile = if ended.sees_children {
        format!(
            "on these CPUs meanwhile, of processes that {} was not seen to start:\n",
            printable(ended.name)
        )
    } else {
        "on these CPUs meanwhile:\n".to_owned()
    };
    if own.is_empty() {
        // Which of them are its own nobody knows, where that is not recorded.
        let title = if ended.sees_children { &*meanwhile } else { "" };
        return format!("{title}{}", rendered(recorded));
    }
    let mut text = rendered(&KillReports {
        reports: own,
        ..*recorded
    });
    if !others.is_empty() {
        text.push_str("\nalso ");
        text.push_str(&meanwhile);
    }
    for report in &others {
        let report = rendered_report(report);
        let line = report.lines().next().unwrap_or_default();
        // Writing to a string does not fail.
        let _ = writeln!(text, "  {line}");
    }
    text
}

/// Whether a report is the command's, or of something that it has started.
fn is_own(report: &KillReport, ended: &Ended<'_>) -> bool {
    let kill = &report.kill;
    kill.of_command
        || (ended.pid.is_some() && kill.task.pid == ended.pid)
        || matches!(kill.by, KilledBy::StrictMode | KilledBy::Tracer)
}

/// What no report tells of the command's end; `None` where one does.
fn sentence(recorded: &KillReports, ended: &Ended<'_>) -> Option<String> {
    let name = printable(ended.name);
    let breaches = counted(recorded.breaches, "breach was", "breaches were");
    let Some(number) = ended.status.signal() else {
        let code = ended.status.code().unwrap_or_default();
        return Some(format!(
            "{name} was not killed: it ended with exit status {code}; {breaches} recorded."
        ));
    };
    let signal = u32::try_from(number).ok().and_then(Signal::new);
    let mut deaths = recorded.reports.iter().map(|report| &report.kill);
    let is_told = deaths.any(|kill| {
        // In a PID namespace numbers are others than those that the kernel shows.
        kill.fatal && (kill.task.pid == ended.pid || Some(kill.signal) == signal)
    });
    if is_told {
        return None;
    }
    let signal = signal.map_or_else(|| number.to_string(), |signal| signal.to_string());
    let left_out = if ended.is_filtered {
        ", or a filter (--pid, --comm, --from-prctl) left it out"
    } else {
        ""
    };
    let no_room = match recorded.lost {
        0 => String::new(),
        lost => format!(
            ", or that is among {} for which there was no room",
            counted(lost, "record", "records")
        ),
    };
    // The kernel's `do_exit` alone, without a signal: `kernel/seccomp.c:__secure_computing_strict`, v6.12.
    let (died, before) = match ended.last.as_deref() {
        Some(last) if last.end == End::Exited => (
            format!(
                "it died on CPU {} in its breach {}, {}, and no signal was delivered there: the kernel ended it without one, as seccomp does",
                last.cpu,
                last.seq,
                printable(&breach_in_words(last))
            ),
            String::new(),
        ),
        last => (
            "it died on a CPU that is not watched, or the kernel ended it without delivering a signal, as seccomp does"
                .to_owned(),
            last.map_or_else(String::new, |last| {
                format!(
                    "; its last breach was {} on CPU {}, {}",
                    last.seq,
                    last.cpu,
                    printable(&breach_in_words(last))
                )
            }),
        ),
    };
    Some(format!(
        "{name} was killed ({signal}), and no record says by whom: {died}{left_out}{no_room}{before}; {breaches} recorded."
    ))
}

#[cfg(test)]
mod tests {
    use isol_trace_common::cause::Cause;

    use super::*;
    use crate::event::{
        breach::tests::breach,
        ids::{Cpu, Seq},
        model::CauseDetail,
    };

    fn told_of_status(raw: i32, recorded: &KillReports, last: Option<Breach>) -> String {
        let ended = Ended {
            name: "./my-task",
            pid: Some(Pid(7)),
            status: ExitStatus::from_raw(raw),
            sees_children: true,
            is_filtered: recorded.breaches == 0,
            last: last.map(Arc::new),
        };
        rendered_end(recorded, &ended)
    }

    #[test]
    fn an_end_without_a_story_is_told_in_a_sentence() {
        let mut recorded = KillReports {
            breaches: 12,
            ..KillReports::default()
        };
        assert_eq!(
            told_of_status(3 << 8, &recorded, None),
            "./my-task was not killed: it ended with exit status 3; 12 breaches were recorded.\n"
        );
        assert_eq!(
            told_of_status(11, &recorded, None),
            "./my-task was killed (SIGSEGV), and no record says by whom: it died on a CPU that is not watched, or the \
             kernel ended it without delivering a signal, as seccomp does; 12 breaches were recorded.\n"
        );
        recorded.breaches = 0;
        assert_eq!(
            told_of_status(11, &recorded, None),
            "./my-task was killed (SIGSEGV), and no record says by whom: it died on a CPU that is not watched, or the \
             kernel ended it without delivering a signal, as seccomp does, or a filter (--pid, --comm, --from-prctl) \
             left it out; 0 breaches were recorded.\n"
        );
        (recorded.lost, recorded.breaches) = (1, 1);
        assert_eq!(
            told_of_status(9, &recorded, None),
            "./my-task was killed (SIGKILL), and no record says by whom: it died on a CPU that is not watched, or the \
             kernel ended it without delivering a signal, as seccomp does, or that is among 1 record for which there \
             was no room; 1 breach was recorded.\n"
        );
    }

    /// A task that is pinned to a watched CPU does not die on another one.
    #[test]
    fn an_end_without_a_signal_names_the_last_entry() {
        let recorded = KillReports {
            breaches: 2,
            ..KillReports::default()
        };
        let last = Breach {
            seq: Seq(2),
            cpu: Cpu(1),
            end: End::Exited,
            cause: CauseDetail::Plain(Cause::LocalTimer),
            cause_name: None,
            location: Some("main+0x1".into()),
            source: None,
            origins: Vec::new(),
            ..breach()
        };
        assert_eq!(
            told_of_status(9, &recorded, Some(last.clone())),
            "./my-task was killed (SIGKILL), and no record says by whom: it died on CPU 1 in its breach 2, local_timer \
             in main(), and no signal was delivered there: the kernel ended it without one, as seccomp does; 2 \
             breaches were recorded.\n"
        );
        let earlier = Breach {
            end: End::Return,
            ..last
        };
        assert_eq!(
            told_of_status(9, &recorded, Some(earlier)),
            "./my-task was killed (SIGKILL), and no record says by whom: it died on a CPU that is not watched, or the \
             kernel ended it without delivering a signal, as seccomp does; its last breach was 2 on CPU 1, \
             local_timer in main(); 2 breaches were recorded.\n"
        );
    }
}
