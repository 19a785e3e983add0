//! Devices' interrupts that reach the watched CPUs, or may.

use super::Check;
use crate::{
    doctor::{
        Facts, Finding,
        finding::{Area::Interrupts, Remedy, Severity},
        rule,
    },
    host::{
        cpu_list::CpuSet,
        cpu_mask,
        device_irq::{DeviceIrq, Steering},
        reading::Reading,
    },
};

/// The checks.
pub(super) const CHECKS: &[Check] = &[
    Check::Where(delivered),
    Check::Where(leaving),
    Check::Where(allowed),
    Check::Where(managed),
    Check::Where(fixed),
    Check::Where(default_affinity),
    Check::Where(irqbalance),
];

/// What the kernel writes of a managed interrupt, and where.
const FLAG: &str = "IRQD_AFFINITY_MANAGED";
const FLAGS: &str = "/sys/kernel/debug/irq/irqs/*";

/// How many interrupts a summary names.
const NAMED: usize = 4;

/// Interrupts whose affinity can be set go to other CPUs.
fn delivered(facts: &Facts) -> Option<Finding> {
    let id = "device-interrupts";
    let settable = facts.irqs.iter().filter(|irq| irq.is_settable());
    let all: Vec<_> = settable.filter(|irq| !is_leaving(facts, irq)).collect();
    let here = reaching(facts, &all, DeviceIrq::targets);
    if here.is_empty() {
        return (!all.is_empty()).then(|| {
            let summary = format!(
                "Of {} interrupts that can be moved, none is delivered to {}.",
                all.len(),
                facts.watched.in_words()
            );
            Finding::new(id, Interrupts, Severity::Fine, summary)
        });
    }
    let summary = format!("Delivered to the watched CPUs: {}.", listed(&here));
    Some(
        moving(
            Finding::new(id, Interrupts, Severity::Defect, summary),
            facts,
            &here,
        )
        .breach(
            rule::DEVICE_IRQ,
            "each of these devices enters the kernel there when it has something to say",
        ),
    )
}

/// An interrupt that user space has moved off the watched CPUs, and that has not occurred since: the
/// kernel moves it when it does (`irq_move_masked_irq`, kernel/irq/migration.c, 6.12). Also where it is not
/// shown who steers it: a managed one is refused, and keeps the CPUs that it is allowed on.
fn is_leaving(facts: &Facts, irq: &DeviceIrq) -> bool {
    irq.is_settable()
        && irq.allowed.known().is_some()
        && !meets(irq.allowed.known(), &facts.watched)
        && meets(irq.effective.known(), &facts.watched)
}

/// No interrupt has been moved away that has still to come once.
fn leaving(facts: &Facts) -> Option<Finding> {
    let irqs = facts.irqs.iter();
    let here: Vec<_> = irqs.filter(|irq| is_leaving(facts, irq)).collect();
    if here.is_empty() {
        return None;
    }
    let summary = format!(
        "Moved off the watched CPUs, and idle since: {}. The kernel moves an interrupt when it next occurs, once more on the CPU that it leaves.",
        listed(&here)
    );
    Some(
        Finding::new(
            "device-interrupts-leaving",
            Interrupts,
            Severity::Warning,
            summary,
        )
        .breach(
            rule::DEVICE_IRQ,
            "each of them enters the kernel on a watched CPU one more time",
        )
        .change("Use each device once before the task starts.")
        .verify(show(&here)),
    )
}

/// Interrupts that go elsewhere now are not allowed here either.
fn allowed(facts: &Facts) -> Option<Finding> {
    let elsewhere: Vec<_> = facts
        .irqs
        .iter()
        .filter(|irq| irq.is_settable())
        .filter(|irq| !meets(irq.targets(), &facts.watched))
        .collect();
    let here = reaching(facts, &elsewhere, |irq| irq.allowed.known());
    if here.is_empty() {
        return None;
    }
    let summary = format!(
        "Delivered elsewhere now, and allowed on the watched CPUs: {}. The kernel, irqbalance or a CPU that goes offline may move them there.",
        listed(&here)
    );
    Some(
        moving(
            Finding::new(
                "device-interrupts-allowed",
                Interrupts,
                Severity::Warning,
                summary,
            ),
            facts,
            &here,
        )
        .breach(
            rule::DEVICE_IRQ,
            "once moved, each of them enters the kernel on a watched CPU",
        ),
    )
}

