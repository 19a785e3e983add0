//! What a report says below its first line.

use std::sync::Arc;

use super::{Entry, KillReport, cause::cause, place::of_entry, task::name};
use crate::{
    event::{
        ids::{MonoNanos, Nanos, RuleId},
        model::{
            Activity, ActivityItem, Breach, Cause, End, Function, Kill, KilledBy, Origin, Sender,
        },
    },
    remedy::{Numbers, Rules},
    tui::text::{UNKNOWN, counted, duration, function, kin, maybe_duration, nobody, on_cpu},
};

/// Activities of the entry that are shown.
const ACTIVITIES: usize = 6;

/// The lines, indented.
pub(super) fn of(report: &KillReport, culprit: Option<&Entry>) -> Vec<String> {
    let mut lines = Vec::new();
    frames("call chain", &report.kill.user_stack, &mut lines);
    match culprit {
        Some(Entry::Logged(breach)) => entry(&report.kill, breach, &mut lines),
        Some(Entry::Unlogged(entry)) => lines.push(format!(
            "  entry: {}; known from the kernel's memory alone, its record found no room in the ring",
            took(entry.duration)
        )),
        Some(Entry::OfSignal(entry)) => lines.push(format!(
            "  entry: {} until the signal, which is what tells of it: its own record is not in the log",
            maybe_duration(entry.duration)
        )),
        None => {}
    }
    before(report, &mut lines);
    if let KilledBy::Remote(sender) = &report.kill.by {
        lines.push(format!(
            "  signal: sent by {} on CPU {}{}",
            name(&sender.task),
            sender.cpu,
            code(&report.kill)
        ));
    }
    match report.others() {
        0 => {}
        1 => lines.push("  1 other thread of the process died with it".to_owned()),
        many => lines.push(format!(
            "  {many} other threads of the process died with it"
        )),
    }
    if report.repeats > 0 {
        let more = counted(report.repeats, "more time", "more times");
        lines.push(format!("  the process was signalled so {more}"));
    }
    if let Some(Entry::Logged(breach)) = culprit
        && let Some(id) = rule_of(&report.kill, breach)
    {
        let remedy = remedy(&id, &report.host.with(breach));
        for (number, line) in remedy.into_iter().enumerate() {
            let before = if number == 0 { "  remedy: " } else { "    " };
            lines.push(format!("{before}{line}"));
        }
    }
    lines
}

fn frames(title: &str, frames: &[Arc<str>], lines: &mut Vec<String>) {
    if frames.is_empty() {
        return;
    }
    lines.push(format!("  {title}, innermost first:"));
    lines.extend(frames.iter().map(|frame| format!("    {frame}")));
}

/// The entry itself: how long, what the kernel did in it, who asked for it.
fn entry(kill: &Kill, breach: &Breach, lines: &mut Vec<String>) {
    let mut line = format!(
        "  entry: breach {}, begun {} before the signal, {}, {}",
        breach.seq,
        ago(kill.at, breach.at),
        took(breach.duration),
        end(breach.end)
    );
    match breach.section {
        Some(true) => line.push_str("; inside its isolated section"),
        Some(false) => line.push_str("; not in an isolated section"),
        None => {}
    }
    lines.push(line);
    if !breach.activities.is_empty() {
        let shown = breach.activities.iter().take(ACTIVITIES).map(activity);
        let mut line = format!("  in it: {}", shown.collect::<Vec<_>>().join(", "));
        let more = breach.activities.len().saturating_sub(ACTIVITIES);
        if more > 0 {
            line = format!("{line} and {more} more");
        }
        lines.push(line);
    }
    let asked = breach.activities.iter().filter_map(|it| it.origin.as_ref());
    for sender in breach
        .origins
        .iter()
        .chain(asked)
        .filter_map(Origin::sender)
        .filter(|sender| !is_own_signal(kill, sender))
    {
        asked_by(kill, sender, lines);
    }
}

/// Whether it is how isol-trace's own strict mode raises its signal: an `irq_work` for this function, where a program may
/// not send one at once (`kernel/trace/bpf_trace.c:bpf_send_signal_common`, v6.12).
fn is_own_signal(kill: &Kill, sender: &Sender) -> bool {
    let is_callback = |it: &Function| it.name.as_deref() == Some("do_bpf_send_signal");
    kill.by == KilledBy::Tracer && sender.callback.as_ref().is_some_and(is_callback)
}

fn activity(item: &ActivityItem) -> String {
    let mut words = item.kind.word().to_owned();
    match (&item.name, item.address) {
        (Some(name), _) => words = format!("{words} {name}"),
        (None, Some(address)) => words = format!("{words} {address}"),
        (None, None) => {}
    }
    if let Some(net) = item.net {
        words = format!("{words} {}", duration(net));
    }
    if let Some(whose) = item.kin.as_ref().and_then(kin) {
        words = format!("{words} ({whose})");
    }
    words
}

