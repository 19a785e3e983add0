//! The help of every command, reviewed as a whole: a change of the command line shows here.

#![expect(clippy::unwrap_used, reason = "a helper of tests fails as tests do")]

use std::{fmt::Write as _, process::Command};

/// What the binary prints, which is expected to succeed.
fn stdout(words: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_isol-trace"))
        .args(words)
        .env_remove("COLUMNS")
        .output()
        .unwrap();
    assert!(output.status.success());
    assert!(output.stderr.is_empty());
    String::from_utf8(output.stdout).unwrap()
}

/// Every command.
const COMMANDS: [&str; 8] = [
    "top",
    "record",
    "explain",
    "report",
    "doctor",
    "schema",
    "completions",
    "man",
];

#[test]
fn help() {
    let mut all = stdout(&["--help"]);
    for command in COMMANDS {
        let help = stdout(&[command, "--help"]);
        assert!(help.contains("Example"), "{command} has no example");
        write!(all, "\n──── isol-trace {command} ────\n\n{help}").unwrap();
    }
    insta::assert_snapshot!(all);
}

#[test]
fn short_and_long_help_agree() {
    // That of doctor says more in its long form.
    for command in [
        "top",
        "record",
        "explain",
        "report",
        "schema",
        "completions",
        "man",
    ] {
        assert_eq!(stdout(&[command, "-h"]), stdout(&[command, "--help"]));
    }
}

#[test]
fn version() {
    let expected = format!("isol-trace {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(stdout(&["--version"]), expected);
    assert_eq!(stdout(&["-V"]), expected);
}

#[test]
fn manual_pages_name_what_they_describe() {
    assert!(stdout(&["man"]).contains(".TH isol-trace 1"));
    let page = stdout(&["man", "record"]);
    assert!(page.contains(".TH isol-trace-record 1"), "{page}");
    assert!(page.contains("from\\-prctl"));
    for name in COMMANDS {
        let page = stdout(&["man", name]);
        assert!(!page.contains("EXTRA"), "{page}");
        assert!(page.contains("\n.SH EXAMPLES\n"), "{page}");
        assert_eq!(page.contains("\n.SH KEYS\n"), name == "top");
    }
}

/// What bash completes where the last of these words ends, by the script that is printed.
fn completed(words: &[&str]) -> Vec<String> {
    let script = stdout(&["completions", "bash"]);
    let (current, before) = words.split_last().unwrap();
    let previous = before.last().copied().unwrap_or_default();
    let words: Vec<_> = words.iter().map(|word| format!("'{word}'")).collect();
    let ask = format!(
        "{script}\n\
         [[ $(complete -p isol-trace) == *' -F '* ]] || exit 3\n\
         COMP_WORDS=({}); COMP_CWORD={}\n\
         f=$(complete -p isol-trace); f=${{f##* -F }}; f=${{f%% *}}\n\
         \"$f\" isol-trace '{current}' '{previous}'\n\
         printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        words.join(" "),
        before.len(),
    );
    let output = Command::new("bash")
        .args(["--norc", "--noprofile", "-c", &ask])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let said = String::from_utf8(output.stdout).unwrap();
    said.lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_commands_and_their_options() {
    assert!(completed(&["isol-trace", "rec"]).contains(&"record".to_owned()));
    for (command, option) in [
        ("record", "--duration"),
        ("explain", "--strict"),
        ("top", "--cpus"),
        ("report", "--format"),
        ("doctor", "--json"),
        ("help", "record"),
    ] {
        let start = option.get(..3).unwrap();
        let found = completed(&["isol-trace", command, start]);
        assert!(found.contains(&option.to_owned()), "{command}: {found:?}");
    }
    assert!(completed(&["isol-trace", "completions", "z"]).contains(&"zsh".to_owned()));
    assert_eq!(
        completed(&["isol-trace", "report", "--format", ""]),
        ["csv"]
    );
    // A task's name is no file: there is a folder `src` here.
    assert_eq!(completed(&["isol-trace", "record", "--comm", "sr"]), ["sr"]);
}

#[test]
fn help_is_a_command_as_well() {
    assert_eq!(stdout(&["help"]), stdout(&["--help"]));
    assert_eq!(stdout(&["help", "record"]), stdout(&["record", "--help"]));
}

#[test]
fn completions_exist_for_every_shell() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = stdout(&["completions", shell]);
        assert!(script.contains("bpf-stats"), "{shell}");
    }
}

#[test]
fn the_schema_is_json() {
    let schema: serde_json::Value = serde_json::from_str(&stdout(&["schema"])).unwrap();
    assert!(schema.is_object());
}
