//! The checks that need no run: formatting, clippy on both sides, documentation, licences.

mod licences;

use std::process::{Command, ExitCode};

use anyhow::Result;

use crate::{
    exec::{self, Pace},
    phases::Phases,
    say::say,
    setup::{BuildTools, Setup, target_folder},
    tally::{Tally, Verdict},
};

/// The target of the BPF crate, which has no standard library of its own.
const BPF: [&str; 3] = [
    "--package=isol-trace-ebpf",
    "--target=bpfel-unknown-none",
    "-Zbuild-std=core",
];

/// Where that is compiled, in cargo's folder. Apart from the host's: its unstable flag would
/// otherwise rebuild that side each time.
const BPF_FOLDER: &str = "bpf-lint";

/// Everything but the BPF crate, which builds only for the BPF target.
const HOST: [&str; 2] = ["--workspace", "--exclude=isol-trace-ebpf"];

/// Runs every check, and counts each as one test.
pub(crate) fn run(setup: &Setup) -> Result<ExitCode> {
    let (tally, phases) = checks(&setup.build_tools()?, Pace::Full);
    say(format!("lint: {phases}"));
    Ok(tally.close())
}

/// Every check, counted, and how long each took.
pub(crate) fn checks(tools: &BuildTools, pace: Pace) -> (Tally, Phases) {
    let checks: [(&str, Check); 5] = [
        ("formatting", format),
        ("clippy, host", clippy_host),
        ("clippy, BPF", clippy_bpf),
        ("documentation", documentation),
        ("licences and sources", licences),
    ];
    let mut tally = Tally::default();
    let mut phases = Phases::begin();
    for (name, check) in checks {
        say(format!("lint: {name}"));
        let verdict = match check(tools, pace) {
            Ok(()) => Verdict::Pass,
            Err(error) => Verdict::Fail(format!("{error:#}")),
        };
        tally.add(name, &verdict);
        phases.end(name);
    }
    (tally, phases)
}

/// One check.
type Check = fn(&BuildTools, Pace) -> Result<()>;

fn format(tools: &BuildTools, pace: Pace) -> Result<()> {
    exec::shown(pace, tools.cargo().args(["fmt", "--all", "--check"]))
}

fn clippy_host(tools: &BuildTools, pace: Pace) -> Result<()> {
    let mut cargo = quiet(tools);
    cargo.arg("clippy").args(HOST);
    exec::shown(pace, cargo.args(["--all-targets", "--", "--deny=warnings"]))
}

fn clippy_bpf(tools: &BuildTools, pace: Pace) -> Result<()> {
    let mut cargo = quiet(tools);
    cargo.env("RUSTC_BOOTSTRAP", "1").arg("clippy").args(BPF);
    cargo
        .arg("--target-dir")
        .arg(target_folder().join(BPF_FOLDER));
    exec::shown(pace, cargo.args(["--", "--deny=warnings"]))
}

fn documentation(tools: &BuildTools, pace: Pace) -> Result<()> {
    let mut cargo = quiet(tools);
    cargo.env("RUSTDOCFLAGS", "--deny=warnings").arg("doc");
    cargo.args(HOST);
    exec::shown(pace, cargo.args(["--no-deps", "--document-private-items"]))
}

fn licences(tools: &BuildTools, _pace: Pace) -> Result<()> {
    licences::check(tools)
}

/// Cargo's progress is for a person; a log keeps what it finds.
fn quiet(tools: &BuildTools) -> Command {
    let mut cargo = tools.cargo();
    cargo.env("CARGO_TERM_PROGRESS_WHEN", "never");
    cargo
}
