//! What isol-trace itself needs of the host.

use super::Check;
use crate::{
    doctor::{
        Facts, Finding,
        finding::{Area::Tracer, Severity},
        rule,
    },
    host::{reading::Reading, rights::LockLimit},
};

/// The checks.
pub(super) const CHECKS: &[Check] = &[
    Check::Always(probes),
    Check::Where(architecture),
    Check::Where(symbols),
    Check::Where(jit),
    Check::Where(locked_memory),
];

/// Probes can be loaded.
fn probes(facts: &Facts) -> Finding {
    let id = "probes";
    if facts.hindrances.is_empty() {
        let summary = "This process may load probes, and the kernel can take them.";
        return Finding::new(id, Tracer, Severity::Fine, summary);
    }
    let whys: Vec<_> = facts.hindrances.iter().map(|it| it.why.as_str()).collect();
    let mut finding = Finding::new(
        id,
        Tracer,
        Severity::Warning,
        format!("Probes cannot be loaded: {}.", whys.join("; ")),
    )
    .cost("record and top refuse to start")
    .by_hand()
    .verify("isol-trace record --dry-run");
    let remedies = facts.hindrances.iter().flat_map(|it| &it.remedies);
    finding.remedies.extend(remedies.cloned());
    finding
}

/// The machine is of the architecture that isol-trace is made for (docs/limits.md).
fn architecture(facts: &Facts) -> Option<Finding> {
    if facts.is_x86() {
        return None;
    }
    let summary = format!(
        "isol-trace is made for x86_64, and this machine is {}. What is said here of its settings holds all the same.",
        facts.identity.arch
    );
    Some(
        Finding::new("architecture", Tracer, Severity::Warning, summary)
            .cost("what record and top show of such a machine was tested nowhere")
            .change("Trace on an x86_64 host.")
            .verify("uname -m"),
    )
}

/// Kernel functions have names.
fn symbols(facts: &Facts) -> Option<Finding> {
    let id = "kernel-symbols";
    let level = match &facts.rights.kptr_restrict {
        Reading::Unreadable(why) => return Some(Finding::unreadable(id, Tracer, why)),
        level => *level.known()?,
    };
    let hidden = match (level, facts.rights.has_syslog) {
        (2.., _) => "from everybody",
        // At 0 the kernel shows them without CAP_SYSLOG only where kernel.perf_event_paranoid is
        // at most 1, which is nobody's default (kallsyms_show_value, kernel/kallsyms.c, 6.12).
        (0.., Some(false)) => "from this process, which lacks CAP_SYSLOG",
        _ => {
            let summary = "Addresses of kernel functions can be named.";
            return Some(Finding::new(id, Tracer, Severity::Fine, summary));
        }
    };
    let finding = Finding::new(
        id,
        Tracer,
        Severity::Note,
        format!(
            "kernel.kptr_restrict is {level}: addresses of kernel functions are hidden {hidden}."
        ),
    )
    .cost("timers, work items and callbacks appear as addresses, without names")
    .verify("sysctl kernel.kptr_restrict");
    let mut finding = if level >= 2 {
        finding.run("sysctl -w kernel.kptr_restrict=1")
    } else {
        finding
    };
    if facts.rights.has_syslog != Some(true) {
        let and = if level >= 2 { "And run" } else { "Run" };
        finding = finding.change(format!("{and} isol-trace as root, or with CAP_SYSLOG."));
        finding.remedies.push(facts.setcap());
    }
    Some(finding)
}

/// BPF programs are machine code.
fn jit(facts: &Facts) -> Option<Finding> {
    let id = "bpf-jit";
    match &facts.rights.bpf_jit {
        // The interpreter may not even be built in (CONFIG_BPF_JIT_ALWAYS_ON).
        Reading::Absent => None,
        // Readable by root alone.
        Reading::Unreadable(why) => Some(Finding::unreadable(id, Tracer, why)),
        Reading::Known(0) => Some(
            Finding::new(
                id,
                Tracer,
                Severity::Warning,
                "BPF programs are interpreted.",
            )
            .cost("every entry of a watched CPU lasts several times longer while it is traced")
            .run("sysctl -w net.core.bpf_jit_enable=1")
            .verify("sysctl net.core.bpf_jit_enable"),
        ),
        Reading::Known(_) => Some(Finding::new(
            id,
            Tracer,
            Severity::Fine,
            "BPF programs become machine code.",
        )),
    }
}

/// Memory can be locked by a task that is started from here. BPF maps need none of it since 5.11.
fn locked_memory(facts: &Facts) -> Option<Finding> {
    let id = "locked-memory";
    let limit = match &facts.rights.locked_memory {
        Reading::Unreadable(why) => return Some(Finding::unreadable(id, Tracer, why)),
        limit => *limit.known()?,
    };
    let LockLimit::Bytes(bytes) = limit else {
        let summary = "A command that is started from here may lock all of its memory.";
        return Some(Finding::new(id, Tracer, Severity::Fine, summary));
    };
    if facts.rights.has_ipc_lock == Some(true) {
        let summary = "This process has CAP_IPC_LOCK: a command that root starts from here may lock all of its memory.";
        return Some(Finding::new(id, Tracer, Severity::Fine, summary));
    }
    Some(
        Finding::new(
            id,
            Tracer,
            Severity::Note,
            format!(
                "A command without CAP_IPC_LOCK that is started from here may lock {} KiB of memory.",
                bytes >> 10
            ),
        )
        .breach(rule::FIRST_TOUCH,
            "where mlockall() fails, its pages can be taken away and fault again",
        )
        .change("Write `* - memlock unlimited` into a file of /etc/security/limits.d and log in again, or LimitMEMLOCK=infinity into the [Service] of the task's unit.")
        .verify("ulimit -l"),
    )
}
