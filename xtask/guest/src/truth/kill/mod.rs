//! Signals that end a task: by whom, for which breach. And strict mode, which raises them.

mod judge;
mod mistakes;
mod mixed;
mod section;
mod victim;

use std::{env, fs};

use anyhow::{Result, ensure};

use self::judge::{
    by_other, drop_kill, handled, killed, led_by, nobody, only, preceded, remembered,
};
pub use self::{
    mistakes::{MISTAKES, line_of},
    victim::victim,
};

use super::{
    bench::{Bench, Group},
    hits::{STRICT_CHILD, STRUCK_BY_KERNEL},
    log::Log,
    sys,
};

/// The group.
#[must_use]
pub fn group() -> Group {
    Group {
        tests: TESTS.to_vec(),
        run,
    }
}

/// What is watched of CMD: its first argument, the options of `record`, and what must be true.
struct Scenario {
    test: &'static str,
    options: &'static [&'static str],
    command: &'static str,
    /// CMD's own exit status.
    code: i32,
    judge: fn(&Log) -> Result<String>,
}

const TESTS: &[(&str, &str)] = &[
    (
        "kill_fault",
        "a task that its own fault ends: by itself, in that very breach, of which no setting is the remedy",
    ),
    (
        "kill_itself",
        "a task that signals itself: by itself, in the call that does it",
    ),
    (
        "kill_by_other",
        "a task that another process kills: who that is",
    ),
    (
        "kill_by_timer",
        "a task that its own alarm ends: by the kernel",
    ),
    (
        "kill_handled",
        "a signal with a handler, and one that is ignored, end no task",
    ),
    (
        "kill_nobody",
        "exit_group ends the other threads, and kills nobody",
    ),
    (
        "strict_call",
        "--strict: the first system call in the section kills",
    ),
    (
        "strict_fault",
        "--strict: so does a page that is touched there for the first time",
    ),
    (
        "strict_interrupt",
        "--strict: so does a timer's interrupt, and no irq_work",
    ),
    (
        "strict_handler",
        "--strict=USR1: one signal a section, whatever else it breaches",
    ),
    (
        "strict_exempt",
        "--strict: leaving the section, exit and what is outside are left alone",
    ),
    ("strict_child", "--strict: also what CMD forks"),
    (
        "strict_storm",
        "--strict: after a storm that filled the ring, the entries before the death are known all the same",
    ),
    (
        "strict_thread",
        "--strict: also a thread of CMD that outlives its first one",
    ),
    (
        "strict_again",
        "--strict=SIGNAL: once more for a task that enters its section anew",
    ),
    ("strict_others", "--strict: nobody but CMD"),
    (
        "kernel_strict",
        "strict mode of a kernel that has it: by strict mode, and the breach that did it",
    ),
    (
        "kernel_signal",
        "a signal of choice of such a kernel, with a handler",
    ),
    (
        "kernel_log",
        "such a kernel that only logs kills nobody, and its sections end with their first breach",
    ),
];

