//! The report for people: the worst first, commands on lines of their own.

use clap::builder::styling::{AnsiColor, Style};
use unicode_width::UnicodeWidthStr as _;

use crate::printable::printable;

use super::{
    Finding, Report, Severity,
    coverage::{blind_spot_lines, detection_lines, probe_rows},
    finding::Remedy,
    mending::instead,
};

/// What the report is written on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Page {
    /// Columns of a line, save one with a command: that stays whole, to be copied.
    width: usize,
    /// Severities may have colours.
    color: bool,
}

impl Page {
    /// A file, a pipe, or whatever else is no terminal.
    pub const PLAIN: Self = Self {
        width: 80,
        color: false,
    };

    /// A terminal. A line of more than 100 columns is hard to read, and one of less than 40 has no
    /// room for what stands before a sentence.
    #[must_use]
    pub fn terminal(columns: Option<u16>, color: bool) -> Self {
        let width = columns.filter(|&columns| columns > 0);
        Self {
            width: width.map_or(Self::PLAIN.width, |it| usize::from(it).clamp(40, 100)),
            color,
        }
    }

    /// A word in the colour of its severity; there are the words without it too.
    fn colored(self, severity: Severity, word: &str) -> String {
        let style = match severity {
            Severity::Defect => AnsiColor::Red.on_default().bold(),
            Severity::Warning => AnsiColor::Magenta.on_default(),
            Severity::Note => Style::new(),
            Severity::Fine => AnsiColor::Green.on_default(),
        };
        if self.color && style != Style::new() {
            format!("{style}{word}{style:#}")
        } else {
            word.to_owned()
        }
    }
}

/// Columns before what belongs to a finding.
const INDENT: &str = "    ";

/// Columns of the words `costs`, `boot`, `change` and `verify`.
const LABEL: usize = 8;

/// The whole report.
#[must_use]
pub fn text(report: &Report, page: Page) -> String {
    let mut text = Lines {
        text: String::new(),
        page,
    };
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
        text.line("");
        text.line(&page.colored(severity, title(severity)));
        if severity == Severity::Fine {
            text.line("");
            table(&mut text, &findings);
        } else {
            for finding in findings {
                in_full(&mut text, finding);
            }
        }
    }
    coverage(&mut text, report);
    mending(&mut text, report);
    text.line("");
    counted(&mut text, report);
    text.text
}

/// Lines that are being written.
struct Lines {
    text: String,
    page: Page,
}

impl Lines {
    fn line(&mut self, line: &str) {
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }

    /// Writes a sentence in lines, `first` before the first of them and `rest` before the others.
    fn wrapped(&mut self, sentence: &str, first: &str, rest: &str) {
        let mut line = first.to_owned();
        let mut is_empty = true;
        for word in printable(sentence).split_whitespace() {
            if !is_empty && line.width() + 1 + word.width() > self.page.width {
                self.line(&line);
                rest.clone_into(&mut line);
                is_empty = true;
            }
            if !is_empty {
                line.push(' ');
            }
            line.push_str(word);
            is_empty = false;
        }
        self.line(&line);
    }

    /// A word and a sentence behind it, in columns.
    fn labelled(&mut self, label: &str, sentence: &str) {
        let first = format!("{INDENT}{label:LABEL$}");
        let rest = " ".repeat(first.len());
        self.wrapped(sentence, &first, &rest);
    }

    /// A word and a command behind it, on one line.
    fn whole(&mut self, label: &str, command: &str) {
        let line = format!("{INDENT}{label:LABEL$}{}", printable(command));
        self.line(&line);
    }
}

fn head(text: &mut Lines, report: &Report) {
    let facts = &report.facts;
    let identity = &facts.identity;
    let identity = format!(
        "{} · Linux {} · {}",
        identity.host, identity.kernel, identity.arch
    );
    text.line(&printable(&identity));
    text.line(&format!("watched: {}", facts.watched));
    text.line(&format!("housekeeping: {}", facts.housekeeping));
}

