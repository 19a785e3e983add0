//! `record -- CMD`: where CMD runs, what it exits with, and the section that it declares.

use std::{
    env,
    fs::{self, Permissions},
    os::unix::{fs::PermissionsExt as _, process::CommandExt as _},
    path::Path,
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};
use isol_trace_common::config::isolation;

use super::{
    bench::{Bench, Group},
    churn,
    hits::SECTION_ENDED_BY_EXEC,
    log::{Breach, Log},
    origin, process, sys, tracer,
};

/// The group.
#[must_use]
pub fn group() -> Group {
    Group {
        tests: vec![
            ("command_status", "record -- CMD exits with CMD's status"),
            (
                "command_killed",
                "record -- CMD exits with 128 + signal where CMD was killed",
            ),
            ("command_pinned", "CMD runs on the watched CPU alone"),
            (
                "command_missing",
                "a CMD that does not exist is a bad request",
            ),
        ],
        run,
    }
}

/// The group of sections.
#[must_use]
pub fn sections() -> Group {
    Group {
        tests: vec![
            ("section_exec", "a section ends where a new program begins"),
            (
                "section_from_prctl",
                "--from-prctl: only what follows CMD's prctl is a breach",
            ),
        ],
        run: |bench| {
            if bench.wants("section_exec") {
                let outcome = section_ends_at_exec(bench);
                bench.outcome("section_exec", outcome)?;
            }
            if bench.wants("section_from_prctl") {
                let outcome = section(bench, true);
                bench.outcome("section_from_prctl", outcome)?;
            }
            Ok(())
        },
    }
}

/// The group of a section that is not the only one recorded.
#[must_use]
pub fn marked() -> Group {
    Group {
        tests: vec![(
            "section_marked",
            "without --from-prctl a breach says whether it fell inside the section",
        )],
        run: |bench| {
            let outcome = section(bench, false);
            bench.outcome("section_marked", outcome)
        },
    }
}

/// Calls before and inside the section.
const BEFORE: usize = 100;
const INSIDE: usize = 50;

fn run(bench: &mut Bench) -> Result<()> {
    let cpu = bench.guest.cpu();
    if bench.wants("command_status") {
        let outcome = status(bench, &["status", "7"], 7).and_then(|log| {
            ended(&log, "exit_group")?;
            status(bench, &["status", "0"], 0)?;
            Ok(String::new())
        });
        bench.outcome("command_status", outcome)?;
    }
    if bench.wants("command_killed") {
        let outcome = status(bench, &["killed", "9"], 137).and_then(|log| {
            ended(&log, "kill")?;
            status(bench, &["killed", "15"], 143)?;
            Ok(String::new())
        });
        bench.outcome("command_killed", outcome)?;
    }
    if bench.wants("command_pinned") {
        let place = tracer::fresh_path("cpus");
        let outcome = status(bench, &["where", &place.display().to_string()], 0).and_then(|_| {
            let seen = fs::read_to_string(&place)?;
            ensure!(
                seen == cpu.to_string(),
                "CMD may run on {seen}, watched is {cpu}"
            );
            Ok(String::new())
        });
        bench.outcome("command_pinned", outcome)?;
    }
    if bench.wants("command_missing") {
        let outcome = missing(cpu);
        bench.outcome("command_missing", outcome)?;
    }
    Ok(())
}

fn status(bench: &mut Bench, command: &[&str], code: i32) -> Result<Log> {
    let ended = bench.record(&[], command)?;
    bench.take(&ended, code, |_| false)
}

/// The command's last entry is this call, and it died in it.
fn ended(log: &Log, call: &str) -> Result<()> {
    let last = log
        .breaches
        .iter()
        .rfind(|breach| breach.end == "exited")
        .context("no breach ends with the command's exit")?;
    ensure!(
        last.cause.name.as_deref() == Some(call),
        "the command died in {:?}, not in {call}",
        last.cause
    );
    Ok(())
}

fn missing(cpu: u32) -> Result<String> {
    let cpu = cpu.to_string();
    let ended = tracer::run(&["--cpus", &cpu, "--", "/no/such/program"])?;
    ensure!(
        matches!(ended.code(), 2 | 127),
        "exits with {}: {}",
        ended.code(),
        ended.complaints()
    );
    // One that is there and cannot be executed leaves no log.
    let script = tracer::fresh_path("sh");
    fs::write(&script, "#!/no/such/interpreter\n")?;
    fs::set_permissions(&script, Permissions::from_mode(0o755))?;
    let script = script.display().to_string();
    let refused = tracer::run(&["--cpus", &cpu, "--", &script])?;
    ensure!(
        refused.code() == 2 && !refused.log.exists(),
        "exits with {}, and the log is there: {}",
        refused.code(),
        refused.log.exists()
    );
    Ok(format!("exits with {}", ended.code()))
}

