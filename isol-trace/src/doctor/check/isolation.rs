//! Which CPUs are isolated, and whether that is what was asked for.

use super::{Check, isolcpus};
use crate::{
    doctor::{
        Facts, Finding,
        finding::{Area::Isolation, Severity},
        rule,
        shell::quoted,
    },
    host::{boot::BootArguments, cpuset::Cpusets, reading::Reading},
};

/// The checks.
pub(super) const CHECKS: &[Check] = &[
    Check::Always(tickless),
    Check::Where(dynamic_ticks),
    Check::Always(domains),
    Check::Where(partitions),
    Check::Where(rcu_offload),
    Check::Always(housekeeping),
    Check::Where(offline),
];

const CPU_FOLDER: &str = "/sys/devices/system/cpu";

/// The watched CPUs are in `nohz_full=`.
fn tickless(facts: &Facts) -> Finding {
    let id = "nohz-full";
    let watched = &facts.watched;
    let missing = watched - &facts.tickless();
    if let Reading::Unreadable(why) = &facts.nohz_full {
        return Finding::unreadable(id, Isolation, why);
    }
    if missing.is_empty() {
        let summary = format!(
            "The tick stops while one task runs, on {}.",
            watched.in_words()
        );
        return Finding::new(id, Isolation, Severity::Fine, summary);
    }
    let boot = facts.boot.known();
    let asked = boot.and_then(|boot| boot.cpus("nohz_full"));
    let asked = asked.unwrap_or_default();
    let is_asked = !(&asked & &missing).is_empty();
    let has_flag = boot
        .and_then(BootArguments::isolcpus)
        .is_some_and(|isolcpus| isolcpus.has("nohz"));
    let finding = |summary: String| {
        Finding::new(id, Isolation, Severity::Defect, summary).breach(rule::RESIDUAL_TICK,
            "the tick interrupts up to HZ times a second, and entries can only be derived from their causes",
        )
    };
    let finding = match facts.nohz_full {
        Reading::Absent => finding(format!(
            "This kernel is not built with CONFIG_NO_HZ_FULL: the tick never stops on {} while a task runs{}.",
            missing.in_words(),
            if is_asked { ", and the argument nohz_full= means nothing to it" } else { "" }
        ))
        .change("Boot a kernel built with CONFIG_NO_HZ_FULL=y, as distributions' kernels are."),
        _ if is_asked => finding(format!(
            "The argument nohz_full= asks for {}, and the kernel did not take it: {}.",
            missing.in_words(),
            match (has_flag, facts.is_from(7, 2)) {
                (false, _) => "it must leave one present CPU out",
                (true, Some(true)) => "beside an isolcpus= with the flag nohz this kernel drops whichever stands behind",
                (true, _) => "it must leave one present CPU out, and agree with isolcpus=, which has the flag nohz",
            }
        )),
        _ => finding(format!("Not in nohz_full=: {}.", missing.in_words())),
    };
    let finding = match facts.nohz_full {
        Reading::Absent => finding,
        _ if is_asked && has_flag => finding.boot(isolcpus::both(facts)),
        // What was typed already does not mend it.
        _ if is_asked && (&missing - &asked).is_empty() => finding.change(
            "Leave one present CPU out of nohz_full=. dmesg says what the kernel made of the argument: dmesg | grep -iE 'nohz|housekeeping'",
        ),
        _ => finding.boot(format!("nohz_full={}", facts.to_isolate())),
    };
    finding.verify(format!("cat {CPU_FOLDER}/nohz_full"))
}

/// The tick can stop at all: without `tick_nohz_enabled` no CPU gets the flag `TS_FLAG_NOHZ`, which
/// `tick_nohz_full_update_tick` asks for (kernel/time/tick-sched.c, 6.12).
fn dynamic_ticks(facts: &Facts) -> Option<Finding> {
    let boot = facts.boot.known()?;
    (boot.switch("nohz") == Some(false)).then(|| {
        Finding::new(
            "dynamic-ticks",
            Isolation,
            Severity::Defect,
            "The argument nohz=off keeps the tick running on every CPU.",
        )
        .breach(
            rule::RESIDUAL_TICK,
            "the tick interrupts the watched CPUs HZ times a second",
        )
        .boot("nohz=on")
        .change("In place of nohz=off.")
        .verify("grep -o 'nohz=[^ ]*' /proc/cmdline")
    })
}

