//! What the documents show is what the program does: commands parse, lines satisfy the schema,
//! links lead somewhere, numbers are those of the code.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a helper of tests fails as tests do"
)]

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
};

use clap::Parser as _;
use isol_trace::{cli::Cli, doctor, wire::SCHEMA};
use isol_trace_common::{
    activity::Activity,
    cause::Cause,
    kill::KillRecord,
    record::{Back, Entry, FEW_ACTIVITIES, FullEntry, Kin, Kind, MAX_ACTIVITIES, Moved, Task},
    send::Send,
    user_stack::UserStack,
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(name: &str) -> String {
    fs::read_to_string(root().join(name)).expect(name)
}

/// Every document, by its path from the root.
fn documents() -> Vec<String> {
    let pages = fs::read_dir(root().join("docs")).unwrap();
    let mut names: Vec<_> = pages
        .map(|page| page.unwrap().file_name().into_string().unwrap())
        .filter(|name| Path::new(name).extension().is_some_and(|it| it == "md"))
        .map(|name| format!("docs/{name}"))
        .collect();
    names.extend(["README.md", "CONTRIBUTING.md", "kernel/README.md"].map(str::to_owned));
    names.sort();
    names
}

/// What stands in fences: the word behind the first one, and the lines.
fn fences(text: &str) -> Vec<(&str, Vec<&str>)> {
    let mut all: Vec<(&str, Vec<&str>)> = Vec::new();
    let mut inside = false;
    for line in text.lines() {
        if let Some(word) = line.strip_prefix("```") {
            inside ^= true;
            if inside {
                all.push((word, Vec::new()));
            }
        } else if inside && let Some((_, lines)) = all.last_mut() {
            lines.push(line);
        }
    }
    all
}

/// The lines inside of fences.
fn fenced(text: &str) -> Vec<&str> {
    fences(text)
        .into_iter()
        .flat_map(|(_, lines)| lines)
        .collect()
}

/// The records of logs: one a line, or one in a fence that says `json`.
fn records(text: &str) -> Vec<String> {
    let mut all = Vec::new();
    for (word, lines) in fences(text) {
        if word == "json" {
            all.push(lines.join("\n"));
        } else {
            let lines = lines.into_iter();
            let records = lines.filter(|line| line.starts_with("{\"type\""));
            all.extend(records.map(str::to_owned));
        }
    }
    all
}

#[test]
fn every_line_of_a_log_satisfies_the_schema() {
    let validator = |schema| {
        let schema = serde_json::from_str(schema).unwrap();
        jsonschema::validator_for(&schema).unwrap()
    };
    let (log, doctor) = (validator(SCHEMA), validator(doctor::json::SCHEMA));
    let mut kinds = Vec::new();
    for name in documents() {
        let text = read(&name);
        for line in records(&text) {
            let value: serde_json::Value = serde_json::from_str(&line)
                .unwrap_or_else(|error| panic!("{name}: {error}: {line}"));
            let validator = match value["type"].as_str() {
                Some("doctor") => &doctor,
                _ => &log,
            };
            let errors: Vec<_> = validator
                .iter_errors(&value)
                .map(|error| error.to_string())
                .collect();
            assert!(errors.is_empty(), "{name}: {line}\n{errors:#?}");
            kinds.push(format!("{name}: {}", value["type"].as_str().unwrap()));
        }
    }
    for kind in [
        "README.md: breach",
        "docs/json.md: header",
        "docs/json.md: summary",
    ] {
        assert!(kinds.iter().any(|it| it == kind), "nowhere {kind}");
    }
}

/// What a person reads first is short, and fits a terminal.
#[test]
fn the_readme_fits() {
    let text = read("README.md");
    assert!(text.lines().count() <= 120);
    for line in text.lines() {
        assert!(line.chars().count() <= 100, "{line}");
    }
}

#[test]
fn every_command_parses() {
    let mut commands = 0;
    for name in documents() {
        for line in fenced(&read(&name)) {
            let line = line.trim_start_matches("$ ").trim_start_matches("sudo ");
            // The first line of the screen has more than one blank after the name.
            if !line.starts_with("isol-trace ") || line.starts_with("isol-trace  ") {
                continue;
            }
            let command = line.split(" | ").next().unwrap_or(line);
            let command = command.split(" > ").next().unwrap_or(command);
            let command = command.split("  #").next().unwrap_or(command);
            if let Err(error) = Cli::try_parse_from(words(command)) {
                panic!("{name}: {line}: {error}");
            }
            commands += 1;
        }
    }
    assert!(commands > 5, "only {commands} commands were found");
}

/// The words of a command, as a shell takes them: what is in single quotes is one.
fn words(command: &str) -> Vec<OsString> {
    let mut words = Vec::new();
    for (n, part) in command.split('\'').enumerate() {
        if n % 2 == 1 {
            words.push(part.into());
        } else {
            words.extend(part.split_whitespace().map(OsString::from));
        }
    }
    words
}

/// Code that a page shows names its file, where it stands to the letter: so it compiles.
#[test]
fn every_line_of_code_is_that_of_its_file() {
    let mut all = 0;
    for name in documents() {
        for (word, lines) in fences(&read(&name)) {
            let Some(file) = word.strip_prefix("rust") else {
                continue;
            };
            let code = lines.join("\n");
            let file = file.trim();
            assert!(!file.is_empty(), "{name}: of which file is this?\n{code}");
            assert!(
                read(file).contains(&format!("{code}\n")),
                "{name}: {file} has it otherwise:\n{code}"
            );
            all += 1;
        }
    }
    assert!(all >= 4, "only {all} pieces of code were found");
}

#[test]
fn every_link_leads_to_a_file() {
    let mut links = 0;
    for name in documents() {
        let text = read(&name);
        let folder = root().join(&name).parent().unwrap().to_path_buf();
        for part in text.split("](").skip(1) {
            let target = part.split([')', '#']).next().unwrap_or_default();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            assert!(folder.join(target).exists(), "{name}: {target}");
            links += 1;
        }
    }
    assert!(links > 10, "only {links} links were found");
}

#[test]
fn the_wire_is_as_described() {
    let text = read("docs/wire.md");
    for cause in Cause::ALL {
        let row = format!("| {} `{}` |", *cause as u8, cause.word());
        assert!(text.contains(&row), "{row}");
    }
    for activity in Activity::ALL {
        let row = format!("| {} `{}` |", *activity as u8, activity.word());
        assert!(text.contains(&row), "{row}");
    }
    for &kind in Kind::ALL {
        let size = match kind {
            Kind::Entry => size_of::<Entry>(),
            Kind::EntrySyscall => size_of::<Entry>() + size_of::<[u64; 6]>(),
            Kind::EntryFew => size_of::<FullEntry<FEW_ACTIVITIES>>(),
            Kind::EntryMany => size_of::<FullEntry<MAX_ACTIVITIES>>(),
            Kind::Task => size_of::<Task>(),
            Kind::Back => size_of::<Back>(),
            Kind::Send => size_of::<Send>(),
            Kind::Moved => size_of::<Moved>(),
            Kind::Kill => size_of::<KillRecord>(),
            Kind::UserStack => size_of::<UserStack>(),
            Kind::Kin => size_of::<Kin>(),
        };
        let row = format!("| {} | `{}` | {size} |", kind as u8, kind.word());
        assert!(text.contains(&row), "{row}");
    }
}
