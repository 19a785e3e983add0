//! The independent count: ftrace and `/proc/interrupts` say as much as the tracer, to the last entry.

use std::{fs, thread, time::Duration};

use anyhow::{Result, bail, ensure};

use super::{
    bench::{Bench, Group},
    independent::Ftrace,
    load::Load,
    log::{Breach, Log},
    sys::{self, PerfAttr},
    tracer::Tracer,
    trigger::load,
    window::Window,
};

/// The group.
#[must_use]
pub fn group() -> Group {
    Group {
        tests: vec![
            (
                "count_ftrace",
                "as many entries as ftrace's own user_exit events between arming and disarming",
            ),
            (
                "count_interrupts",
                "as many local timers, reschedules, calls, irq_works and NMIs as /proc/interrupts counts",
            ),
        ],
        run,
    }
}

/// Around arming and disarming, nanoseconds: what falls there may be counted or not.
const FUZZY: u64 = 2_000_000;

/// How often interrupts are compared. Where the machine is slow, an entry may last so long that more comes than its
/// list of activities holds: what came then cannot be told apart.
const WINDOWS: usize = 3;

fn run(bench: &mut Bench) -> Result<()> {
    let cpu = bench.guest.cpu();
    let ftrace = Ftrace::count(&bench.guest.watched)?;
    let mut spinner = Load::start(&bench.guest, load::SPIN, cpu, 0)?;
    let tracer = Tracer::start::<&str>(&[])?;
    spinner.begin()?;
    let mut calm = Vec::new();
    for _ in 0..WINDOWS {
        let (window, ()) = Window::around(&bench.guest, || disturb(bench, spinner.pid()))?;
        calm.push(window);
    }
    // Apart from the others: what the kernel prints for it brings more activities than a list holds.
    let (nmis, ()) = Window::around(&bench.guest, || {
        fs::write("/proc/sysrq-trigger", "l")?;
        thread::sleep(Duration::from_millis(300));
        Ok(())
    })?;
    // One at a time: two tasks would bring the tick back.
    drop(spinner);
    // It takes another name while it is watched, which proves a probe.
    let mut calls = Load::start(&bench.guest, load::NAMED_CALLS, cpu, 500)?;
    calls.perform()?;
    drop(calls);
    let log = bench.finish(tracer)?;
    let entries = same_entries(bench, &ftrace, &log);
    bench.outcome("count_ftrace", entries)?;
    let interrupts = same_in_each(&calm, cpu, &log)
        .and_then(|calm| Ok([calm, same(&nmis, cpu, &log, NMIS)?].join(", ")));
    bench.outcome("count_interrupts", interrupts)
}

/// Some of everything that `/proc/interrupts` counts.
fn disturb(bench: &Bench, pid: u32) -> Result<()> {
    let cpu = i32::try_from(bench.guest.cpu())?;
    for _ in 0..5 {
        sys::kill(pid, libc::SIGUSR1)?;
        thread::sleep(Duration::from_millis(20));
        let attr = PerfAttr {
            kind: sys::PERF_TYPE_SOFTWARE,
            config: sys::PERF_COUNT_SW_CPU_CLOCK,
            sample_period: 10_000_000,
            flags: 1,
            wakeup_events: 1,
            ..PerfAttr::default()
        };
        let event = sys::perf_event(&attr, -1, cpu)?;
        sys::ioctl(&event, sys::PERF_REFRESH, 3)?;
        thread::sleep(Duration::from_millis(100));
    }
    fs::read("/proc/sys/vm/stat_refresh")?;
    Ok(())
}

fn same_entries(bench: &Bench, ftrace: &Ftrace, log: &Log) -> Result<String> {
    let (armed, disarmed) = (log.header()?.mono_ns, log.summary()?.mono_ns);
    let mut remarks = Vec::new();
    for &cpu in &bench.guest.watched {
        let events: Vec<u64> = ftrace
            .events(cpu)?
            .into_iter()
            .filter(|event| event.name == "user_exit")
            .map(|event| event.at)
            .collect();
        let within = |from: u64, to: u64| {
            let inside = events.iter().filter(|at| (from..=to).contains(*at));
            inside.count() as u64
        };
        let sure = within(armed + FUZZY, disarmed - FUZZY);
        let most = within(armed - FUZZY, disarmed + FUZZY);
        // An NMI is an entry of its own and no user_exit.
        let nmis = log
            .breaches
            .iter()
            .filter(|breach| breach.cpu == cpu && breach.cause.kind == "nmi")
            .count() as u64;
        let entries = log.totals(cpu)?.entries - nmis;
        ensure!(
            (sure..=most).contains(&entries),
            "CPU {cpu}: ftrace has {sure} to {most} entries, isol-trace {entries} and {nmis} NMIs"
        );
        if cpu == bench.guest.cpu() {
            ensure!(entries > 500, "CPU {cpu} had {entries} entries only");
        }
        remarks.push(format!("CPU {cpu}: {entries} of {sure}..={most}"));
    }
    Ok(remarks.join(", "))
}

/// Lines of `/proc/interrupts`, and the words for what they count.
type Lines = &'static [(&'static str, &'static [&'static str])];

const MASKABLE: Lines = &[
    ("LOC", &["local_timer"]),
    ("RES", &["reschedule"]),
    ("CAL", &["call_function", "call_function_single"]),
    ("IWI", &["irq_work"]),
];
const NMIS: Lines = &[("NMI", &["nmi"])];

