//! The series' own tests, in a guest of its kernel.

use std::{io, time::Duration};

use anyhow::Result;

use super::build::Built;
use crate::{
    say::say,
    setup::KernelImage,
    tally::{Tally, Verdict},
    vm::{Guest, Host, Output, initramfs::Extra, qemu::QUIET},
};

/// How long all of them may take.
const LIMIT: Duration = Duration::from_mins(15);

/// Where the program is in the guest.
const PROGRAM: &str = "/root/selftest";

/// What has to be quiet before: 6.12's fair server looks after the CPU of a lone task once a second.
const SCRIPT: &str = "for cpu in /sys/kernel/debug/sched/fair_server/cpu*; do echo 0 > $cpu/runtime; \
                      done 2>/dev/null; exec /root/selftest";

/// Runs them, and counts each.
pub(super) fn run(
    host: &Host,
    kernel: KernelImage,
    built: &Built,
    tally: &mut Tally,
) -> Result<()> {
    let command = ["sh", "-c", SCRIPT].map(str::to_owned).to_vec();
    let guest = Guest {
        append: QUIET.to_owned(),
        extras: vec![Extra::new(built.selftest(), PROGRAM)],
        limit: LIMIT,
        ..Guest::new(kernel, command)
    };
    let mut text = Vec::new();
    let mut output = Output {
        stdout: &mut text,
        stderr: &mut io::stderr(),
        result: &mut |line| say(format!("kernel: {line}")),
    };
    let outcome = host.run(&guest, &mut output)?;
    let text = String::from_utf8_lossy(&text);
    say(&text);
    let verdicts = verdicts(&text);
    let planned = planned(&text);
    for (name, verdict) in &verdicts {
        tally.add(name, verdict);
    }
    if planned != Some(verdicts.len()) {
        let told = format!(
            "{} of {planned:?} tests have a verdict; the guest {outcome:?}",
            verdicts.len()
        );
        tally.add("run", &Verdict::Fail(told));
    }
    Ok(())
}

/// How many tests there are: the plan line, `1..N`.
pub(super) fn planned(text: &str) -> Option<usize> {
    let plan = text.lines().find_map(|line| line.strip_prefix("1.."))?;
    plan.trim().parse().ok()
}

/// The verdict of each test, from the lines of the Test Anything Protocol.
pub(super) fn verdicts(text: &str) -> Vec<(String, Verdict)> {
    text.lines().filter_map(verdict).collect()
}

fn verdict(line: &str) -> Option<(String, Verdict)> {
    let (passed, rest) = match line.strip_prefix("not ok ") {
        Some(rest) => (false, rest),
        None => (true, line.strip_prefix("ok ")?),
    };
    let (_number, rest) = rest.split_once(' ')?;
    let (name, why) = match rest.split_once(" # SKIP ") {
        Some((name, why)) => (name, Some(why)),
        None => (rest, None),
    };
    let verdict = match (passed, why) {
        (true, None) => Verdict::Pass,
        (true, Some(why)) => Verdict::Skip(why.to_owned()),
        (false, _) => Verdict::Fail("see its lines above".to_owned()),
    };
    Some((name.to_owned(), verdict))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "TAP version 13\n1..3\n#  RUN           global.one ...\nok 1 global.one\n\
                        not ok 2 isolated.two\nok 3 isolated.three # SKIP no second CPU\n# Totals: pass:1\n";

    #[test]
    fn each_test_has_its_verdict() {
        assert_eq!(planned(TEXT), Some(3));
        let verdicts = verdicts(TEXT);
        let told: Vec<_> = verdicts
            .iter()
            .map(|(name, verdict)| {
                let word = match verdict {
                    Verdict::Pass => "pass",
                    Verdict::Skip(why) => why,
                    Verdict::Fail(_) => "fail",
                };
                (name.as_str(), word)
            })
            .collect();
        let expected = [
            ("global.one", "pass"),
            ("isolated.two", "fail"),
            ("isolated.three", "no second CPU"),
        ];
        assert_eq!(told, expected);
    }

    #[test]
    fn a_text_without_a_plan_has_no_number_of_tests() {
        assert_eq!(planned("ok 1 global.one\n"), None);
    }
}
