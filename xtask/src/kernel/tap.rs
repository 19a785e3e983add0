//! A program of tests in a guest, which says by the Test Anything Protocol what became of each.

use anyhow::Result;

use crate::{
    say::say,
    tally::Verdict,
    verdicts::Verdicts,
    vm::{Guest, Host, Outcome, Output},
};

/// Shell code that quiets what a lone task meets whoever it is.
///
/// The interrupts of the guest's own devices move away, each when it comes next, and so something is
/// printed. 6.12's fair server looks after its CPU once a second. khugepaged has each CPU drain its
/// batches of pages every ten seconds (`khugepaged_do_scan()`, mm/khugepaged.c, v6.12): it does so now,
/// and then not for an hour. 7.3 ends the slices of tasks that share a CPU by a timer (`hrtick`, kernel/sched/core.c),
/// which it leaves armed for the rest of the slice where the other task has gone meanwhile: it met a
/// test that another task had just left, and was seen in a trace of that test. Without it the tick ends slices, as on 6.12.
/// Then the guest comes to rest: no test begins before.
pub(super) const SILENCE: &str = "{ \
    for irq in /proc/irq/*/smp_affinity; do echo 1 > $irq; done; \
    for cpu in /sys/kernel/debug/sched/fair_server/cpu*; do echo 0 > $cpu/runtime; done; \
    echo 3600000 > /sys/kernel/mm/transparent_hugepage/khugepaged/scan_sleep_millisecs; \
    echo NO_HRTICK > /sys/kernel/debug/sched/features; \
    } 2>/dev/null; echo '# the guest falls silent'; settle || exit";

/// What became of the tests.
#[derive(Debug)]
pub(super) struct Tested {
    /// Each test's verdict, and whether the run was whole.
    pub(super) verdicts: Verdicts,
    /// What the kernel said, and the program on its standard error.
    pub(super) log: String,
}

/// Runs a guest whose command is such a program.
pub(super) fn run(host: &Host, guest: &Guest) -> Result<Tested> {
    let (mut text, mut log) = (Vec::new(), Vec::new());
    let mut output = Output {
        stdout: &mut text,
        stderr: &mut log,
        result: &mut |line| say(format!("kernel: {line}")),
    };
    let outcome = host.run(guest, &mut output)?;
    let text = String::from_utf8_lossy(&text);
    say(&text);
    for line in reasons(&String::from_utf8_lossy(&log)) {
        say(line);
    }
    let mut verdicts = verdicts(&text);
    verdicts.push(("run".to_owned(), whole(&outcome, &text, verdicts.len())));
    Ok(Tested {
        verdicts,
        log: format!("{}{}", outcome.console, String::from_utf8_lossy(&log)),
    })
}

/// What a test of the kernel's harness expected and did not find: it says so on its standard error
/// (`__EXPECT()`, `tools/testing/selftests/kselftest_harness.h`, v6.12: `# FILE:LINE:TEST:…`).
fn reasons(log: &str) -> impl Iterator<Item = &str> {
    log.lines().filter(|line| {
        line.strip_prefix("# ")
            .is_some_and(|rest| rest.contains(".c:"))
    })
}

/// Whether the guest came to its end and each test has a verdict. A program that only says why it
/// tests nothing has no plan, and is not whole.
fn whole(outcome: &Outcome, text: &str, verdicts: usize) -> Verdict {
    if let Some(failure) = outcome.failure() {
        return Verdict::Fail(failure);
    }
    if let Some(why) = bailed_out(text) {
        return Verdict::Fail(why.to_owned());
    }
    match planned(text) {
        Some(planned) if planned == verdicts => Verdict::Pass,
        Some(planned) => Verdict::Fail(format!("{verdicts} of {planned} tests have a verdict")),
        None => Verdict::Fail(format!("no plan of tests; the guest {outcome:?}")),
    }
}

/// Why the tests were given up, where they were.
fn bailed_out(text: &str) -> Option<&str> {
    text.lines()
        .find_map(|line| line.strip_prefix("Bail out!"))
        .map(str::trim)
}

/// How many tests there are: the plan line, `1..N`.
fn planned(text: &str) -> Option<usize> {
    let plan = text.lines().find_map(|line| line.strip_prefix("1.."))?;
    plan.trim().parse().ok()
}

/// The verdict of each test.
fn verdicts(text: &str) -> Verdicts {
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
    use crate::vm::Fault;

    const TEXT: &str = "TAP version 13\n1..3\n#  RUN           global.one ...\nok 1 global.one\n\
                        not ok 2 isolated.two\nok 3 isolated.three # SKIP no second CPU\n# Totals: pass:1\n";

    #[test]
    fn each_test_has_its_verdict() {
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
    fn a_run_is_whole_where_each_planned_test_has_a_verdict() {
        let whole = |end, text, verdicts| {
            let outcome = Outcome {
                end,
                results: Vec::new(),
                console: String::new(),
                repeated: false,
            };
            whole(&outcome, text, verdicts) == Verdict::Pass
        };
        assert!(whole(Ok(1), TEXT, 3));
        assert!(!whole(Ok(1), TEXT, 2));
        assert!(!whole(Ok(0), "ok 1 global.one\n", 1));
        assert!(!whole(Err(Fault::Ended(String::new())), TEXT, 3));
    }

    #[test]
    fn what_was_expected_is_said() {
        let log = "[    3.1] a.c:1: of the kernel\n# task_isolation.c:540:is_left_alone:Expected 0 (0) == traced (1)\n# other\n";
        let reasons: Vec<_> = reasons(log).collect();
        assert_eq!(
            reasons,
            ["# task_isolation.c:540:is_left_alone:Expected 0 (0) == traced (1)"]
        );
    }

    #[test]
    fn tests_that_were_given_up_say_why() {
        let outcome = Outcome {
            end: Ok(1),
            results: Vec::new(),
            console: String::new(),
            repeated: false,
        };
        let text = "# the guest falls silent\nBail out! CPU 1 is not left alone\n";
        let Verdict::Fail(why) = whole(&outcome, text, 0) else {
            panic!("a run without tests is not whole");
        };
        assert_eq!(why, "CPU 1 is not left alone");
    }
}