/// Interrupts that the kernel manages for their drivers, or may: `isolcpus=managed_irq` steers them
/// (Documentation/admin-guide/kernel-parameters.txt, 6.12).
fn managed(facts: &Facts) -> Option<Finding> {
    let id = "managed-interrupts";
    let held = steered_by(facts, &[Steering::Managed, Steering::NotUser]);
    let here = reaching(facts, &held, DeviceIrq::targets);
    if here.is_empty() {
        let is_hidden = facts
            .irqs
            .iter()
            .any(|irq| irq.steering == Steering::Unknown);
        return is_hidden.then(|| hidden(facts, id));
    }
    let is_sure = here.iter().all(|irq| irq.steering == Steering::Managed);
    let is_steered = facts
        .boot
        .known()
        .and_then(crate::host::boot::BootArguments::isolcpus)
        .filter(|isolcpus| isolcpus.has("managed_irq"))
        .and_then(|isolcpus| isolcpus.cpus)
        .is_some_and(|cpus| (&facts.watched - &cpus).is_empty());
    let who = match (is_sure, shows_flags(facts)) {
        (true, _) => "The kernel manages them for their driver.",
        (false, true) => {
            "The kernel manages them for their driver, or cannot move them: it shows which only in /sys/kernel/debug/irq/irqs."
        }
        (false, false) => {
            "The kernel manages them for their driver, or cannot move them: it is built without CONFIG_GENERIC_IRQ_DEBUGFS and does not show which."
        }
    };
    let (severity, what) = if is_steered {
        (
            Severity::Note,
            " With isolcpus=managed_irq a managed one serves isolated CPUs alone, and comes only for requests that were made there.",
        )
    } else {
        (Severity::Defect, "")
    };
    let finding = Finding::new(
        id,
        Interrupts,
        severity,
        format!(
            "Delivered to the watched CPUs, and user space cannot move them: {}. {who}{what}",
            listed(&here)
        ),
    )
    .breach(
        rule::MANAGED_IRQ,
        "a queue of these devices interrupts a watched CPU, also for requests of others",
    );
    let finding = if is_steered {
        finding.change("Make no requests to these devices from the watched CPUs.")
    } else {
        finding.boot(facts.isolcpus())
    };
    let flags = if shows_flags(facts) {
        format!("; grep -l {FLAG} {FLAGS}")
    } else {
        String::new()
    };
    Some(
        finding
            .change("Or give the device fewer queues, by the option of its driver.")
            .verify(format!("{}{flags}", show(&here))),
    )
}

/// Which interrupts the kernel manages is not shown here.
fn hidden(facts: &Facts, id: &'static str) -> Finding {
    if shows_flags(facts) {
        let why = "before Linux 6.12 only /sys/kernel/debug/irq/irqs shows which interrupts the kernel manages, and it is not there or not readable";
        let mount = Remedy::Run("mount -t debugfs none /sys/kernel/debug".to_owned());
        Finding::unseen(id, Interrupts, why, mount)
            .change("And run isol-trace as root.")
            .verify(format!("grep -l {FLAG} {FLAGS}"))
    } else {
        let why = "before Linux 6.12 only debugfs shows which interrupts the kernel manages, and this kernel is built without that (CONFIG_GENERIC_IRQ_DEBUGFS)";
        let change = "Boot Linux 6.12 or later, whose files of managed interrupts cannot be written to, or a kernel built with CONFIG_GENERIC_IRQ_DEBUGFS=y.";
        Finding::unseen(id, Interrupts, why, Remedy::Change(change.to_owned()))
    }
}

/// Whether the kernel can show an interrupt's flags: it did, or was built to, or may have been.
fn shows_flags(facts: &Facts) -> bool {
    let shown = |irq: &DeviceIrq| matches!(irq.steering, Steering::Managed | Steering::Fixed);
    let config = facts.config.known();
    facts.irqs.iter().any(shown) || config.is_none_or(|it| it.has("GENERIC_IRQ_DEBUGFS"))
}

/// Interrupts that nobody can move.
fn fixed(facts: &Facts) -> Option<Finding> {
    let held = steered_by(facts, &[Steering::Fixed]);
    let here = reaching(facts, &held, DeviceIrq::targets);
    if here.is_empty() {
        return None;
    }
    let summary = format!(
        "Delivered to the watched CPUs, and nobody can move them: {}. Their chip cannot, or their driver forbids it.",
        listed(&here)
    );
    Some(
        Finding::new("fixed-interrupts", Interrupts, Severity::Defect, summary)
            .breach(
                rule::DEVICE_IRQ,
                "each of these devices enters the kernel there when it has something to say",
            )
            .change("Isolate other CPUs than these interrupts go to, or take their drivers off the devices.")
            .verify(show(&here)),
    )
}

/// New interrupts go to other CPUs.
fn default_affinity(facts: &Facts) -> Option<Finding> {
    let id = "default-irq-affinity";
    let affinity = match &facts.default_irq_affinity {
        Reading::Unreadable(why) => return Some(Finding::unreadable(id, Interrupts, why)),
        affinity => affinity.known()?,
    };
    let here = affinity & &facts.watched;
    if here.is_empty() {
        let summary = format!("New interrupts go to {}.", affinity.in_words());
        return Some(Finding::new(id, Interrupts, Severity::Fine, summary));
    }
    Some(
        Finding::new(
            id,
            Interrupts,
            Severity::Warning,
            format!(
                "An interrupt that a driver asks for from now on may go to {}.",
                here.in_words()
            ),
        )
        .breach(
            rule::DEVICE_IRQ,
            "a device that is plugged in or restarted interrupts a watched CPU",
        )
        .boot(format!("irqaffinity={}", facts.noise_takers()))
        .run(format!(
            "echo {} > /proc/irq/default_smp_affinity",
            cpu_mask::text(&facts.noise_takers())
        ))
        .verify("cat /proc/irq/default_smp_affinity"),
    )
}

