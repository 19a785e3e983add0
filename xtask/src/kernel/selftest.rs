//! The series' own tests, in a guest of its kernel.

use std::time::Duration;

use anyhow::Result;

use super::{build::Built, complaints::complaints};
use crate::{
    say::say,
    setup::KernelImage,
    tally::Verdict,
    verdicts::Verdicts,
    vm::{Guest, Host, Output, initramfs::Extra, qemu::QUIET},
};

/// How long all of them may take.
const LIMIT: Duration = Duration::from_mins(15);

/// Where the program is in the guest.
const PROGRAM: &str = "/root/selftest";

/// What has to be quiet before: 6.12's fair server looks after the CPU of a lone task once a second.
const SCRIPT: &str = "for cpu in /sys/kernel/debug/sched/fair_server/cpu*; do echo 0 > $cpu/runtime; \
                      done 2>/dev/null; export TASK_ISOLATION_INJECTOR=1; /root/selftest; status=$?; \
                      dmesg >&2; exit $status";

/// The kernel's log has room for a whole run. It is read at the end: a lock checker that prints to the
/// serial console where that one's own lock is held never comes back.
const LOG_SIZE: &str = "log_buf_len=4M";

/// How a test asks on the console for what only the emulator can do.
const REQUEST: &str = "task_isolation: inject ";

/// What is injected as a machine check: bank 1 holds a deferred error (`MCI_STATUS_VAL`, UC, EN and
/// DEFERRED; arch/x86/include/asm/mce.h), which AMD's severity code only has logged, and the program
/// can go on (`MCG_STATUS_RIPV` and MCIP).
const MACHINE_CHECK: &str = "1 0xb000100000000000 5 0 0";

/// What the emulator's monitor is told for a line of the console: an NMI for every CPU, or a machine
/// check for one.
fn injection(line: &str) -> Option<String> {
    let (_, request) = line.split_once(REQUEST)?;
    match request.trim().split_once(' ') {
        None => (request.trim() == "nmi").then(|| "nmi".to_owned()),
        Some(("mce", cpu)) => {
            let cpu: u32 = cpu.parse().ok()?;
            Some(format!("mce {cpu} {MACHINE_CHECK}"))
        }
        Some(_) => None,
    }
}

/// Runs them, and says what became of each.
pub(super) fn run(host: &Host, kernel: KernelImage, built: &Built) -> Result<Verdicts> {
    let command = ["sh", "-c", SCRIPT].map(str::to_owned).to_vec();
    let guest = Guest {
        append: format!("{QUIET} {LOG_SIZE}"),
        extras: vec![Extra::new(built.selftest(), PROGRAM)],
        limit: LIMIT,
        injects: injection,
        ..Guest::new(kernel, command)
    };
    let (mut text, mut log) = (Vec::new(), Vec::new());
    let mut output = Output {
        stdout: &mut text,
        stderr: &mut log,
        result: &mut |line| say(format!("kernel: {line}")),
    };
    let outcome = host.run(&guest, &mut output)?;
    let text = String::from_utf8_lossy(&text);
    say(&text);
    let mut verdicts = verdicts(&text);
    let whole = match planned(&text) {
        _ if outcome.end.is_err() => Verdict::Fail(outcome.failure().unwrap_or_default()),
        Some(number) if number == verdicts.len() => Verdict::Pass,
        number => Verdict::Fail(format!(
            "{} of {number:?} tests have a verdict",
            verdicts.len()
        )),
    };
    verdicts.push(("run".to_owned(), whole));
    let log = format!("{}{}", outcome.console, String::from_utf8_lossy(&log));
    verdicts.push(("log".to_owned(), no_complaints(&log)));
    verdicts.push(("build".to_owned(), no_complaints(&built.warnings()?)));
    Ok(verdicts)
}

/// Whether there is no complaint in what a kernel or its build has said.
fn no_complaints(text: &str) -> Verdict {
    let found = complaints(text);
    if found.is_empty() {
        return Verdict::Pass;
    }
    Verdict::Fail(found.join("\n"))
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
    fn a_request_is_a_command_of_the_monitor() {
        let asked =
            |request: &str| injection(&format!("[    3.1] task_isolation: inject {request}"));
        assert_eq!(asked("nmi").as_deref(), Some("nmi"));
        assert_eq!(
            asked("mce 1").as_deref(),
            Some("mce 1 1 0xb000100000000000 5 0 0")
        );
        assert_eq!(asked("mce 1; quit"), None);
        assert_eq!(asked("quit"), None);
        assert_eq!(injection("task_isolation: nmi"), None);
    }

    #[test]
    fn a_text_without_a_plan_has_no_number_of_tests() {
        assert_eq!(planned("ok 1 global.one\n"), None);
    }
}
