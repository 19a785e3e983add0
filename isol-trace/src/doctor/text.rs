//! The report for people: the worst first, 80 columns, commands on lines of their own.

use std::fmt::Write as _;

use unicode_width::UnicodeWidthStr as _;

use super::{
    Finding, Report, Severity,
    coverage::{blind_spot_lines, detection_lines, probe_lines},
};

/// Columns of a line, save one with a command: that stays whole, to be copied.
const WIDTH: usize = 80;

/// Columns before what belongs to a finding.
const INDENT: &str = "    ";

/// Columns of the words `costs`, `boot`, `change` and `verify`.
const LABEL: usize = 8;

/// The whole report.
#[must_use]
pub fn text(report: &Report) -> String {
    let mut text = String::new();
    head(&mut text, report);
    for &severity in Severity::ALL {
        let findings: Vec<_> = report
            .findings
            .iter()
            .filter(|finding| finding.severity == severity)
            .collect();
        if findings.is_empty() {
            continue;
        }
        let _ = writeln!(text, "\n{}", title(severity));
        if severity == Severity::Fine {
            let _ = writeln!(text);
            table(&mut text, &findings);
        } else {
            for finding in findings {
                in_full(&mut text, finding);
            }
        }
    }
    coverage(&mut text, report);
    text
}

fn head(text: &mut String, report: &Report) {
    let facts = &report.facts;
    let identity = &facts.identity;
    let _ = writeln!(
        text,
        "{} · Linux {} · {}",
        identity.host, identity.kernel, identity.arch
    );
    let _ = writeln!(text, "watched: {}", facts.watched);
    let _ = writeln!(text, "housekeeping: {}", facts.housekeeping);
    let counts: Vec<String> = Severity::ALL
        .iter()
        .map(|&severity| {
            let count = report.count(severity);
            let plural = if count == 1 || severity == Severity::Fine {
                ""
            } else {
                "s"
            };
            format!("{count} {}{plural}", severity.word())
        })
        .collect();
    let _ = writeln!(text, "{}", counts.join(", "));
}

const fn title(severity: Severity) -> &'static str {
    match severity {
        Severity::Defect => "Defects",
        Severity::Warning => "Warnings",
        Severity::Note => "Notes",
        Severity::Fine => "Fine",
    }
}

/// A finding with all that it says.
fn in_full(text: &mut String, finding: &Finding) {
    let _ = writeln!(text, "\n  {} ({})", finding.id, finding.area.word());
    wrapped(text, &finding.summary, INDENT, INDENT);
    if let Some(cost) = finding.cost {
        let what = match cost.rule {
            Some(rule) => format!("{rule}: {}", cost.what),
            None => cost.what.to_owned(),
        };
        labelled(text, "costs", &what);
    }
    for remedy in &finding.remedies {
        match remedy {
            super::finding::Remedy::Change(sentence) => labelled(text, remedy.word(), sentence),
            _ => whole(text, remedy.word(), remedy.text()),
        }
    }
    if let Some(command) = &finding.verify {
        whole(text, "verify", command);
    }
}

/// A word and a sentence behind it, in columns.
fn labelled(text: &mut String, label: &str, sentence: &str) {
    let first = format!("{INDENT}{label:LABEL$}");
    let rest = " ".repeat(first.len());
    wrapped(text, sentence, &first, &rest);
}

/// A word and a command behind it, on one line.
fn whole(text: &mut String, label: &str, command: &str) {
    let _ = writeln!(text, "{INDENT}{label:LABEL$}{command}");
}

/// Findings in two columns.
fn table(text: &mut String, findings: &[&Finding]) {
    let widest = findings.iter().map(|it| it.id.len()).max().unwrap_or(0);
    for finding in findings {
        let first = format!("  {:widest$}  ", finding.id);
        wrapped(text, &finding.summary, &first, &" ".repeat(first.len()));
    }
}

fn coverage(text: &mut String, report: &Report) {
    let coverage = &report.coverage;
    let _ = writeln!(text, "\nWhat a trace would see\n");
    if let Some(why) = &coverage.unknown {
        wrapped(text, &format!("Not known: {why}."), "  ", "  ");
        return;
    }
    let lines = detection_lines(&coverage.detection).chain(blind_spot_lines(&coverage.blind_spots));
    for line in lines {
        wrapped(text, &line, "  ", "    ");
    }
    let _ = writeln!(
        text,
        "  {} of {} probes would attach{}",
        coverage.attachable(),
        coverage.probes.len(),
        if report.facts.hindrances.is_empty() {
            ""
        } else {
            ", once what keeps them out is mended"
        }
    );
    for line in probe_lines(&coverage.absent()) {
        let _ = writeln!(text, "  {line}");
    }
    wrapped(
        text,
        "This is what the kernel's types say. `isol-trace record --dry-run` proves it: it attaches every probe once, which interrupts every CPU.",
        "  ",
        "  ",
    );
}

/// Writes a sentence in lines, `first` before the first of them and `rest` before the others.
fn wrapped(text: &mut String, sentence: &str, first: &str, rest: &str) {
    let mut line = first.to_owned();
    let mut is_empty = true;
    for word in sentence.split_whitespace() {
        if !is_empty && line.width() + 1 + word.width() > WIDTH {
            let _ = writeln!(text, "{}", line.trim_end());
            rest.clone_into(&mut line);
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line.push_str(word);
        is_empty = false;
    }
    let _ = writeln!(text, "{}", line.trim_end());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_are_wrapped_and_aligned() {
        let mut text = String::new();
        labelled(&mut text, "costs", &"word ".repeat(20));
        let lines: Vec<_> = text.lines().collect();
        assert!(lines.len() > 1);
        assert!(lines.iter().all(|line| line.width() <= WIDTH));
        assert!(lines[0].starts_with("    costs   word"));
        assert!(lines[1].starts_with("            word"));
    }

    #[test]
    fn a_word_that_is_too_long_stays_whole() {
        let mut text = String::new();
        wrapped(&mut text, &format!("a {}", "b".repeat(90)), "", "  ");
        assert_eq!(text, format!("a\n  {}\n", "b".repeat(90)));
    }
}
