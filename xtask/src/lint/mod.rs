//! The checks that need no run: formatting, clippy on both sides, documentation, licences.

mod licences;

use std::process::{Command, ExitCode, Stdio};

use anyhow::Result;

use crate::{
    exec,
    phases::Phases,
    say::say,
    setup::{BuildTools, Setup},
    tally::{Tally, Verdict},
};

/// The target of the BPF crate, which has no standard library of its own.
const BPF: [&str; 4] = [
    "--package=isol-trace-ebpf",
    "--target=bpfel-unknown-none",
    "-Zbuild-std=core",
    // Apart from the host's: its unstable flag would otherwise rebuild that side each time.
    "--target-dir=target/bpf-lint",
];

/// Everything but the BPF crate, which builds only for the BPF target.
const HOST: [&str; 2] = ["--workspace", "--exclude=isol-trace-ebpf"];

/// Runs every check, and counts each as one test.
pub(crate) fn run(setup: &Setup) -> Result<ExitCode> {
    let tools = setup.build_tools()?;
    let checks: [(&str, Check); 5] = [
        ("formatting", format),
        ("clippy, host", clippy_host),
        ("clippy, BPF", clippy_bpf),
        ("documentation", documentation),
        ("licences and sources", licences::check),
    ];
    let mut tally = Tally::default();
    let mut phases = Phases::begin();
    for (name, check) in checks {
        say(format!("lint: {name}"));
        let verdict = match check(&tools) {
            Ok(()) => Verdict::Pass,
            Err(error) => Verdict::Fail(format!("{error:#}")),
        };
        tally.add(name, &verdict);
        phases.end(name);
    }
    say(format!("lint: {phases}"));
    Ok(tally.close())
}

/// One check.
type Check = fn(&BuildTools) -> Result<()>;

fn format(tools: &BuildTools) -> Result<()> {
    exec::shown(tools.cargo().args(["fmt", "--all", "--check"]))
}

fn clippy_host(tools: &BuildTools) -> Result<()> {
    exec::shown(quiet(&mut tools.cargo()).arg("clippy").args(HOST).args([
        "--all-targets",
        "--",
        "--deny=warnings",
    ]))
}

fn clippy_bpf(tools: &BuildTools) -> Result<()> {
    exec::shown(
        quiet(&mut tools.cargo())
            .env("RUSTC_BOOTSTRAP", "1")
            .arg("clippy")
            .args(BPF)
            .args(["--", "--deny=warnings"]),
    )
}

fn documentation(tools: &BuildTools) -> Result<()> {
    exec::shown(
        quiet(&mut tools.cargo())
            .env("RUSTDOCFLAGS", "--deny=warnings")
            .arg("doc")
            .args(HOST)
            .args(["--no-deps", "--document-private-items"]),
    )
}

/// Cargo's progress is for a person; a log keeps what it finds.
fn quiet(command: &mut Command) -> &mut Command {
    command
        .env("CARGO_TERM_PROGRESS_WHEN", "never")
        .stdout(Stdio::null())
}
