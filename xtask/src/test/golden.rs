//! The verdict of every probe on every kernel line, kept in the tree: a probe that quietly goes
//! missing fails the test.

use std::{collections::BTreeMap, fmt::Write as _, fs, path::PathBuf};

use anyhow::{Context as _, Result};

use crate::{setup::workspace, tally::Verdict, truth::Probe};

/// The table of a kernel line.
fn path(line: &str) -> PathBuf {
    workspace().join(format!("xtask/golden/{line}.txt"))
}

/// Compares what a guest found with the table of its line, or writes the table.
pub(super) fn check(line: &str, probes: &[Probe], bless: bool) -> Result<Verdict> {
    let path = path(line);
    if bless {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&path, table(probes))
            .with_context(|| format!("cannot write {}", path.display()))?;
        return Ok(Verdict::Pass);
    }
    let Ok(golden) = fs::read_to_string(&path) else {
        return Ok(Verdict::Fail(format!(
            "no table of this line; look at what it would be and keep it with `cargo xtask test \
             --kernel {line} --bless`"
        )));
    };
    let differences = differences(&golden, probes);
    Ok(if differences.is_empty() {
        Verdict::Pass
    } else {
        Verdict::Fail(format!(
            "{}; if that is right, `cargo xtask test --kernel {line} --bless` keeps it",
            differences.join("; ")
        ))
    })
}

/// The table's text: one probe a line, by name.
fn table(probes: &[Probe]) -> String {
    let sorted: BTreeMap<&str, &str> = probes
        .iter()
        .map(|probe| (probe.name.as_str(), probe.state.as_str()))
        .collect();
    let mut text = String::new();
    for (name, state) in sorted {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{name}\t{state}");
    }
    text
}

/// What differs between the table and what a guest found.
fn differences(golden: &str, probes: &[Probe]) -> Vec<String> {
    let mut wanted: BTreeMap<&str, &str> = golden
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .collect();
    let mut differences = Vec::new();
    for probe in probes {
        let why = probe.why.as_deref().unwrap_or("no reason given");
        match wanted.remove(probe.name.as_str()) {
            Some(state) if state == probe.state => {}
            Some(state) => differences.push(format!(
                "{} is {} ({why}), and was {state}",
                probe.name, probe.state
            )),
            None => differences.push(format!("{} is new ({})", probe.name, probe.state)),
        }
    }
    differences.extend(
        wanted
            .into_iter()
            .map(|(name, state)| format!("{name} is gone, and was {state}")),
    );
    differences
}

#[cfg(test)]
mod tests {
    use super::*;

    fn probe(name: &str, state: &str) -> Probe {
        Probe {
            name: name.into(),
            state: state.into(),
            why: (state == "absent").then(|| "no such tracepoint".into()),
        }
    }

    #[test]
    fn a_table_fits_what_it_was_made_from() {
        let probes = [probe("b", "absent"), probe("a", "attached")];
        let text = table(&probes);
        assert_eq!(text, "a\tattached\nb\tabsent\n");
        assert_eq!(differences(&text, &probes), [""; 0]);
    }

    #[test]
    fn every_difference_is_named() {
        let golden = "a\tattached\nb\tattached\n";
        let found = differences(golden, &[probe("b", "absent"), probe("c", "attached")]);
        assert_eq!(
            found,
            [
                "b is absent (no such tracepoint), and was attached",
                "c is new (attached)",
                "a is gone, and was attached",
            ]
        );
    }
}
