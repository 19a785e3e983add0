//! How the kernel was built: what isolation needs of it.

use super::Check;
use crate::{
    doctor::{
        Facts, Finding,
        finding::{Area::Kernel, Remedy, Severity},
        rule,
    },
    host::reading::Reading,
};

/// The checks.
pub(super) const CHECKS: &[Check] = &[Check::Always(options), Check::Always(entry_code)];

/// Options that isolation needs, each with the name that it had before.
const NEEDED: [(&str, &str); 4] = [
    ("NO_HZ_FULL", "NO_HZ_FULL"),
    // Renamed in 6.0.
    ("CONTEXT_TRACKING_USER", "CONTEXT_TRACKING"),
    ("RCU_NOCB_CPU", "RCU_NOCB_CPU"),
    ("CPU_ISOLATION", "CPU_ISOLATION"),
];

/// The options that isolation needs are set.
fn options(facts: &Facts) -> Finding {
    let id = "kernel-options";
    let config = match &facts.config {
        Reading::Known(config) => config,
        Reading::Unreadable(why) => return Finding::unreadable(id, Kernel, why),
        Reading::Absent => {
            let why = "the kernel's configuration is neither in /boot, nor with its modules, nor in /proc/config.gz";
            return unconfigured(facts, id, why);
        }
    };
    let missing: Vec<&str> = NEEDED
        .iter()
        .filter(|(name, before)| !config.has(name) && !config.has(before))
        .map(|(name, _)| *name)
        .collect();
    if missing.is_empty() {
        let summary = "The kernel has the options that isolation needs.";
        return Finding::new(id, Kernel, Severity::Fine, summary);
    }
    let summary = format!("The kernel is built without {}", listed(&missing, "", ", "));
    // Of these `nohz-full` speaks already.
    let is_told = facts.nohz_full == Reading::Absent;
    let owed = |name: &str| {
        let is_of_ticks = ["NO_HZ_FULL", "CONTEXT_TRACKING_USER"].contains(&name);
        missing.contains(&name) && !(is_told && is_of_ticks)
    };
    let finding = |severity| Finding::new(id, Kernel, severity, format!("{summary}."));
    let finding = if owed("CPU_ISOLATION") {
        finding(Severity::Defect).breach(
            rule::SECOND_TASK,
            "isolcpus= means nothing to it, and other tasks run on the CPUs",
        )
    } else if owed("NO_HZ_FULL") {
        finding(Severity::Defect).breach(
            rule::RESIDUAL_TICK,
            "nohz_full= means nothing to it, and the tick never stops while a task runs",
        )
    } else if owed("RCU_NOCB_CPU") {
        finding(Severity::Warning).breach(
            rule::RCU_CALLBACKS,
            "rcu_nocbs= means nothing to it, and RCU callbacks run where they were made",
        )
    } else if owed("CONTEXT_TRACKING_USER") {
        finding(Severity::Warning).cost("no breach: entries can only be derived from their causes")
    } else {
        let summary = format!("{summary}: see nohz-full.");
        return Finding::new(id, Kernel, Severity::Note, summary);
    };
    finding
        .change(format!(
            "Boot a kernel built with {}.",
            listed(&missing, "=y", " ")
        ))
        .verify(format!(
            "zgrep -hE 'CONFIG_({})=' /boot/config-$(uname -r) /proc/config.gz",
            NEEDED.map(|(name, _)| name).join("|")
        ))
}

/// Options by the names that a configuration has for them.
fn listed(names: &[&str], value: &str, between: &str) -> String {
    let names: Vec<_> = names
        .iter()
        .map(|name| format!("CONFIG_{name}{value}"))
        .collect();
    names.join(between)
}

/// The configuration is nowhere.
fn unconfigured(facts: &Facts, id: &'static str, why: &str) -> Finding {
    // With CONFIG_IKCONFIG=m it is in a module.
    let module = Remedy::Run("modprobe configs".to_owned());
    Finding::unseen(id, Kernel, why, module).change(format!(
        "Or put the configuration that the kernel was built with at /boot/config-{}.",
        facts.identity.kernel
    ))
}

/// The entry code is the generic one, tracks contexts off the stack, and knows no `TIF_NOHZ`: what
/// the kernel's side of task isolation builds on. x86 has had it all since before 5.15.
fn entry_code(facts: &Facts) -> Finding {
    let id = "entry-code";
    let config = match facts.config.known() {
        Some(config) => config,
        None if facts.is_x86() => {
            let summary = "Kernel entries of x86 go through the generic entry code.";
            return Finding::new(id, Kernel, Severity::Fine, summary);
        }
        None => {
            let why =
                "whether this kernel has the generic entry code, its configuration would tell";
            return unconfigured(facts, id, why);
        }
    };
    let mut owed = Vec::new();
    if !config.has("GENERIC_ENTRY") && !config.has("GENERIC_IRQ_ENTRY") {
        owed.push("the generic entry code (CONFIG_GENERIC_ENTRY or CONFIG_GENERIC_IRQ_ENTRY)");
    }
    // A fact of older kernels: the option of 6.0 and later had another name before.
    if !config.has("HAVE_CONTEXT_TRACKING_USER_OFFSTACK")
        && !config.has("HAVE_CONTEXT_TRACKING_OFFSTACK")
    {
        owed.push("context tracking off the stack (CONFIG_HAVE_CONTEXT_TRACKING_USER_OFFSTACK)");
    }
    if config.has("HAVE_TIF_NOHZ") {
        owed.push("an end of TIF_NOHZ (CONFIG_HAVE_TIF_NOHZ is set)");
    }
    if owed.is_empty() {
        let summary = "Kernel entries go through the generic entry code, with context tracking off the stack.";
        return Finding::new(id, Kernel, Severity::Fine, summary);
    }
    Finding::new(
        id,
        Kernel,
        Severity::Note,
        format!("This kernel's entry code still owes {}.", owed.join(", ")),
    )
    .cost("no breach: the kernel's side of task isolation cannot be built into it")
    .change("Arm64 has the generic entry code from Linux 7.2 on, x86 since 5.9.")
    .verify("zgrep -hE 'CONFIG_(GENERIC_ENTRY|GENERIC_IRQ_ENTRY|HAVE_CONTEXT_TRACKING(_USER)?_OFFSTACK|HAVE_TIF_NOHZ)=' /boot/config-$(uname -r) /proc/config.gz")
}
