//! The examples, and programs that the kernel kills or refuses.

use std::{
    env,
    io::{self, Write as _},
    os::unix::process::ExitStatusExt as _,
    path::PathBuf,
    process::{Command, ExitCode, Output},
    ptr,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use rustix::{
    mm::{MlockAllFlags, mlockall},
    process::{Resource, Rlimit, setrlimit},
};
use task_isolation::{Config, OnBreach, Signal, configure, enter_within};

use crate::{
    Test,
    stage::{self, LIMIT},
};

pub(crate) const TESTS: &[Test] = &[
    ("a_strict_call_kills_unseen", a_strict_call_kills_unseen),
    ("a_cpu_timer_is_named", a_cpu_timer_is_named),
    ("a_cpu_limit_is_named", a_cpu_limit_is_named),
    (
        "the_compute_loop_is_left_alone",
        the_compute_loop_is_left_alone,
    ),
    (
        "the_oneshot_loop_enters_again",
        the_oneshot_loop_enters_again,
    ),
];

/// The argument with which this program is a child of itself.
pub(crate) const CHILD: &str = "child";

/// More than any test takes, in seconds.
const LONG: i64 = 100_000;

/// Does what a test wants done by a process of its own.
pub(crate) fn child(what: &str) -> ExitCode {
    let done = match what {
        "strict" => strict(),
        "timer" => timer(),
        "limit" => limit(),
        _ => Err(anyhow::anyhow!("no such child")),
    };
    let Err(error) = done else {
        return ExitCode::SUCCESS;
    };
    // Nobody can be told where that fails.
    let _ = writeln!(io::stderr(), "{error:#}");
    ExitCode::from(2)
}

fn strict() -> Result<()> {
    mlockall(MlockAllFlags::CURRENT | MlockAllFlags::FUTURE)?;
    stage::own_cpu(0)?;
    configure(&Config::new(OnBreach::Strict(Signal::KILL)))?;
    let _isolated = enter_within(LIMIT)?;
    // The mistake: this never comes out.
    writeln!(io::stdout(), "written")?;
    Ok(())
}

fn timer() -> Result<()> {
    stage::own_cpu(0)?;
    let mut value = libc::itimerval {
        it_interval: libc::timeval {
            tv_sec: 0,
            tv_usec: 0,
        },
        it_value: libc::timeval {
            tv_sec: LONG,
            tv_usec: 0,
        },
    };
    // SAFETY: the structure is read, and none is written.
    let result = unsafe { libc::setitimer(libc::ITIMER_PROF, &raw mut value, ptr::null_mut()) };
    ensure!(result == 0, io::Error::last_os_error());
    drop(enter_within(Duration::from_millis(20))?);
    Ok(())
}

fn limit() -> Result<()> {
    stage::own_cpu(0)?;
    let limit = Rlimit {
        current: u64::try_from(LONG).ok(),
        maximum: None,
    };
    setrlimit(Resource::Cpu, limit)?;
    drop(enter_within(Duration::from_millis(20))?);
    Ok(())
}

fn run_child(what: &str) -> Result<Output> {
    let mut command = Command::new(env::current_exe()?);
    Ok(command.args([CHILD, what]).output()?)
}

fn a_strict_call_kills_unseen() -> Result<()> {
    let output = run_child("strict")?;
    let told = String::from_utf8_lossy(&output.stderr);
    let status = output.status;
    ensure!(status.signal() == Some(libc::SIGKILL), "{status}: {told}");
    ensure!(output.stdout.is_empty(), "the call was executed");
    Ok(())
}

fn a_cpu_timer_is_named() -> Result<()> {
    is_told_by_child("timer", "ITIMER_PROF")
}

fn a_cpu_limit_is_named() -> Result<()> {
    is_told_by_child("limit", "RLIMIT_CPU")
}

fn is_told_by_child(what: &str, name: &str) -> Result<()> {
    let output = run_child(what)?;
    let told = String::from_utf8_lossy(&output.stderr);
    let end = format!("this process has a CPU-time timer ({name})\n");
    ensure!(output.status.code() == Some(2), "{}: {told}", output.status);
    ensure!(told.ends_with(&end), "{told}");
    Ok(())
}

/// An example: beside this program, or where cargo puts it.
fn example(name: &str) -> Result<Command> {
    let here = env::current_exe()?;
    let folder = here.parent().context("no folder")?;
    let paths: [PathBuf; 2] = [folder.join(name), folder.join("../examples").join(name)];
    let found = paths.into_iter().find(|path| path.is_file());
    Ok(Command::new(found.with_context(|| format!("no {name}"))?))
}

/// Its output, line by line.
fn lines(command: &mut Command) -> Result<Vec<String>> {
    let output = command.output()?;
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}: {told}", output.status);
    let text = String::from_utf8(output.stdout)?;
    Ok(text.lines().map(str::to_owned).collect())
}

fn the_compute_loop_is_left_alone() -> Result<()> {
    let lines = lines(example("compute")?.args(["--rounds", "3"]))?;
    ensure!(lines.len() == 3, "{lines:?}");
    for line in &lines {
        ensure!(line.ends_with(", undisturbed"), "{lines:?}");
        ensure!(line.contains(": 3.14"), "{lines:?}");
    }
    Ok(())
}

fn the_oneshot_loop_enters_again() -> Result<()> {
    let lines = lines(example("oneshot")?.args(["--events", "5"]))?;
    let told = lines
        .first()
        .filter(|line| lines.len() == 1 && line.contains(": 5 events, "));
    let times = told
        .and_then(|line| line.split_once("isolated ")?.1.split_once(" times"))
        .and_then(|(times, _)| times.parse::<u32>().ok());
    // After each event but the last, and after whatever else broke it.
    ensure!(times.is_some_and(|times| times >= 5), "{lines:?}");
    Ok(())
}
