//! `truth`: the ground truth of isol-trace, to be run as root in a test guest.
//!
//! - `truth list`: the tests' names
//! - `truth run NAME…`, `truth all`: runs tests against the isol-trace in the path
//! - `truth observe NAME…`: what the kernel itself says of provocations, without isol-trace
//! - `truth provoke …`: what the tests start on the watched CPU

use std::{
    env,
    io::{self, Write},
    process::ExitCode,
    sync::Arc,
};

use anyhow::{Context, Result};
use isol_trace_guest::truth::{
    plan,
    provoke::actor::{self, Actor},
    results::tell,
    stage::SharedStage,
};

const USAGE: &str = "usage: truth list | all | run NAME… | observe [NAME…]";

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            tell(&format!("truth: {error:#}"));
            ExitCode::from(2)
        }
    }
}

fn run() -> Result<bool> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["list"] => {
            for (name, about) in plan::list() {
                writeln!(io::stdout(), "{name:<34} {about}")?;
            }
            Ok(true)
        }
        ["all"] => plan::run(&[]),
        ["run", names @ ..] if !names.is_empty() => plan::run(names),
        ["observe", names @ ..] => plan::observe(names),
        ["provoke", name, fd, cpu, helper, rest @ ..] => {
            let number = |text: &str| text.parse().with_context(|| text.to_owned());
            let actor = Actor {
                stage: Arc::new(SharedStage::open(fd.parse()?)?),
                cpu: number(cpu)?,
                second: rest.first().map(|text| number(text)).transpose()?,
                helper: number(helper)?,
            };
            actor::run(name, &actor)?;
            Ok(true)
        }
        _ => {
            tell(USAGE);
            Ok(false)
        }
    }
}