/// How many findings there are of each severity: the last line, which a screen still shows.
fn counted(text: &mut Lines, report: &Report) {
    let counts: Vec<String> = Severity::ALL
        .iter()
        .map(|&severity| {
            let count = report.count(severity);
            let plural = if count == 1 || severity == Severity::Fine {
                ""
            } else {
                "s"
            };
            let words = format!("{count} {}{plural}", severity.word());
            // What there is none of needs no colour.
            if count == 0 {
                words
            } else {
                text.page.colored(severity, &words)
            }
        })
        .collect();
    text.line(&counts.join(", "));
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
fn in_full(text: &mut Lines, finding: &Finding) {
    text.line("");
    text.line(&format!("  {} ({})", finding.id, finding.area.word()));
    text.wrapped(&finding.summary, INDENT, INDENT);
    if let Some(cost) = finding.cost {
        let what = match cost.rule {
            Some(rule) => format!("{rule}: {}", cost.what),
            None => cost.what.to_owned(),
        };
        text.labelled("costs", &what);
    }
    for remedy in &finding.remedies {
        match remedy {
            Remedy::Change(sentence) => text.labelled(remedy.word(), sentence),
            Remedy::Boot(_) | Remedy::Run(_) => text.whole(remedy.word(), remedy.text()),
        }
    }
    if let Some(command) = &finding.verify {
        text.whole("verify", command);
    }
}

/// Findings in two columns.
fn table(text: &mut Lines, findings: &[&Finding]) {
    let widest = findings.iter().map(|it| it.id.len()).max().unwrap_or(0);
    for finding in findings {
        let first = format!("  {:widest$}  ", finding.id);
        text.wrapped(&finding.summary, &first, &" ".repeat(first.len()));
    }
}

fn coverage(text: &mut Lines, report: &Report) {
    let coverage = &report.coverage;
    text.line("");
    text.line("What a trace would see");
    text.line("");
    if let Some(why) = &coverage.unknown {
        text.wrapped(&format!("Not known: {why}."), "  ", "  ");
        return;
    }
    let lines = detection_lines(&coverage.detection).chain(blind_spot_lines(&coverage.blind_spots));
    for line in lines {
        text.wrapped(&line, "  ", "    ");
    }
    text.line(&format!(
        "  {} of {} probes would attach{}",
        coverage.attachable(),
        coverage.probes.len(),
        if report.facts.hindrances.is_empty() {
            ""
        } else {
            ", once what keeps them out is mended"
        }
    ));
    for (columns, why) in probe_rows(&coverage.absent()) {
        let first = format!("  {columns}");
        text.wrapped(why, &first, &" ".repeat(first.len()));
    }
    text.wrapped(
        "This is what the kernel's types say. `isol-trace record --dry-run` proves it: it attaches every probe once, which interrupts every CPU.",
        "  ",
        "  ",
    );
}

/// The command line and the script for all that was found.
fn mending(text: &mut Lines, report: &Report) {
    let mending = &report.mending;
    if mending.boot.is_none() && mending.run.is_empty() && mending.by_hand.is_empty() {
        return;
    }
    text.line("");
    text.line("To mend it all");
    if let Some(boot) = &mending.boot {
        text.line("");
        let where_to = format!("Add to the kernel command line{}, and boot:", instead(boot));
        text.wrapped(&where_to, "  ", "  ");
        text.whole("boot", &boot.text());
    }
    if !mending.run.is_empty() {
        text.line("");
        let what = format!(
            "Run this script as root, now and after each boot. It is for {}.",
            mending.run.join(", ")
        );
        text.wrapped(&what, "  ", "  ");
        let cpus = &report.facts.watched;
        text.whole(
            "run",
            &format!("isol-trace doctor --cpus {cpus} --script | sh"),
        );
    }
    if !mending.by_hand.is_empty() {
        text.line("");
        let what = format!(
            "These need your decision; see above: {}.",
            mending.by_hand.join(", ")
        );
        text.wrapped(&what, "  ", "  ");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(page: Page, write: impl FnOnce(&mut Lines)) -> String {
        let mut lines = Lines {
            text: String::new(),
            page,
        };
        write(&mut lines);
        lines.text
    }

    #[test]
    fn sentences_are_wrapped_and_aligned() {
        for (columns, width) in [(Some(120), 100), (Some(60), 60), (Some(3), 40), (None, 80)] {
            let page = Page::terminal(columns, false);
            let text = lines(page, |text| text.labelled("costs", &"word ".repeat(40)));
            let lines: Vec<_> = text.lines().collect();
            assert!(lines.len() > 1);
            assert!(lines.iter().all(|line| line.width() <= width));
            let widest = lines.iter().map(|line| line.width()).max();
            assert!(widest > Some(width - 5), "{widest:?} of {width}");
            assert!(lines[0].starts_with("    costs   word"));
            assert!(lines[1].starts_with("            word"));
        }
        assert_eq!(Page::terminal(Some(0), false), Page::PLAIN);
    }

    #[test]
    fn a_word_that_is_too_long_stays_whole() {
        let sentence = format!("a {}", "b".repeat(90));
        let text = lines(Page::PLAIN, |text| text.wrapped(&sentence, "", "  "));
        assert_eq!(text, format!("a\n  {}\n", "b".repeat(90)));
    }

    #[test]
    fn nothing_steers_the_terminal() {
        let text = lines(Page::PLAIN, |text| {
            text.wrapped("a \u{1b}[2Jb", "", "");
            text.whole("run", "echo \u{7}\n");
        });
        assert_eq!(text, "a \\u{1b}[2Jb\n    run     echo \\u{7}\\n\n");
    }

    #[test]
    fn severities_have_colours_where_they_may() {
        let color = Page::terminal(None, true);
        assert_eq!(
            color.colored(Severity::Defect, "defect"),
            "\u{1b}[1m\u{1b}[31mdefect\u{1b}[0m"
        );
        assert_eq!(color.colored(Severity::Note, "note"), "note");
        assert_eq!(Page::PLAIN.colored(Severity::Defect, "defect"), "defect");
    }
}
