//! `docs/remedies.md` says what the table says.

use std::{fmt::Write as _, fs, path::PathBuf};

use super::{
    super::{Numbers, Rule, Template},
    embedded,
};

/// Set, it makes the test write what it compares.
const UPDATE: &str = "ISOL_TRACE_UPDATE_DOCS";

/// The line that the table begins after.
const BEGIN: &str = "<!-- From isol-trace/src/remedy/rules.toml; not edited here. -->\n";

fn section(text: &mut String, rule: &Rule) {
    let Rule {
        id,
        why,
        remedy,
        ends,
        run,
        boot,
        verify,
        kernels,
        tried,
        source,
        host_only,
    } = rule;
    let only = if *host_only {
        " No breach shows this; it takes a look at the host."
    } else {
        ""
    };
    let numbers = Numbers::example();
    let filled = |template: &Template| template.text(&numbers);
    write!(
        text,
        "\n### `{id}`\n\n{}{only}\n\n- **Remedy.** {}\n- **Ended by.** {}\n",
        filled(why),
        filled(remedy),
        ends.sentence()
    )
    .expect("memory has room");
    for command in run {
        writeln!(text, "- **Run.** `{}`", filled(command)).expect("memory has room");
    }
    if !boot.is_empty() {
        let boot: Vec<_> = boot.iter().map(filled).collect();
        writeln!(text, "- **Boot.** `{}`", boot.join(" ")).expect("memory has room");
    }
    write!(
        text,
        "- **Verify.** {}\n- **Kernels.** {kernels}\n",
        filled(verify)
    )
    .expect("memory has room");
    if !tried.is_empty() {
        let what = match (run.is_empty(), boot.is_empty()) {
            (false, _) => "commands",
            (true, false) => "arguments",
            (true, true) => "change of a program",
        };
        writeln!(text, "- **Tried.** The {what}, on {}.", tried.join(" and "))
            .expect("memory has room");
    }
    if let Some(source) = source {
        writeln!(text, "- **Source.** {source}").expect("memory has room");
    }
}

#[test]
fn the_document_has_every_rule_in_full() {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/remedies.md");
    let document = fs::read_to_string(&path).expect("the document");
    let (head, table) = document
        .split_once(BEGIN)
        .expect("the line that the table begins after");
    let mut expected = String::new();
    for rule in embedded().all() {
        section(&mut expected, rule);
    }
    if std::env::var_os(UPDATE).is_some() {
        fs::write(&path, format!("{head}{BEGIN}{expected}")).expect("the document");
        return;
    }
    assert!(
        table == expected,
        "docs/remedies.md is not what rules.toml says: run this test with {UPDATE}=1"
    );
}
