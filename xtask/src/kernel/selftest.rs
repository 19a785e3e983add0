//! The series' own tests, in a guest of its kernel.

use std::time::Duration;

use anyhow::Result;

use super::{
    build::Built,
    complaints::complaints,
    tap::{self, SILENCE, Tested},
};
use crate::{
    setup::KernelImage,
    tally::Verdict,
    verdicts::Verdicts,
    vm::{Guest, Host, initramfs::Extra, qemu::QUIET},
};

/// How long all of them may take.
const LIMIT: Duration = Duration::from_mins(15);

/// Where the program is in the guest.
const PROGRAM: &str = "/root/selftest";

/// Seconds that a quiet guest is left alone before its first test. On 7.3 two of four runs that began at 8 s after
/// boot had a test that something visited, none of those that began at 16 s. The timer that ends a slice
/// ([`SILENCE`]) was one such visitor, at any time; whether it was the only one is not known.
const SETTLED: u32 = 12;

/// The kernel's log has room for a whole run. It is read at the end: a lock checker that prints to the
/// serial console where that one's own lock is held never comes back.
const LOG_SIZE: &str = "log_buf_len=4M";

/// Besides the two CPUs that are isolated at boot one that has no tick and is isolated by a cpuset later.
const ISOLATION: &str = "nohz_full=1-3 isolcpus=domain,managed_irq,1-2 rcu_nocbs=1-3";

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

/// Options that have the program run the tests that failed alone; none, and so all, where there are none or
/// where it is no test that failed but what a whole run shows.
fn only(failed: &[String]) -> String {
    let name = |test: &String| Some(format!(" -t {}", test.split_once('.')?.1));
    let options: Option<String> = failed.iter().map(name).collect();
    options.unwrap_or_default()
}

/// Runs them, or those that failed again, and says what became of each.
pub(super) fn run(
    host: &Host,
    kernel: KernelImage,
    built: &Built,
    failed: &[String],
) -> Result<Verdicts> {
    let only = only(failed);
    let script = format!(
        "{SILENCE}; sleep {SETTLED}; TASK_ISOLATION_INJECTOR=1 {PROGRAM}{only}; status=$?; dmesg >&2; exit $status"
    );
    let command = ["sh", "-c", &script].map(str::to_owned).to_vec();
    let guest = Guest {
        append: format!("{QUIET} {LOG_SIZE} {ISOLATION}"),
        extras: vec![Extra::new(built.selftest(), PROGRAM)],
        limit: LIMIT,
        injects: injection,
        ..Guest::new(kernel, command)
    };
    let Tested { mut verdicts, log } = tap::run(host, &guest)?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tests_that_failed_are_run_again_alone() {
        let only =
            |failed: &[&str]| only(&failed.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(only(&[]), "");
        assert_eq!(only(&["isolated.a", "global.b"]), " -t a -t b");
        assert_eq!(only(&["isolated.a", "log"]), "", "all");
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
}