fn section(bench: &mut Bench, only: bool) -> Result<String> {
    let options: &[&str] = if only { &["--from-prctl"] } else { &[] };
    let ended = bench.record(options, &["section"])?;
    let log = bench.take(&ended, 0, |_| false)?;
    let calls = |section: bool| {
        let inside = |one: &&Breach| one.section == Some(section);
        let named = |one: &&Breach| one.cause.name.as_deref() == Some("getppid");
        log.breaches.iter().filter(inside).filter(named).count()
    };
    let (before, inside) = (calls(false), calls(true));
    let expected = if only { 0 } else { BEFORE };
    ensure!(
        before == expected && inside == INSIDE,
        "{before} calls outside the section and {inside} inside; made were {BEFORE} and {INSIDE}"
    );
    // What the task says of its section has a remedy of its own. The call that begins it is outside.
    let of_rule = |rule: &str| {
        let of = |one: &&Breach| one.remedy.as_deref() == Some(rule);
        log.breaches.iter().filter(of).count()
    };
    let said = (of_rule("section-begins"), of_rule("section-ends"));
    let expected = if only { (0, 1) } else { (1, 1) };
    ensure!(
        said == expected,
        "{said:?} calls that begin and end the section; there are {expected:?}"
    );
    if only {
        let outside = log.breaches.iter().find(|one| one.section != Some(true));
        if let Some(breach) = outside {
            bail!(
                "a breach outside the section: {}",
                serde_json::to_string(breach)?
            );
        }
    }
    Ok(String::new())
}

/// A new program has not said that it means to be isolated.
fn section_ends_at_exec(bench: &mut Bench) -> Result<String> {
    let ended = bench.record(&[], &["section_then_exec"])?;
    let log = bench.take(&ended, 0, |_| false)?;
    let calls: Vec<bool> = log
        .breaches
        .iter()
        .filter(|one| one.cause.name.as_deref() == Some("getppid"))
        .map(|one| one.section == Some(true))
        .collect();
    let expected = [vec![true; INSIDE], vec![false; BEFORE]].concat();
    ensure!(
        calls == expected,
        "of {} calls {} fell into the section; {INSIDE} were made in it, then {BEFORE} after exec",
        calls.len(),
        calls.iter().filter(|inside| **inside).count()
    );
    bench.hits.witness(SECTION_ENDED_BY_EXEC);
    Ok(String::new())
}

/// What this program does as CMD.
pub fn child(name: &str, arguments: &[&str]) -> Result<u8> {
    let argument = || arguments.first().context("an argument is missing");
    match name {
        "status" => return Ok(argument()?.parse()?),
        "killed" => sys::kill(std::process::id(), argument()?.parse()?)?,
        "where" => {
            let cpus = process::status("/proc/self/status", "Cpus_allowed_list")?;
            fs::write(Path::new(argument()?), cpus)?;
        }
        "section" => {
            call(BEFORE);
            isolate();
            call(INSIDE);
            sys::section(isolation::LEAVE);
        }
        "section_then_exec" => {
            isolate();
            call(INSIDE);
            let failed = Command::new(env::current_exe()?)
                .args(["command", "calls"])
                .exec();
            bail!("exec: {failed}");
        }
        "calls" => call(BEFORE),
        "churn" => churn::churn()?,
        "busy" => churn::busy(),
        "profile" => {
            let [tid, cpu] = arguments else {
                bail!("whom, and where, is missing");
            };
            origin::profile(tid.parse()?, cpu.parse()?)?;
        }
        "come" => origin::come(argument()?.parse()?)?,
        "punt" => origin::punt(argument()?.parse()?)?,
        "flip" => origin::flip_once(argument()?.parse()?)?,
        other => bail!("no command {other}"),
    }
    Ok(0)
}

/// Says that this thread means to be isolated.
fn isolate() {
    sys::section(isolation::ENTER);
}

fn call(times: usize) {
    for _ in 0..times {
        sys::getppid();
    }
}