const SCENES: &[Scenario] = &[
    Scenario {
        test: "kill_fault",
        options: &[],
        command: "fault",
        code: 128 + libc::SIGSEGV,
        judge: |log| {
            let kill = killed(log, libc::SIGSEGV, "task", &["page_fault"])?;
            let remedy = &led_by(log, &kill, &["page_fault"])?.remedy;
            ensure!(
                remedy.as_deref() == Some("fault-signal"),
                "the remedy of a fault that nothing serves is {remedy:?}"
            );
            Ok(String::new())
        },
    },
    Scenario {
        test: "kill_itself",
        options: &[],
        command: "itself",
        code: 128 + libc::SIGTERM,
        judge: |log| killed(log, libc::SIGTERM, "task", &["kill", "tgkill"]).map(drop_kill),
    },
    Scenario {
        test: "kill_by_other",
        options: &[],
        command: "by_other",
        code: 128 + libc::SIGKILL,
        judge: by_other,
    },
    Scenario {
        test: "kill_by_timer",
        options: &[],
        command: "by_timer",
        code: 128 + libc::SIGALRM,
        judge: |log| only(log, libc::SIGALRM, "kernel").map(drop_kill),
    },
    Scenario {
        test: "kill_handled",
        options: &[],
        command: "handled",
        code: 0,
        judge: nobody,
    },
    Scenario {
        test: "kill_nobody",
        options: &[],
        command: "threads",
        code: 4,
        judge: nobody,
    },
    Scenario {
        test: "strict_call",
        options: &["--strict"],
        command: "strict_call",
        code: 128 + libc::SIGKILL,
        judge: |log| {
            let kill = killed(log, libc::SIGKILL, "tracer", &["getppid"])?;
            preceded(log, &kill, "prctl")
        },
    },
    Scenario {
        test: "strict_fault",
        options: &["--strict=9"],
        command: "strict_fault",
        code: 128 + libc::SIGKILL,
        judge: |log| killed(log, libc::SIGKILL, "tracer", &["page_fault"]).map(drop_kill),
    },
    Scenario {
        test: "strict_interrupt",
        options: &["--strict"],
        command: "strict_interrupt",
        code: 128 + libc::SIGKILL,
        judge: |log| killed(log, libc::SIGKILL, "tracer", INTERRUPTS).map(drop_kill),
    },
    Scenario {
        test: "strict_handler",
        options: &["--strict=USR1"],
        command: "strict_handler",
        code: 0,
        judge: |log| {
            let kill = handled(log, libc::SIGUSR1, "tracer")?;
            led_by(log, &kill, &["getppid"])?;
            Ok(String::new())
        },
    },
    Scenario {
        test: "strict_again",
        options: &["--strict=USR1"],
        command: "strict_again",
        code: 0,
        judge: |log| {
            let by_tracer = log.kills.iter().filter(|kill| kill.by == "tracer");
            let strikes = by_tracer.count();
            ensure!(strikes == 3, "{strikes} strikes: {:?}", log.kills);
            Ok(String::new())
        },
    },
    Scenario {
        test: "strict_exempt",
        options: &["--strict"],
        command: "strict_exempt",
        code: 5,
        judge: nobody,
    },
    Scenario {
        test: "strict_child",
        options: &["--strict"],
        command: "strict_child",
        code: 3,
        judge: |log| killed(log, libc::SIGKILL, "tracer", &["getppid"]).map(drop_kill),
    },
    Scenario {
        test: "strict_storm",
        options: &["--strict", "--ring-size", "64K"],
        command: "strict_storm",
        code: 128 + libc::SIGKILL,
        judge: remembered,
    },
    Scenario {
        test: "strict_thread",
        options: &["--strict"],
        command: "strict_thread",
        code: 128 + libc::SIGKILL,
        judge: |log| {
            let kill = killed(log, libc::SIGKILL, "tracer", &["getppid"])?;
            ensure!(kill.task.pid != Some(kill.task.tid), "{:?}", kill.task);
            Ok(String::new())
        },
    },
];

/// What may interrupt a task that spins, save `irq_work`.
const INTERRUPTS: &[&str] = &[
    "local_timer",
    "device_irq",
    "reschedule",
    "call_function",
    "call_function_single",
];

fn run(bench: &mut Bench) -> Result<()> {
    for scenario in SCENES {
        if bench.wants(scenario.test) {
            let outcome = play(bench, scenario);
            if scenario.test == "strict_child" && outcome.is_ok() {
                bench.hits.witness(STRICT_CHILD);
            }
            bench.outcome(scenario.test, outcome)?;
        }
    }
    if bench.wants("strict_others") {
        let outcome = others(bench);
        bench.outcome("strict_others", outcome)?;
    }
    kernel(bench)
}

/// Times that a scenario is played where an interrupt of the kernel's own comes before its breach: that
/// is one as well, and rightly answered.
const ATTEMPTS: u32 = 5;

fn play(bench: &mut Bench, scenario: &Scenario) -> Result<String> {
    let mut attempt = 1;
    loop {
        let recorded = record(bench, scenario.options, &[scenario.command]);
        let (log, code) = recorded?;
        let outcome = ended(code, scenario.code).and_then(|()| (scenario.judge)(&log));
        if outcome.is_ok() || attempt == ATTEMPTS || !was_interrupted(&log) {
            return outcome;
        }
        attempt += 1;
    }
}

