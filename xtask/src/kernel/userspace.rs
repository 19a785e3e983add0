//! The crate for programs that use the series: its tests and examples, in a guest of its kernel.

use std::{io, path::PathBuf, time::Duration};

use anyhow::{Context as _, Result};

use super::selftest::{planned, verdicts};
use crate::{
    build,
    say::say,
    setup::{KernelImage, Setup},
    tally::Verdict,
    verdicts::Verdicts,
    vm::{Guest, Host, Output, initramfs::Extra, qemu::QUIET},
};

/// How long all of them may take.
const LIMIT: Duration = Duration::from_mins(5);

/// Where the programs are in the guest.
const FOLDER: &str = "/root";

/// The one that tests; it starts the others itself.
const TESTS: &str = "guest";

/// The examples.
const EXAMPLES: [&str; 2] = ["compute", "oneshot"];

/// What has to be quiet before: the interrupts of the guest's own devices, which move with the next one,
/// and so something is printed; and 6.12's fair server, which looks after the CPU of a lone task once a
/// second.
const SCRIPT: &str = "for irq in /proc/irq/*/smp_affinity; do echo 1 > $irq; done 2>/dev/null; \
                      echo '# interrupts move'; sleep 1; \
                      for cpu in /sys/kernel/debug/sched/fair_server/cpu*; do echo 0 > $cpu/runtime; \
                      done 2>/dev/null; exec /root/guest";

/// Runs them, and says what became of each.
pub(super) fn run(setup: &Setup, host: &Host, kernel: KernelImage) -> Result<Verdicts> {
    let programs = build::task_isolation(&setup.build_tools()?)?;
    let command = ["sh", "-c", SCRIPT].map(str::to_owned).to_vec();
    let guest = Guest {
        append: QUIET.to_owned(),
        extras: extras(&programs)?,
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
    let mut verdicts = verdicts(&text);
    // A kernel that lacks the feature has no plan either: this one must not.
    let planned = planned(&text);
    if planned != Some(verdicts.len()) {
        let told = format!(
            "{} of {planned:?} tests of the crate have a verdict; the guest {outcome:?}",
            verdicts.len()
        );
        verdicts.push(("run".to_owned(), Verdict::Fail(told)));
    }
    Ok(verdicts)
}

/// The programs with their places in the guest.
fn extras(programs: &[(String, PathBuf)]) -> Result<Vec<Extra>> {
    let extra = |name| {
        let found = programs.iter().find(|(built, _)| built == name);
        let (_, path) = found.with_context(|| format!("cargo built no {name}"))?;
        Ok(Extra::new(path.clone(), &format!("{FOLDER}/{name}")))
    };
    [TESTS].into_iter().chain(EXAMPLES).map(extra).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_is_missing_is_named() {
        let built = |name: &str| (name.to_owned(), PathBuf::from("/t").join(name));
        let programs = [built("guest"), built("compute"), built("oneshot")];
        assert_eq!(extras(&programs).unwrap().len(), 3);
        let error = extras(&programs[..2]).unwrap_err().to_string();
        assert!(error.contains("oneshot"), "{error}");
    }
}
