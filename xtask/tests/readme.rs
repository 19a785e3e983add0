//! Every developer's command that the documents show exists, with its options.

#![expect(clippy::unwrap_used, reason = "a helper of tests fails as tests do")]

use std::{fs, path::Path, process::Command};

/// The help of a command; it must have one.
fn help(command: &str) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args([command, "--help"])
        .output()
        .unwrap();
    assert!(output.status.success(), "cargo xtask {command} --help");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn every_command_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut commands = 0;
    for name in [
        "README.md",
        "CONTRIBUTING.md",
        "docs/adding-a-probe.md",
        "docs/limits.md",
    ] {
        let text = fs::read_to_string(root.join(name)).unwrap();
        for part in text.split("cargo xtask ").skip(1) {
            let part = part.split(['`', '\n', '|', '#']).next().unwrap_or_default();
            // What follows ` -- ` is the guest's command.
            let part = part.split(" -- ").next().unwrap_or_default();
            let mut words = part.split_whitespace();
            let Some(command) = words.next() else {
                continue;
            };
            let help = help(command);
            for option in words.filter(|word| word.starts_with("--")) {
                assert!(
                    help.contains(option),
                    "{name}: cargo xtask {command} {option}"
                );
            }
            commands += 1;
        }
    }
    assert!(commands > 5, "only {commands} commands were found");
}