/// The watched CPUs are outside of the scheduler's domains.
fn domains(facts: &Facts) -> Finding {
    let id = "scheduler-domains";
    let watched = &facts.watched;
    if let Reading::Unreadable(why) = &facts.isolated {
        return Finding::unreadable(id, Isolation, why);
    }
    let missing = watched - &facts.out_of_domains();
    if missing.is_empty() {
        // The files of partitions have the CPUs of the argument too (`isolated_cpus`, kernel/cgroup/cpuset.c, 6.12).
        let by_argument = watched & &facts.booted_out_of_domains();
        let how = if by_argument == *watched {
            "by isolcpus="
        } else if by_argument.is_empty() {
            "by isolated cpuset partitions"
        } else {
            "by isolcpus= and isolated cpuset partitions"
        };
        let summary = format!(
            "The scheduler balances no task onto {}, {how}.",
            watched.in_words()
        );
        return Finding::new(id, Isolation, Severity::Fine, summary);
    }
    if let Some(why) = &facts.unread_partitions {
        return Finding::unreadable(id, Isolation, why);
    }
    let finding = Finding::new(
        id,
        Isolation,
        Severity::Defect,
        format!("The scheduler may balance any task onto {}: neither isolcpus= nor an isolated cpuset partition says otherwise.", missing.in_words()),
    )
    .breach(rule::SECOND_TASK,
        "other tasks and unbound kernel threads run there; from Linux 7.2 on nohz_full= alone does not keep the work vmstat away either",
    )
    .boot(facts.isolcpus())
    // A partition is for tasks that are put into its group.
    .rather_by_boot()
    .verify(format!("cat {CPU_FOLDER}/isolated"));
    match facts.cpusets {
        Cpusets::V2 => finding.run(format!(
            "cd /sys/fs/cgroup && echo +cpuset > cgroup.subtree_control && mkdir -p isolated && echo {missing} > isolated/cpuset.cpus && echo isolated > isolated/cpuset.cpus.partition; cat isolated/cpuset.cpus.partition"
        ))
        .change("With a partition, a task has to be in its group to run there: echo $$ > /sys/fs/cgroup/isolated/cgroup.procs")
        // The first file shows what the argument did and never a partition; the second is there
        // from 6.7 on.
        .verify(format!("grep -s . {CPU_FOLDER}/isolated /sys/fs/cgroup/cpuset.cpus.isolated /sys/fs/cgroup/isolated/cpuset.cpus.partition")),
        Cpusets::V1 => finding.change(
            "Partitions that isolate CPUs at run time need cgroup v2; here the cpusets are in cgroup v1.",
        ),
        Cpusets::None => finding,
    }
}

/// Every cpuset partition is what it asked to be. The kernel gives one up without an error when CPUs
/// go offline or another group takes them (Documentation/admin-guide/cgroup-v2.rst, 6.12).
fn partitions(facts: &Facts) -> Option<Finding> {
    let id = "cpuset-partitions";
    let broken: Vec<_> = facts
        .groups
        .iter()
        .filter_map(|group| Some((group, group.invalid.as_deref()?)))
        .collect();
    let Some((first, _)) = broken.first() else {
        return (!facts.groups.is_empty()).then(|| {
            let summary = match facts.groups.len() {
                1 => "The cpuset partition is in force.".to_owned(),
                count => format!("All {count} cpuset partitions are in force."),
            };
            Finding::new(id, Isolation, Severity::Fine, summary)
        });
    };
    let severity = if broken.iter().any(|(group, _)| group.isolated) {
        Severity::Defect
    } else {
        Severity::Warning
    };
    let named: Vec<_> = broken
        .iter()
        .map(|(group, why)| {
            let why = if why.is_empty() {
                "it does not say why"
            } else {
                why
            };
            format!("{} ({why})", group.folder)
        })
        .collect();
    let file = quoted(&format!("{}/cpuset.cpus.partition", first.folder));
    let kind = if first.isolated { "isolated" } else { "root" };
    Some(
        Finding::new(
            id,
            Isolation,
            severity,
            format!(
                "Partitions that the kernel does not keep as they were asked for, and why: {}.",
                named.join("; ")
            ),
        )
        .breach(
            rule::SECOND_TASK,
            "their CPUs are scheduled as any other",
        )
        .run(format!("echo {kind} > {file} && cat {file}"))
        .by_hand()
        .change("Mend what the kernel names first: CPUs that another group has too, that are offline, or that the parent has none to spare of.")
        .verify(format!("cat {file}")),
    )
}

