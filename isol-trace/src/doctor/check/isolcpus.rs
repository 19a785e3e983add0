//! Whether the kernel took `isolcpus=` as it was typed, alone and beside `nohz_full=`.

use super::Check;
use crate::doctor::{
    Facts, Finding,
    finding::{Area::Isolation, Severity},
    rule,
};

/// The checks.
pub(super) const CHECKS: &[Check] = &[Check::Where(isolcpus_in_force), Check::Where(nohz_flag)];

const CPU_FOLDER: &str = "/sys/devices/system/cpu";

/// What `isolcpus=` asks for is what the kernel does.
fn isolcpus_in_force(facts: &Facts) -> Option<Finding> {
    let id = "isolcpus-in-force";
    let isolcpus = facts.boot.known()?.isolcpus()?;
    let defect = |summary: String| {
        Finding::new(id, Isolation, Severity::Defect, summary)
            .breach(
                rule::ISOLCPUS_DROPPED,
                "the CPUs are scheduled as any other, whatever the argument says",
            )
            .boot(both(facts))
            .verify(format!(
                "cat {CPU_FOLDER}/isolated; dmesg | grep -iE 'isolcpus|housekeeping'"
            ))
    };
    let Some(asked) = isolcpus.cpus.clone() else {
        return Some(defect(
            "The list of CPUs of isolcpus= cannot be read, and the kernel ignores the argument."
                .to_owned(),
        ));
    };
    if !isolcpus.is_domain() {
        return None;
    }
    let missing = &(&asked & &facts.present) - facts.isolated.known()?;
    if missing.is_empty() {
        let summary = format!(
            "The kernel took isolcpus= as asked, for {}.",
            asked.in_words()
        );
        return Some(Finding::new(id, Isolation, Severity::Fine, summary));
    }
    Some(defect(format!(
        "The argument isolcpus= asks for {}, and the kernel dropped it: its file `isolated` says otherwise.",
        missing.in_words()
    )))
}

/// The flag `nohz` of `isolcpus=`, together with `nohz_full=`.
///
/// The flag is what `nohz_full=` sets too: in 7.2 all of it, in 6.12 the tick alone. Where both stand,
/// the kernel compares their lists and drops the one that stands behind if they differ. Until 6.12 it
/// compares with what it has set; in 7.2 with `housekeeping_cpumask()`, which answers with all CPUs
/// until the static key is switched on later in boot: they never agree
/// (`housekeeping_setup`, kernel/sched/isolation.c, 6.1, 6.12 and 7.2; seen on 7.2 and 7.3). A dropped
/// `nohz_full=` costs the CPUs that it alone names: the flag has set the tick of its own list.
fn nohz_flag(facts: &Facts) -> Option<Finding> {
    let boot = facts.boot.known()?;
    let isolcpus = boot.isolcpus()?;
    if !isolcpus.has("nohz") || !boot.has("nohz_full") {
        return None;
    }
    let finding = |severity, summary: String| {
        Finding::new("isolcpus-nohz-flag", Isolation, severity, summary)
    };
    let back = "tasks and managed interrupts come back to the CPUs without a word";
    let lost = &(&boot.cpus("nohz_full").unwrap_or_default() & &facts.present) - &facts.tickless();
    let finding = match (facts.is_from(7, 2), isolcpus.behind_nohz_full) {
        (Some(true), true) => finding(
            Severity::Defect,
            "This kernel drops isolcpus=, with all its flags: it has the flag nohz and stands behind nohz_full=.".to_owned(),
        )
        .breach(rule::ISOLCPUS_DROPPED, back),
        (Some(true), false) if !lost.is_empty() => finding(
            Severity::Defect,
            format!(
                "This kernel drops nohz_full=, which stands behind an isolcpus= with the flag nohz: the tick does not stop on {}.",
                lost.in_words()
            ),
        )
        .breach(
            rule::RESIDUAL_TICK,
            "the tick interrupts these CPUs up to HZ times a second",
        ),
        (Some(true), false) => finding(
            Severity::Warning,
            "This kernel drops nohz_full=, which stands behind an isolcpus= with the flag nohz. The flag stops the tick of the same CPUs.".to_owned(),
        )
        .cost("nothing while both lists are the same: a CPU that only nohz_full= names keeps its tick"),
        _ => finding(
            Severity::Warning,
            "isolcpus= has the flag nohz beside nohz_full=: from Linux 7.2 on the kernel drops whichever of the two stands behind.".to_owned(),
        )
        .breach(rule::ISOLCPUS_DROPPED, back),
    };
    Some(
        finding
            .boot(both(facts))
            .verify("dmesg | grep 'nohz_full= must match isolcpus='"),
    )
}

/// Both arguments, as every kernel takes them.
pub(in crate::doctor) fn both(facts: &Facts) -> String {
    format!("nohz_full={} {}", facts.to_isolate(), facts.isolcpus())
}