/// Who asked something of this CPU, and from where.
fn asked_by(kill: &Kill, sender: &Sender, lines: &mut Vec<String>) {
    let who = match &sender.task {
        Some(task) => name(task),
        None => nobody(sender).to_owned(),
    };
    let cpu = on_cpu(sender);
    let mut line = format!("  sender: {who}{cpu}, by {}", sender.via.word());
    if let Some(at) = sender.at {
        line = format!("{line}, {} before the signal", ago(kill.at, at));
    }
    if let Some(callback) = &sender.callback {
        line = format!("{line}, for {}", function(callback));
    }
    if let Some(callsite) = &sender.callsite {
        line = format!("{line}, from {}", function(callsite));
    }
    if sender.inferred {
        line.push_str(" (inferred)");
    }
    lines.push(line);
    if !sender.stack.is_empty() {
        let names: Vec<String> = sender.stack.iter().map(function).collect();
        lines.push(format!("    in the kernel: {}", names.join(" < ")));
    }
    if !sender.user_stack.is_empty() {
        let frames = sender.user_stack.iter();
        lines.push("    in its program, innermost first:".to_owned());
        lines.extend(frames.map(|frame| format!("      {frame}")));
    }
}

/// The entries before it, each on a line.
fn before(report: &KillReport, lines: &mut Vec<String>) {
    let (before, missing) = (report.before(), report.missing());
    let total = before.len() + missing;
    if total == 0 {
        return;
    }
    let title = counted(total as u64, "entry", "entries");
    lines.push(format!("  {title} of the thread before it:"));
    let rows: Vec<[String; 4]> = before.iter().map(|it| row(&report.kill, it)).collect();
    let width = |column: usize| {
        let widths = rows.iter().map(|row| row[column].chars().count());
        widths.max().unwrap_or(0)
    };
    let (when, long) = (width(0), width(1));
    for [ago, took, what, how] in &rows {
        lines.push(format!(
            "    {ago:>when$} before  {took:>long$}  {what}{how}"
        ));
    }
    if missing > 0 {
        lines.push(format!("    {missing} not in this log"));
    }
}

/// When, how long, what and where, how it ended.
fn row(kill: &Kill, before: &Entry) -> [String; 4] {
    let ago = ago(kill.at, before.at());
    match before {
        Entry::Logged(breach) => [
            ago,
            maybe_duration(breach.duration),
            cause(&breach.cause, breach.cause_name.as_deref()),
            match &*of_entry(breach) {
                "" => format!(", {}", end(breach.end)),
                place => format!(" {place}, {}", end(breach.end)),
            },
        ],
        Entry::Unlogged(entry) | Entry::OfSignal(entry) => [
            ago,
            maybe_duration(entry.duration),
            cause(&entry.cause, entry.cause_name.as_deref()),
            format!(" at {}; not logged, from the kernel's memory", entry.ip),
        ],
    }
}

/// How long before the signal.
fn ago(kill: MonoNanos, at: MonoNanos) -> String {
    kill.0
        .checked_sub(at.0)
        .map_or_else(|| UNKNOWN.to_owned(), |ns| duration(Nanos(ns)))
}

fn took(time: Option<Nanos>) -> String {
    match time {
        Some(time) => format!("{} long", duration(time)),
        None => "its end not seen".to_owned(),
    }
}

const fn end(end: End) -> &'static str {
    match end {
        End::Return => "then back in user mode",
        End::Switched => "then another task ran",
        End::Exited => "the task died in it",
        End::Blocked => "slept, then back in user mode",
    }
}

fn code(kill: &Kill) -> String {
    kill.code
        .map_or_else(String::new, |code| format!(" (si_code {code})"))
}

/// The rule for what led to a signal. The breach alone need not show that it did: under `vectors` detection its record is
/// written before. Where strict mode signalled, the breach is what is to be ended, and its own rule holds.
fn rule_of(kill: &Kill, breach: &Breach) -> Option<RuleId> {
    let is_own_doing = matches!(breach.cause.cause(), Cause::Syscall | Cause::PageFault);
    if matches!(kill.by, KilledBy::StrictMode | KilledBy::Tracer) || !is_own_doing {
        return breach.remedy.clone();
    }
    let number = kill.signal.number();
    let mut led = Breach {
        section: Some(false),
        ..breach.clone()
    };
    if kill.fatal {
        led.end = End::Exited;
    }
    let has_it = |item: &ActivityItem| item.kind == Activity::Signal && item.number == number;
    if !led.activities.iter().any(has_it) {
        led.activities.push(ActivityItem {
            kind: Activity::Signal,
            number,
            address: None,
            comm: None,
            net: None,
            name: Some(kill.signal.name().into()),
            kin: None,
            origin: None,
        });
    }
    let found = Rules::embedded().ok().and_then(|rules| rules.find(&led));
    found.map(|rule| rule.id.clone()).or(breach.remedy.clone())
}

/// What would end such breaches, the name of the rule that says so, and its commands.
fn remedy(id: &RuleId, numbers: &Numbers) -> Vec<String> {
    let rule = Rules::embedded().ok().and_then(|rules| rules.get(id));
    rule.map_or_else(|| vec![id.to_string()], |rule| rule.filled(numbers).lines())
}