/// Nobody moves interrupts back. Unless it is given a list of its own, irqbalance leaves out the CPUs
/// of the files `isolated` and `nohz_full`; a list takes their place (`setup_banned_cpus`,
/// cputree.c, 1.1.0 to 1.9.5). Neither file shows cpuset partitions (`print_cpus_isolated`,
/// drivers/base/cpu.c, 6.12 and 7.3).
fn irqbalance(facts: &Facts) -> Option<Finding> {
    if !facts.irqbalance {
        return None;
    }
    let known = &facts.tickless() | facts.isolated.known().unwrap_or(&CpuSet::new());
    let unknown = &facts.watched - &known;
    let banned = &known | &facts.watched;
    let finding = |severity, summary: String| {
        Finding::new("irqbalance", Interrupts, severity, summary)
            .breach(
                rule::DEVICE_IRQ,
                "affinities that were set by hand last until its next turn, ten seconds later",
            )
            .run("systemctl disable --now irqbalance")
            .change(format!(
                "Or ban the CPUs with IRQBALANCE_BANNED_CPULIST={banned} in its environment file (before 1.8.0: IRQBALANCE_BANNED_CPUS={}); the list takes the place of what it leaves out by itself.",
                cpu_mask::text(&banned)
            ))
            .verify("pgrep -a irqbalance")
    };
    Some(if unknown.is_empty() {
        finding(
            Severity::Note,
            "irqbalance runs. It leaves CPUs of isolcpus= and nohz_full= alone unless it was given a list of banned CPUs, and moves what was set by hand among the others.".to_owned(),
        )
    } else {
        finding(
            Severity::Warning,
            format!(
                "irqbalance runs, and spreads interrupts over {}, which neither isolcpus= nor nohz_full= tells it to leave alone.",
                unknown.in_words()
            ),
        )
    })
}

/// The interrupts whose CPUs include a watched one.
fn reaching<'a>(
    facts: &Facts,
    irqs: &[&'a DeviceIrq],
    cpus: impl Fn(&DeviceIrq) -> Option<&CpuSet>,
) -> Vec<&'a DeviceIrq> {
    irqs.iter()
        .copied()
        .filter(|irq| meets(cpus(irq), &facts.watched))
        .collect()
}

fn meets(cpus: Option<&CpuSet>, watched: &CpuSet) -> bool {
    cpus.is_some_and(|cpus| !(cpus & watched).is_empty())
}

/// The interrupts with their drivers, the first few of many.
fn listed(irqs: &[&DeviceIrq]) -> String {
    let mut names: Vec<String> = irqs
        .iter()
        .take(NAMED)
        .map(|irq| format!("{} ({})", irq.number, irq.drivers))
        .collect();
    if irqs.len() > NAMED {
        names.push(format!("{} more", irqs.len() - NAMED));
    }
    names.join(", ")
}

/// The interrupts that are steered in one of these ways.
fn steered_by<'a>(facts: &'a Facts, ways: &[Steering]) -> Vec<&'a DeviceIrq> {
    let irqs = facts.irqs.iter();
    irqs.filter(|irq| ways.contains(&irq.steering)).collect()
}

/// How to move interrupts off the watched CPUs. Where it is not shown which of them the kernel manages or cannot
/// move, it may refuse some: the command names these, and goes on.
fn moving(finding: Finding, facts: &Facts, irqs: &[&DeviceIrq]) -> Finding {
    let is_hidden = irqs.iter().any(|irq| irq.steering == Steering::Unknown);
    let refused = if is_hidden {
        " || echo \"interrupt $irq stays: the kernel refuses to move it\""
    } else {
        ""
    };
    let finding = finding
        .run(format!(
            "for irq in {}; do echo {} > /proc/irq/$irq/smp_affinity_list{refused}; done",
            numbers(irqs),
            facts.noise_takers()
        ))
        .boot(format!("irqaffinity={}", facts.noise_takers()));
    let finding = if is_hidden {
        finding.change(format!(
            "Where that is refused (Input/output error), the kernel manages the interrupt, which it does not show here: boot with {}, or give the device fewer queues.",
            facts.isolcpus()
        ))
    } else {
        finding
    };
    finding.verify(show(irqs))
}

fn show(irqs: &[&DeviceIrq]) -> String {
    format!(
        "for irq in {}; do grep . /proc/irq/$irq/effective_affinity_list; done",
        numbers(irqs)
    )
}

fn numbers(irqs: &[&DeviceIrq]) -> String {
    let numbers: Vec<_> = irqs.iter().map(|irq| irq.number.to_string()).collect();
    numbers.join(" ")
}
