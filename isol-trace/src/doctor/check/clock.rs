//! The clock of the kernel: whether it is one to isolate CPUs with.

use super::Check;
use crate::{
    doctor::{
        Facts, Finding,
        finding::{Area::Clock, Severity},
        rule,
    },
    host::reading::Reading,
};

/// The checks.
pub(super) const CHECKS: &[Check] = &[
    Check::Where(source),
    Check::Where(watchdog),
    Check::Where(adjustment),
];

const FOLDER: &str = "/sys/devices/system/clocksource/clocksource0";

/// Clocks of x86 chipsets, which the kernel falls back to where it does not trust the TSC, and
/// which it checks the TSC against.
const CHIPSET: [&str; 2] = ["hpet", "acpi_pm"];

/// The kernel's clock of last resort, which the tick drives.
const TICK_DRIVEN: [&str; 2] = ["jiffies", "refined-jiffies"];

/// Clocks that programs read by themselves, of each architecture where that is known: those with a
/// mode for the vDSO (`arch/x86/kernel/tsc.c` and `kvmclock.c`, `drivers/clocksource/hyperv_timer.c`,
/// `arm_arch_timer.c` and `timer-riscv.c`, 6.12).
const READABLE: [(&str, &[&str]); 3] = [
    (
        "x86_64",
        &["tsc", "kvm-clock", "hyperv_clocksource_tsc_page"],
    ),
    ("aarch64", &["arch_sys_counter"]),
    ("riscv64", &["riscv_clocksource"]),
];

/// The clock is one that programs read by themselves, and that lets the tick stop.
fn source(facts: &Facts) -> Option<Finding> {
    let id = "clocksource";
    let current = match &facts.clock.current {
        Reading::Unreadable(why) => return Some(Finding::unreadable(id, Clock, why)),
        current => current.known()?,
    };
    let name = current.as_str();
    if TICK_DRIVEN.contains(&name) {
        let summary =
            format!("The clock is {name}, which counts ticks: the kernel found no other.");
        return Some(
            Finding::new(id, Clock, Severity::Defect, summary)
                .breach(
                    rule::RESIDUAL_TICK,
                    "without a clock that runs by itself the tick stops nowhere",
                )
                .change(
                    "Mend the machine's clock: dmesg says why the kernel takes none of the others.",
                )
                .verify(format!(
                    "cat {FOLDER}/current_clocksource; dmesg | grep -i clocksource"
                )),
        );
    }
    if !(facts.is_x86() && CHIPSET.contains(&name)) {
        let arch = READABLE
            .iter()
            .find(|(arch, _)| *arch == facts.identity.arch);
        let summary = format!("The clock is {name}");
        return Some(match arch {
            Some((_, names)) if names.contains(&name) => {
                Finding::new(id, Clock, Severity::Fine, format!("{summary}."))
            }
            Some((_, names)) => Finding::new(
                id,
                Clock,
                Severity::Warning,
                format!(
                    "{summary}. Those that programs are known to read by themselves are here {}.",
                    names.join(", ")
                ),
            )
            .cost("every clock_gettime() may be a system call")
            .change("Choose another of available_clocksource, where the kernel trusts one.")
            .verify(format!(
                "grep . {FOLDER}/*_clocksource; dmesg | grep -i clocksource"
            )),
            None => Finding::new(
                id,
                Clock,
                Severity::Note,
                format!(
                    "{summary}. Whether programs can read it by themselves is not known of {}.",
                    facts.identity.arch
                ),
            ),
        });
    }
    Some(
        Finding::new(
            id,
            Clock,
            Severity::Defect,
            format!("The clock is {current}: the kernel found the TSC missing or unstable, or was told so."),
        )
        .breach(rule::TICK_CLOCK_UNSTABLE,
            "without a stable clock the tick does not stop, and every clock_gettime() is a system call",
        )
        .boot("tsc=reliable")
        .by_hand()
        .change("Only where the TSC is known to be good: dmesg says why the kernel gave it up.")
        .verify(format!("cat {FOLDER}/current_clocksource; dmesg | grep -i -e tsc -e clocksource")),
    )
}

/// Nobody checks the clock on the watched CPUs. On 6.12 a timer wanders over all online CPUs once
/// every half second to do it (`clocksource_watchdog`, kernel/time/clocksource.c); seen to enter
/// isolated CPUs on 6.1 and 6.12. From 7.2 on the boot CPU's timer calls the others
/// (`watchdog_check_skew_remote`, seen on 7.3).
fn watchdog(facts: &Facts) -> Option<Finding> {
    let id = "clocksource-watchdog";
    if !facts.is_x86() {
        return None;
    }
    let available = match &facts.clock.available {
        Reading::Unreadable(why) => return Some(Finding::unreadable(id, Clock, why)),
        available => available.known()?,
    };
    let has = |name: &str| available.iter().any(|it| it == name);
    let is_checked = has("tsc") && CHIPSET.iter().any(|name| has(name));
    let boot = facts.boot.known();
    let told = boot.and_then(|boot| {
        ["nowatchdog", "reliable"]
            .into_iter()
            .find(|value| boot.is("tsc", value))
    });
    let fine = |summary: String| Some(Finding::new(id, Clock, Severity::Fine, summary));
    match (told, facts.clock.trusts_tsc) {
        _ if !is_checked => {
            fine("No clock is checked against another: there is none to do it with.".to_owned())
        }
        (Some(value), _) => fine(format!("The TSC is not checked, by tsc={value}.")),
        (None, Some(true)) => {
            fine("The kernel trusts the TSC of this CPU and does not check it.".to_owned())
        }
        (None, trusted) => {
            let (severity, summary) = if trusted.is_some() {
                (
                    Severity::Defect,
                    "The kernel checks the TSC against another clock, on every online CPU in turn.",
                )
            } else {
                (
                    Severity::Warning,
                    "The kernel may check the TSC against another clock, on every online CPU in turn: what this CPU has cannot be read.",
                )
            };
            Some(
                Finding::new(id, Clock, severity, summary)
                    .breach(rule::CLOCKSOURCE_WATCHDOG,
                        "a timer, or from Linux 7.2 on a call from another CPU, about once a second",
                    )
                    .boot("tsc=nowatchdog")
                    .verify("dmesg | grep -i clocksource; grep -o 'tsc=[a-z]*' /proc/cmdline"),
            )
        }
    }
}

/// Nobody checks the TSC's adjustment. Where the CPU has the register and the TSC is not declared
/// reliable, a timer visits each CPU in turn every ten minutes (`start_sync_check_timer`,
/// `arch/x86/kernel/tsc_sync.c`, 6.12).
fn adjustment(facts: &Facts) -> Option<Finding> {
    let id = "tsc-adjust-check";
    let is_told = facts.boot.known()?.is("tsc", "reliable");
    if !facts.is_x86() || is_told || !facts.clock.checks_tsc_adjust? {
        return None;
    }
    Some(
        Finding::new(
            id,
            Clock,
            Severity::Warning,
            "The kernel checks the register TSC_ADJUST of every CPU, one after the other.",
        )
        .breach(
            rule::TSC_ADJUST_CHECK,
            "a timer visits each CPU, one every ten minutes; tsc=nowatchdog does not end it",
        )
        .boot("tsc=reliable")
        .verify("grep -o 'tsc=[a-z]*' /proc/cmdline"),
    )
}
