//! `explain`: a program with a deliberate mistake is struck, and is told file and line.

use std::{
    env, fs,
    process::{Command, Output, Stdio},
};

use anyhow::{Context, Result, ensure};

use super::{
    bench::{Bench, Group},
    kill::{MISTAKES, has_task_isolation, line_of},
    tracer,
};

/// The group.
#[must_use]
pub fn group() -> Group {
    Group {
        tests: TESTS.to_vec(),
        run,
    }
}

const TESTS: &[(&str, &str)] = &[
    (
        "explain_write",
        "a hidden write of a logger is named by file and line",
    ),
    ("explain_allocation", "so is an allocation"),
    (
        "explain_first_touch",
        "so is a page that is touched for the first time",
    ),
    ("explain_sibling", "so is a sibling's munmap"),
    (
        "explain_quiet",
        "a command that nothing ends: said so, with its status",
    ),
    (
        "explain_log",
        "the log alone tells the same, after its program is gone",
    ),
];

fn run(bench: &mut Bench) -> Result<()> {
    for mistake in MISTAKES {
        let test = TESTS
            .iter()
            .map(|(name, _)| *name)
            .find(|name| name.strip_prefix("explain_") == Some(mistake))
            .context("a mistake without its test")?;
        if bench.wants(test) {
            let outcome = told(bench, mistake);
            bench.outcome(test, outcome)?;
        }
    }
    if bench.wants("explain_quiet") {
        let outcome = quiet(bench);
        bench.outcome("explain_quiet", outcome)?;
    }
    if bench.wants("explain_log") {
        let outcome = from_log(bench);
        bench.outcome("explain_log", outcome)?;
    }
    Ok(())
}

/// The options by which a mistake is answered: a kernel with task isolation does so itself.
fn options() -> &'static [&'static str] {
    if has_task_isolation() {
        &[]
    } else {
        &["--strict"]
    }
}

fn isol_trace(arguments: &[&str]) -> Result<Output> {
    let output = Command::new(tracer::program())
        .args(arguments)
        .stdin(Stdio::null())
        .output()?;
    Ok(output)
}

fn victim(command: &[&str], bench: &Bench, before: &[&str], mistake: &str) -> Result<Output> {
    let cpu = bench.guest.cpu().to_string();
    let program = env::current_exe()?.display().to_string();
    let mut arguments = command.to_vec();
    arguments.extend(["--cpus", &cpu]);
    arguments.extend(before);
    arguments.extend(["--", &program, "victim", mistake]);
    isol_trace(&arguments)
}

fn judge(output: &Output, mistake: &str, code: i32) -> Result<()> {
    let text = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    let status = tracer::shell_code(output.status);
    ensure!(status == code, "exits with {status}: {text} {errors}");
    let place = format!("mistakes.rs:{}", line_of(mistake)?);
    let raiser = if has_task_isolation() {
        "strict mode"
    } else {
        "isol-trace"
    };
    for word in [place.as_str(), "was killed on CPU", raiser] {
        ensure!(text.contains(word), "no '{word}' in: {text}");
    }
    Ok(())
}

/// Times that a mistake is made where the kernel's own tick comes before it and is answered.
const ATTEMPTS: u32 = 5;

/// Whether the story is of a tick, or of a task that was woken.
fn is_of_the_kernel(output: &Output) -> bool {
    let text = String::from_utf8_lossy(&output.stdout);
    let first = text.lines().next().unwrap_or_default();
    first.contains(": local_timer") || first.contains(": reschedule")
}

fn told(bench: &Bench, mistake: &str) -> Result<String> {
    let name = format!("mistake_{mistake}");
    let mut output = victim(&["explain"], bench, options(), &name)?;
    for _ in 1..ATTEMPTS {
        if !is_of_the_kernel(&output) {
            break;
        }
        output = victim(&["explain"], bench, options(), &name)?;
    }
    judge(&output, mistake, 128 + libc::SIGKILL)?;
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.lines().next().unwrap_or_default().to_owned())
}

fn quiet(bench: &Bench) -> Result<String> {
    let output = victim(&["explain"], bench, &[], "handled")?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "{}: {text}", output.status);
    ensure!(!text.contains("was killed"), "{text}");
    ensure!(!text.trim().is_empty(), "nothing is said");
    Ok(text.trim().to_owned())
}

fn from_log(bench: &Bench) -> Result<String> {
    let log = tracer::fresh_path("jsonl").display().to_string();
    let mut before = vec!["-o", log.as_str()];
    before.extend(options());
    let recorded = victim(&["record"], bench, &before, "mistake_write")?;
    let status = tracer::shell_code(recorded.status);
    ensure!(status == 128 + libc::SIGKILL, "record exits with {status}");
    let output = isol_trace(&["explain", &log])?;
    let _ = fs::remove_file(&log);
    judge(&output, "write", 0)?;
    Ok(String::new())
}