/// RCU callbacks run elsewhere. CPUs of `nohz_full=` are offloaded with or without `rcu_nocbs=`
/// (`rcu_init_nohz`, `kernel/rcu/tree_nocb.h`, 6.12).
fn rcu_offload(facts: &Facts) -> Option<Finding> {
    let id = "rcu-offload";
    let boot = match &facts.boot {
        Reading::Unreadable(why) => return Some(Finding::unreadable(id, Isolation, why)),
        boot => boot.known()?,
    };
    let by_default = facts
        .config
        .known()
        .is_some_and(|config| config.has("RCU_NOCB_CPU_DEFAULT_ALL"))
        && !boot.has("rcu_nocbs")
        && !boot.has("nohz_full");
    let is_built = facts
        .config
        .known()
        .is_none_or(|config| config.has("RCU_NOCB_CPU"));
    let asked = boot.cpus("rcu_nocbs").filter(|_| is_built);
    let asked = asked.unwrap_or_default();
    let missing = &(&facts.watched - &facts.tickless()) - &asked;
    if missing.is_empty() || by_default {
        let summary = format!(
            "RCU callbacks are left to threads, which may run elsewhere, on {}.",
            facts.watched.in_words()
        );
        return Some(Finding::new(id, Isolation, Severity::Fine, summary));
    }
    let why = if is_built {
        format!(
            "neither nohz_full= nor rcu_nocbs= has {}",
            missing.in_words()
        )
    } else {
        "the kernel is built without CONFIG_RCU_NOCB_CPU".to_owned()
    };
    let summary = format!("RCU callbacks run where they were made: {why}.");
    let finding = Finding::new(id, Isolation, Severity::Warning, summary);
    let finding = if is_built {
        finding.boot(format!("rcu_nocbs={}", facts.to_isolate()))
    } else {
        finding.change("Boot a kernel built with CONFIG_RCU_NOCB_CPU=y.")
    };
    Some(
        finding
            .breach(
                rule::RCU_CALLBACKS,
                "the softirq RCU runs on the CPU after the task has freed memory in the kernel",
            )
            .verify("dmesg | grep 'Offload RCU callbacks'"),
    )
}

/// There is a CPU that nothing isolates.
fn housekeeping(facts: &Facts) -> Finding {
    let id = "housekeeping";
    let free = facts.free();
    if !free.is_empty() {
        let summary = format!(
            "Left for the work of the kernel and of isol-trace: {}.",
            free.in_words()
        );
        return Finding::new(id, Isolation, Severity::Fine, summary);
    }
    Finding::new(
        id,
        Isolation,
        Severity::Defect,
        "Every online CPU is isolated: the kernel has to do its own work on one of them.",
    )
    .breach(
        rule::UNBOUND_WORKQUEUE,
        "work, timers and interrupts that were kept off the watched CPUs have nowhere to go",
    )
    .change("Leave at least one CPU out of nohz_full=, isolcpus= and the partitions.")
    .verify(format!(
        "grep . {CPU_FOLDER}/online {CPU_FOLDER}/nohz_full {CPU_FOLDER}/isolated"
    ))
}

/// Isolated CPUs that are offline are not looked at.
fn offline(facts: &Facts) -> Option<Finding> {
    (!facts.offline.is_empty()).then(|| {
        let summary = format!(
            "Isolated and offline, and so not watched: {}.",
            facts.offline.in_words()
        );
        Finding::new("offline", Isolation, Severity::Note, summary)
    })
}
