//! One kernel command line and one script for all that was found.

use std::fmt::Write as _;

use super::{
    Facts, Finding, Severity,
    check::both,
    finding::{Remedy, Way},
};
use crate::{host::boot::BootArguments, printable::printable};

/// What mends the defects and warnings of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mending {
    /// What the next boot has to be told; `None` where nothing has to.
    pub boot: Option<BootLine>,
    /// A script of a shell, to be run as root after each boot.
    pub script: String,
    /// Findings that the script mends.
    pub run: Vec<&'static str>,
    /// Findings that neither does: what they say has to be done by a person.
    pub by_hand: Vec<&'static str>,
}

/// Arguments for the kernel's command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootLine {
    /// Those to add.
    pub add: Vec<String>,
    /// Those that are there and have to go, since others take their place.
    pub replaces: Vec<String>,
}

impl BootLine {
    /// The arguments to add, as they are typed.
    #[must_use]
    pub fn text(&self) -> String {
        self.add.join(" ")
    }
}

impl Mending {
    /// Of all findings about a host.
    #[must_use]
    pub fn of(facts: &Facts, findings: &[Finding]) -> Self {
        let (mut arguments, mut commands, mut by_hand) = (Vec::new(), Vec::new(), Vec::new());
        let bad = [Severity::Defect, Severity::Warning];
        for finding in findings.iter().filter(|it| bad.contains(&it.severity)) {
            match chosen(finding) {
                Some(Remedy::Boot(text)) => {
                    arguments.extend(text.split_whitespace().map(str::to_owned));
                }
                Some(Remedy::Run(command)) => commands.push((finding, command.as_str())),
                Some(Remedy::Change(_)) | None => by_hand.push(finding.id),
            }
        }
        let boot = merged(facts, arguments);
        Self {
            script: script(facts, boot.as_ref(), &commands),
            run: commands.iter().map(|(finding, _)| finding.id).collect(),
            boot,
            by_hand,
        }
    }
}

/// The remedy that the line or the script has of a finding; `None` where it is a person's.
fn chosen(finding: &Finding) -> Option<&Remedy> {
    let boot = || {
        finding
            .remedies
            .iter()
            .find(|it| matches!(it, Remedy::Boot(_)))
    };
    let run = || {
        let is_one_line = |text: &str| !text.contains(char::is_control);
        let mut commands = finding.remedies.iter();
        commands.find(|it| matches!(it, Remedy::Run(text) if is_one_line(text)))
    };
    match finding.way {
        Way::Command => run().or_else(boot),
        Way::Boot => boot().or_else(run),
        Way::Person => None,
    }
}

/// The arguments without doubles and contradictions, and what they take the place of.
fn merged(facts: &Facts, arguments: Vec<String>) -> Option<BootLine> {
    let boot = facts.boot.known();
    let mut add: Vec<String> = Vec::new();
    for argument in arguments {
        if !add.contains(&argument) {
            add.push(argument);
        }
    }
    // A reliable TSC is not checked either.
    if add.iter().any(|it| it == "tsc=reliable") {
        add.retain(|it| it != "tsc=nowatchdog");
    }
    let has = |add: &[String], name: &str| add.iter().any(|it| it.split('=').next() == Some(name));
    // Beside nohz_full= the flag nohz makes a kernel drop one of both (see the check isolcpus-nohz-flag).
    let has_flag = boot
        .and_then(BootArguments::isolcpus)
        .is_some_and(|isolcpus| isolcpus.has("nohz"));
    if has_flag && has(&add, "nohz_full") && !has(&add, "isolcpus") {
        add.extend(
            both(facts)
                .split_whitespace()
                .filter(|it| it.starts_with("isolcpus="))
                .map(str::to_owned),
        );
    }
    // CPUs of nohz_full= are offloaded with or without it (`rcu_init_nohz`, kernel/rcu/tree_nocb.h, 6.12).
    if has(&add, "nohz_full") {
        add.retain(|it| !it.starts_with("rcu_nocbs="));
    }
    if add.is_empty() {
        return None;
    }
    // nohz_full= before isolcpus=, whatever the order of the findings.
    add.sort_by_key(|it| match it.split('=').next() {
        Some("nohz_full") => 0,
        Some("isolcpus") => 1,
        _ => 2,
    });
    let mut replaces: Vec<String> = Vec::new();
    for argument in &add {
        let name = argument.split('=').next().unwrap_or_default();
        let there = boot.map(|boot| boot.typed(name)).unwrap_or_default();
        replaces.extend(there.into_iter().filter(|it| it != argument));
    }
    Some(BootLine { add, replaces })
}

/// The script.
fn script(facts: &Facts, boot: Option<&BootLine>, commands: &[(&Finding, &str)]) -> String {
    let mut script = String::from("#!/bin/sh\n");
    let mut line = |text: &str| {
        script.push_str(text);
        script.push('\n');
    };
    line(&printable(&format!(
        "# What isol-trace doctor found on {} (Linux {}), mended until the next boot.",
        facts.identity.host, facts.identity.kernel
    )));
    line(&format!(
        "# Isolated: {}; for everything else: {}.",
        facts.watched.in_words(),
        facts.noise_takers().in_words()
    ));
    line("# Run it as root, again after each boot; to run it twice does no harm.");
    if let Some(boot) = boot {
        line(&printable(&format!(
            "# The kernel command line needs{}: {}",
            instead(boot),
            boot.text()
        )));
    }
    line("set -eu");
    line("failed=");
    for (finding, command) in commands {
        // A name of a device or group stands in a sentence: it must not end the comment.
        line("");
        line(&printable(&format!(
            "# {}: {}",
            finding.id, finding.summary
        )));
        line(&format!(
            "( {command} ) || failed=\"$failed {}\"",
            finding.id
        ));
    }
    line("\nif [ -n \"$failed\" ]; then");
    line("    echo \"not mended:$failed\" >&2");
    line("    exit 1");
    line("fi");
    script
}

/// ` in place of …`, where there is something that has to go.
pub(super) fn instead(boot: &BootLine) -> String {
    let mut text = String::new();
    if !boot.replaces.is_empty() {
        // Writing to a string does not fail.
        let _ = write!(text, " in place of {}", boot.replaces.join(" "));
    }
    text
}
