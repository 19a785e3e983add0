//! How the kernel was built: what isolation needs of it.

use super::Check;
use crate::{
    doctor::{
        Facts, Finding,
        finding::{Area::Kernel, Severity},
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
        Reading::Unreadable(why) => return Finding::unseen(id, Kernel, why),
        Reading::Absent => {
            let why = "the kernel's configuration is neither in /boot, nor with its modules, nor in /proc/config.gz";
            return Finding::unseen(id, Kernel, why);
        }
    };
    let missing: Vec<String> = NEEDED
        .iter()
        .filter(|(name, before)| !config.has(name) && !config.has(before))
        .map(|(name, _)| format!("CONFIG_{name}"))
        .collect();
    if missing.is_empty() {
        let summary = "The kernel has the options that isolation needs.";
        return Finding::new(id, Kernel, Severity::Fine, summary);
    }
    Finding::new(
            id,
            Kernel,
            Severity::Defect,
            format!("The kernel is built without {}.", missing.join(", ")),
        )
        .breach(rule::RESIDUAL_TICK,
            "the boot arguments that need these options do nothing",
        )
        .change(format!(
            "Boot a kernel built with {}.",
            missing
                .iter()
                .map(|name| format!("{name}=y"))
                .collect::<Vec<_>>()
                .join(" ")
        ))
        .verify("zgrep -hE 'CONFIG_(NO_HZ_FULL|CONTEXT_TRACKING_USER|RCU_NOCB_CPU|CPU_ISOLATION)=' /boot/config-$(uname -r) /proc/config.gz")
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
            return Finding::unseen(id, Kernel, why);
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
}
