//! What the reader uses while nothing happens and in a storm, and how fast a storm it follows.

use std::{
    thread,
    time::{Duration, Instant},
};

use anyhow::Result;
use isol_trace_guest::syscalls;

use super::{
    contender::Setting,
    figures::{grouped, shown},
    recorder::{Account, Options, Recorder},
    report::Table,
    usage::{self, Memory},
};
use crate::say::say;

/// How long nothing happens.
const IDLE: Duration = Duration::from_secs(10);

/// How long a storm lasts.
const STORM: Duration = Duration::from_secs(5);

/// After arming: what attaching has used is not counted.
const SETTLE: Duration = Duration::from_millis(700);

/// A name that no thread has: what the watched CPU does is filtered in the kernel, so that
/// nothing happens even on a machine that others use.
const NOBODY: &str = "isol-nobody";

/// What the reader used over some time.
#[derive(Clone, Debug)]
pub(super) struct Use {
    /// Share of one CPU.
    pub(super) share: f64,
    /// Its memory at the end.
    pub(super) memory: Memory,
    /// System calls that the watched CPU's loop made.
    pub(super) calls: u64,
    /// The same a second.
    pub(super) rate: f64,
    /// What its log says.
    pub(super) account: Account,
}

/// Nothing happens.
pub(super) fn idle(place: &Setting) -> Result<Use> {
    say("bench: the reader while nothing happens");
    let options = Options {
        comm: Some(NOBODY),
        ..Options::default()
    };
    observe(place, &options, || {
        thread::sleep(IDLE);
        Ok(0)
    })
}

/// System calls as fast as they go.
pub(super) fn storm(place: &Setting) -> Result<Use> {
    say("bench: the reader in a storm");
    let watched = place.watched as usize;
    observe(place, &Options::default(), move || {
        call(watched, None, STORM)
    })
}

/// How long each program runs, by the kernel's own measuring.
pub(super) fn programs(place: &Setting) -> Result<Account> {
    say("bench: time in each program");
    let options = Options {
        bpf_stats: true,
        ..Options::default()
    };
    let watched = place.watched as usize;
    let paced = Some(100_000);
    Ok(observe(place, &options, move || {
        call(watched, paced, Duration::from_secs(3))
    })?
    .account)
}

fn observe(place: &Setting, options: &Options, load: impl FnOnce() -> Result<u64>) -> Result<Use> {
    let recorder = Recorder::start(&place.isol_trace, place.watched, options)?;
    let pid = recorder.pid();
    thread::sleep(SETTLE);
    let (used, begin) = (usage::cpu_time(pid)?, Instant::now());
    let calls = load()?;
    let elapsed = begin.elapsed().as_secs_f64();
    let used = usage::cpu_time(pid)?.saturating_sub(used);
    let memory = usage::memory(pid)?;
    Ok(Use {
        share: used.as_secs_f64() / elapsed,
        memory,
        calls,
        rate: calls as f64 / elapsed,
        account: recorder.stop()?,
    })
}

/// The loop on a thread of its own, which is then bound to that CPU.
fn call(cpu: usize, rate: Option<u32>, time: Duration) -> Result<u64> {
    thread::spawn(move || syscalls::paced(cpu, rate, time))
        .join()
        .map_err(|_panic| anyhow::anyhow!("the loop failed"))?
}

/// One rate that was tried.
#[derive(Clone, Debug)]
pub(super) struct Step {
    /// Calls a second that were made.
    pub(super) rate: f64,
    /// Records lost.
    pub(super) lost: u64,
    /// The account has no fewer entries than there were calls.
    pub(super) counted: bool,
    /// Share of a CPU that the reader used.
    pub(super) share: f64,
}

/// Rates that are tried, calls a second; the last is as fast as it goes.
const RATES: [Option<u32>; 8] = [
    Some(100_000),
    Some(200_000),
    Some(400_000),
    Some(600_000),
    Some(800_000),
    Some(1_000_000),
    Some(1_500_000),
    None,
];

/// Tries rate after rate until records are lost twice.
pub(super) fn sustain(place: &Setting) -> Result<Vec<Step>> {
    let mut steps: Vec<Step> = Vec::new();
    for rate in RATES {
        say(format!(
            "bench: breaches a second without loss, {}",
            rate.map_or_else(
                || "as fast as it goes".to_owned(),
                |rate| grouped(f64::from(rate))
            )
        ));
        let watched = place.watched as usize;
        let one = observe(place, &Options::default(), move || {
            call(watched, rate, Duration::from_secs(3))
        })?;
        steps.push(Step {
            rate: one.rate,
            lost: one.account.lost,
            counted: one.account.entries >= one.calls,
            share: one.share,
        });
        if steps.iter().filter(|step| step.lost > 0).count() >= 2 {
            break;
        }
    }
    Ok(steps)
}

/// The fastest rate at which nothing was lost.
pub(super) fn fastest(steps: &[Step]) -> Option<f64> {
    steps
        .iter()
        .filter(|step| step.lost == 0)
        .map(|step| step.rate)
        .max_by(f64::total_cmp)
}

/// The rates in a table.
pub(super) fn rates(steps: &[Step], table: &mut Table) {
    table.head(&[
        "breaches a second",
        "records lost",
        "reader, share of a CPU",
    ]);
    for step in steps {
        table.row(&[
            &grouped(step.rate),
            &grouped(step.lost as f64),
            &percent(step.share),
        ]);
    }
}

/// Idle and storm in a table.
pub(super) fn table(idle: &Use, storm: &Use, table: &mut Table) {
    table.head(&["the reader", "nothing happens", "storm"]);
    let mib = |kib: u64| format!("{} MiB", shown(Some(kib as f64 / 1024.0), 1));
    let mut row =
        |name: &str, of: &dyn Fn(&Use) -> String| table.row(&[name, &of(idle), &of(storm)]);
    row("breaches a second", &|it| grouped(it.rate));
    row("share of a CPU", &|it| percent(it.share));
    row("anonymous memory (RssAnon)", &|it| mib(it.memory.anonymous));
    row(
        "mapped rings, resident (counted twice by the kernel's mapping)",
        &|it| mib(it.memory.rings),
    );
    row("other mapped files, the binary among them", &|it| {
        mib(it.memory.file.saturating_sub(it.memory.rings))
    });
}

fn percent(share: f64) -> String {
    format!("{} %", shown(Some(share * 100.0), 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_that_lost_records_is_not_sustained() {
        let step = |rate, lost| Step {
            rate,
            lost,
            counted: true,
            share: 0.5,
        };
        let steps = [step(100.0, 0), step(200.0, 0), step(400.0, 3)];
        assert_eq!(fastest(&steps), Some(200.0));
        assert_eq!(fastest(&steps[2..]), None);
    }
}
