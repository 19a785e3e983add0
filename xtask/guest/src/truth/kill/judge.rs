//! What a log must say of a kill.

use anyhow::{Context, Result, bail, ensure};

use crate::truth::log::{Breach, Kill, Log};

/// Where nothing more is to be said.
pub(super) fn drop_kill(_kill: Kill) -> String {
    String::new()
}

/// A log without kills.
pub(super) fn nobody(log: &Log) -> Result<String> {
    ensure!(log.kills.is_empty(), "{:?}", log.kills);
    Ok(String::new())
}

/// The one kill of a log.
pub(super) fn only(log: &Log, signal: i32, by: &str) -> Result<Kill> {
    let [kill] = log.kills.as_slice() else {
        bail!("{} kills: {:?}", log.kills.len(), log.kills)
    };
    ensure!(
        kill.signal == signal.unsigned_abs() && kill.by == by,
        "signal {} by {}, and it was {signal} by {by}",
        kill.signal,
        kill.by
    );
    Ok(kill.clone())
}

/// The one kill of a log, which ended its task in a breach of one of these causes.
pub(super) fn killed(log: &Log, signal: i32, by: &str, causes: &[&str]) -> Result<Kill> {
    let kill = only(log, signal, by)?;
    ensure!(kill.fatal, "not fatal");
    let breach = led_by(log, &kill, causes)?;
    ensure!(
        matches!(breach.end.as_str(), "exited" | "return" | "switched"),
        "its breach ended as {}",
        breach.end
    );
    Ok(kill)
}

/// The one signal of a log, which had a handler.
pub(super) fn handled(log: &Log, signal: i32, by: &str) -> Result<Kill> {
    let kill = only(log, signal, by)?;
    ensure!(!kill.fatal, "fatal, with a handler");
    Ok(kill)
}

/// The breach of a kill, whose cause is one of these, by name or kind.
pub(super) fn led_by<'a>(log: &'a Log, kill: &Kill, causes: &[&str]) -> Result<&'a Breach> {
    let seq = kill.breach.context("a kill without its breach")?;
    ensure!(
        kill.history.last() == Some(&seq),
        "the breach {seq} is not the last of {:?}",
        kill.history
    );
    let breach = log
        .breaches
        .iter()
        .find(|breach| breach.seq == seq)
        .with_context(|| format!("no breach {seq} in the log"))?;
    let cause = &breach.cause;
    let name = cause.name.as_deref().unwrap_or_default();
    ensure!(
        causes.iter().any(|one| *one == name || *one == cause.kind),
        "the breach was {cause:?}, and not of {causes:?}"
    );
    ensure!(
        kill.task.tid == breach.task.tid,
        "the breach {seq} is of thread {}",
        breach.task.tid
    );
    if matches!(kill.by.as_str(), "tracer" | "strict-mode") {
        let entry = kill
            .entry
            .as_ref()
            .context("the signal tells of no entry")?;
        ensure!(
            (entry.mono_ns, &entry.cause.kind) == (breach.mono_ns, &cause.kind),
            "the signal tells of another entry than the breach: {entry:?}"
        );
    }
    Ok(breach)
}

/// The breach before that of a kill was this system call of the same task.
pub(super) fn preceded(log: &Log, kill: &Kill, call: &str) -> Result<String> {
    let before = kill.history.iter().rev().nth(1).context("no history")?;
    let breach = log.breaches.iter().find(|breach| breach.seq == *before);
    let name = breach.and_then(|breach| breach.cause.name.as_deref());
    ensure!(name == Some(call), "before it came {name:?}, not {call}");
    Ok(String::new())
}

pub(super) fn by_other(log: &Log) -> Result<String> {
    let kill = only(log, libc::SIGKILL, "remote")?;
    let sender = kill.sender.context("no sender")?;
    ensure!(
        sender.pid.is_some() && sender.pid != kill.task.pid,
        "the sender is {sender:?}"
    );
    Ok(String::new())
}

/// The breach of a kill found no room in the ring, nor did those before it: the kernel's memory has them.
pub(super) fn remembered(log: &Log) -> Result<String> {
    let kill = only(log, libc::SIGKILL, "tracer")?;
    ensure!(
        kill.breach.is_none(),
        "the breach found room: the test did not test"
    );
    let struck = kill
        .entry
        .as_ref()
        .context("the signal tells of no entry")?;
    let name = struck.cause.name.as_deref();
    ensure!(name == Some("getppid"), "the signal tells of {struck:?}");
    let entries = &kill.unlogged;
    ensure!(
        entries.is_sorted_by_key(|entry| entry.mono_ns),
        "not in order: {entries:?}"
    );
    let names: Vec<_> = entries
        .iter()
        .map(|entry| entry.cause.name.as_deref().unwrap_or_default())
        .collect();
    let expected = ["getppid", "prctl", "getppid"];
    ensure!(
        names.ends_with(&expected),
        "the last entries were {names:?}"
    );
    let lost = log.totals(kill.cpu)?.lost;
    Ok(format!("{lost} lost, {} remembered", names.len()))
}