/// Whether the log has as many maskable interrupts as `/proc/interrupts` in each window in which nothing was left out
/// of a list. There must be one.
fn same_in_each(windows: &[Window], cpu: u32, log: &Log) -> Result<String> {
    let whole = windows
        .iter()
        .filter(|window| dropped(&window.breaches(log, cpu)) == 0);
    let remarks: Vec<_> = whole
        .map(|window| same(window, cpu, log, MASKABLE))
        .collect::<Result<_>>()?;
    ensure!(
        !remarks.is_empty(),
        "in each of {} windows an entry had more activities than its list holds",
        windows.len()
    );
    Ok(remarks.join(", "))
}

/// Activities that are in no list. They are counted, but not by kind.
fn dropped(breaches: &[&Breach]) -> u64 {
    breaches.iter().map(|breach| breach.activity_dropped).sum()
}

/// Whether the log has as many of each as `/proc/interrupts`.
fn same(window: &Window, cpu: u32, log: &Log, lines: Lines) -> Result<String> {
    let breaches = window.breaches(log, cpu);
    let mut remarks = Vec::new();
    let mut problems = Vec::new();
    for (line, kinds) in lines {
        let theirs = window.count(line, cpu);
        let ours: u64 = breaches.iter().map(|breach| arrivals(breach, kinds)).sum();
        if ours != theirs {
            problems.push(format!(
                "{line}: /proc/interrupts has {theirs}, isol-trace {ours}"
            ));
        }
        if theirs == 0 {
            problems.push(format!("{line}: nothing arrived, nothing is compared"));
        }
        remarks.push(format!("{line} {theirs}"));
    }
    if !problems.is_empty() {
        bail!(
            "{}; {} activities are in no list",
            problems.join("; "),
            dropped(&breaches)
        );
    }
    Ok(remarks.join(", "))
}

/// How often one of these vectors arrived in an entry, its cause included.
fn arrivals(breach: &Breach, kinds: &[&str]) -> u64 {
    let cause = u64::from(kinds.contains(&breach.cause.kind.as_str()));
    let nested = breach
        .activity
        .iter()
        .filter(|activity| match activity.kind.as_str() {
            "vector" => activity
                .name
                .as_deref()
                .is_some_and(|name| kinds.contains(&name)),
            kind => kind == "nmi" && kinds.contains(&kind),
        })
        .count() as u64;
    cause + nested
}

#[cfg(test)]
mod tests {
    use super::{
        super::{interrupts::Interrupts, log::Line},
        *,
    };

    #[test]
    fn an_interrupt_counts_wherever_it_arrived() {
        let text = r#"{"type":"breach","seq":1,"mono_ns":5,"cpu":1,"cause":{"kind":"reschedule"},
            "activity":[{"kind":"vector","name":"local_timer"},{"kind":"nmi"},{"kind":"vector","name":"local_timer"},{"kind":"switch"}]}"#;
        let Line::Breach(breach) = Line::parse(text).unwrap() else {
            panic!("a breach");
        };
        assert_eq!(arrivals(&breach, &["local_timer"]), 2);
        assert_eq!(arrivals(&breach, &["reschedule"]), 1);
        assert_eq!(arrivals(&breach, &["nmi"]), 1);
        assert_eq!(arrivals(&breach, &["call_function"]), 0);
        let log = Log {
            breaches: vec![*breach],
            ..Log::default()
        };
        let before = Interrupts::parse("  CPU1\nLOC: 3\nRES: 0\nCAL: 0\nIWI: 0\nNMI: 0\n");
        let after = Interrupts::parse("  CPU1\nLOC: 6\nRES: 1\nCAL: 0\nIWI: 0\nNMI: 1\n");
        let window = Window {
            time: (0, 9),
            interrupts: (before, after),
        };
        let error = same(&window, 1, &log, MASKABLE).unwrap_err();
        assert!(
            error
                .to_string()
                .contains("LOC: /proc/interrupts has 3, isol-trace 2")
        );
        assert!(error.to_string().contains("CAL: nothing arrived"));
    }

    #[test]
    fn only_windows_with_whole_lists_are_compared_and_one_must_be() {
        let all = "LOC: 2\nRES: 1\nCAL: 1\nIWI: 1\n";
        let window = |from, until| Window {
            time: (from, until),
            interrupts: (
                Interrupts::parse("  CPU1\nLOC: 0\nRES: 0\nCAL: 0\nIWI: 0\n"),
                Interrupts::parse(&format!("  CPU1\n{all}")),
            ),
        };
        let breach = |at: u64, timers: usize, dropped: u64| {
            let timers = r#",{"kind":"vector","name":"local_timer"}"#.repeat(timers);
            let text = format!(
                r#"{{"type":"breach","seq":1,"mono_ns":{at},"cpu":1,"cause":{{"kind":"reschedule"}},"activity_dropped":{dropped},
                "activity":[{{"kind":"vector","name":"call_function"}},{{"kind":"vector","name":"irq_work"}}{timers}]}}"#
            );
            let Line::Breach(breach) = Line::parse(&text).unwrap() else {
                panic!("a breach");
            };
            *breach
        };
        let of = |breaches: Vec<Breach>| {
            let log = Log {
                breaches,
                ..Log::default()
            };
            same_in_each(&[window(0, 9), window(10, 19)], 1, &log)
        };
        assert!(of(vec![breach(5, 2, 0), breach(15, 2, 0)]).is_ok());
        assert!(of(vec![breach(5, 1, 1), breach(15, 2, 0)]).is_ok());
        assert!(of(vec![breach(5, 2, 0), breach(15, 1, 0)]).is_err());
        assert!(of(vec![breach(5, 2, 1), breach(15, 2, 1)]).is_err());
    }
}
