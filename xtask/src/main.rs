//! The developer's commands.
//!
//! - [`setup`]: what the others need and a machine may lack, kept in [`cache`];
//! - [`build`]: the workspace's programs;
//! - [`vm`]: one command in one guest;
//! - [`mod@test`], [`lint`]: the checks; [`truth`]: the ground truth in one guest;
//! - [`verdicts`], [`tally`]: what they find, and counting it;
//! - [`phases`]: how long each took;
//! - [`kernel`]: the kernel with the task-isolation series, and its selftests;
//! - [`demo`]: the tool at work;
//! - [`mod@bench`]: what it costs.

mod arch;
mod bench;
mod build;
mod cache;
mod cli;
mod demo;
mod exec;
mod kernel;
mod lint;
mod phases;
mod progress;
mod say;
mod setup;
mod tally;
mod test;
mod truth;
mod verdicts;
mod vm;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    match cli::Cli::parse().run() {
        Ok(code) => code,
        Err(error) => {
            say::say(format!("xtask: {error:#}"));
            ExitCode::from(2)
        }
    }
}