/// Whether strict mode answered an interrupt.
fn was_interrupted(log: &Log) -> bool {
    let seq = log.kills.iter().find_map(|kill| kill.breach);
    log.breaches
        .iter()
        .any(|breach| Some(breach.seq) == seq && INTERRUPTS.contains(&breach.cause.kind.as_str()))
}

fn ended(code: i32, expected: i32) -> Result<()> {
    ensure!(
        code == expected,
        "the command ends with {code}, and not {expected}"
    );
    Ok(())
}

/// Records this program as CMD, and takes the log with its status.
fn record(bench: &mut Bench, options: &[&str], command: &[&str]) -> Result<(Log, i32)> {
    let cpu = bench.guest.cpu().to_string();
    let program = env::current_exe()?.display().to_string();
    let mut arguments = vec!["--cpus", cpu.as_str()];
    arguments.extend(options);
    arguments.extend(["--", program.as_str(), "victim"]);
    arguments.extend(command);
    let ended = super::tracer::run(&arguments)?;
    let code = ended.code();
    Ok((bench.take(&ended, code, |_| false)?, code))
}

/// Strict mode is for the command: another task on the CPU has its section in peace.
fn others(bench: &mut Bench) -> Result<String> {
    let cpu = bench.guest.cpu();
    let program = env::current_exe()?;
    let mut other = std::process::Command::new(program)
        .args(["victim", "bystander"])
        .spawn()?;
    sys::pin(other.id(), &[cpu])?;
    let recorded = record(bench, &["--strict"], &["strict_call"]);
    let still = other.try_wait()?;
    let _ = other.kill();
    let _ = other.wait();
    let (log, code) = recorded?;
    ended(code, 128 + libc::SIGKILL)?;
    let kill = only(&log, libc::SIGKILL, "tracer")?;
    ensure!(
        kill.task.pid != Some(other.id()),
        "the bystander was struck"
    );
    ensure!(still.is_none(), "the bystander ended: {still:?}");
    Ok(String::new())
}

/// Whether this kernel has the task-isolation series.
#[must_use]
pub fn has_task_isolation() -> bool {
    fs::exists("/sys/devices/system/cpu/task_isolation").unwrap_or(false)
}

/// What only a kernel with the task-isolation series can show.
fn kernel(bench: &mut Bench) -> Result<()> {
    let has_it = has_task_isolation();
    for (test, mode, code) in [
        ("kernel_strict", "kernel_strict", 128 + libc::SIGKILL),
        ("kernel_signal", "kernel_signal", 0),
        ("kernel_log", "kernel_log", 0),
    ] {
        if !bench.wants(test) {
            continue;
        }
        let outcome = if has_it {
            record(bench, &[], &[mode]).and_then(|(log, ends_with)| {
                ended(ends_with, code)?;
                judge_kernel(test, &log)
            })
        } else {
            super::guest::skip("this kernel has no task isolation")
        };
        if outcome.is_ok() {
            bench.hits.witness(STRUCK_BY_KERNEL);
        }
        bench.outcome(test, outcome)?;
    }
    Ok(())
}

fn judge_kernel(test: &str, log: &Log) -> Result<String> {
    match test {
        "kernel_strict" => {
            killed(log, libc::SIGKILL, "strict-mode", &["getppid"])?;
        }
        "kernel_signal" => {
            let kill = handled(log, libc::SIGUSR1, "strict-mode")?;
            led_by(log, &kill, &["getppid"])?;
        }
        _ => {
            ensure!(log.kills.is_empty(), "{:?}", log.kills);
            let calls: Vec<_> = log
                .breaches
                .iter()
                .filter(|it| it.cause.name.as_deref() == Some("getppid"))
                .map(|it| it.section == Some(true))
                .collect();
            ensure!(calls == [true, false, false], "in the section: {calls:?}");
        }
    }
    Ok(String::new())
}
