//! `truth`: the ground truth of isol-trace, to be run as root in a test guest.
//!
//! - `truth list`: the tests' names
//! - `truth run NAME…`, `truth all`: runs tests against the isol-trace in the path
//! - `truth alone`, `truth beside`: those that mind another guest beside theirs, and those that do not
//! - `truth observe NAME…`: what the kernel itself says of triggers, without isol-trace
//! - `truth trigger …`, `truth command …`, `truth victim …`: what the tests start on the watched CPU

use std::{
    env,
    io::{self, Write},
    process::ExitCode,
    sync::Arc,
};

use anyhow::{Context, Result};
use isol_trace_guest::truth::{
    command, kill,
    plan::{self, Part},
    results::tell,
    shared_page::MappedPage,
    trigger::actor::{self, Actor},
};

const USAGE: &str = "usage: truth list | all | alone | beside | run NAME… | observe [NAME…]";

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            tell(&format!("truth: {error:#}"));
            ExitCode::from(2)
        }
    }
}

/// The exit code for "nothing failed".
fn code(well: bool) -> ExitCode {
    if well {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(1)
    }
}

fn run() -> Result<ExitCode> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    if let [name] = arguments.as_slice()
        && let Some(part) = Part::named(name)
    {
        return plan::run_part(part).map(code);
    }
    match arguments.as_slice() {
        ["list"] => {
            for (name, about, on_two) in plan::list() {
                let on_two = on_two.map(|why| format!(" (on two lines: {why})"));
                let on_two = on_two.unwrap_or_default();
                writeln!(io::stdout(), "{name:<34} {about}{on_two}")?;
            }
            Ok(ExitCode::SUCCESS)
        }
        ["run", names @ ..] if !names.is_empty() => plan::run(names).map(code),
        ["observe", names @ ..] => plan::observe(names).map(code),
        ["trigger", name, fd, cpu, helper, rest @ ..] => {
            let number = |text: &str| text.parse().with_context(|| text.to_owned());
            let actor = Actor {
                shared_page: Arc::new(MappedPage::open(fd.parse()?)?),
                cpu: number(cpu)?,
                second: rest.first().map(|text| number(text)).transpose()?,
                helper: number(helper)?,
            };
            actor::run(name, &actor)?;
            Ok(ExitCode::SUCCESS)
        }
        ["victim", name] => Ok(ExitCode::from(kill::victim(name)?)),
        ["command", name, rest @ ..] => {
            let code = command::child(name, rest)?;
            Ok(ExitCode::from(code))
        }
        _ => {
            tell(USAGE);
            Ok(ExitCode::from(2))
        }
    }
}
