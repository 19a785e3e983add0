//! Checks of the watched CPUs' hardware: which CPUs share their cores (SMT), what changes their frequency,
//! and how long their idle states take to leave.

use super::Check;
use crate::{
    doctor::{
        Facts, Finding,
        finding::{Area::Power, Severity},
        rule,
        shell::spaced,
    },
    event::ids::Cpu,
    host::{cpu_list::CpuSet, topology::CpuSettings},
};

/// The checks of this module.
pub(super) const CHECKS: &[Check] = &[
    Check::Where(siblings),
    Check::Where(governor),
    Check::Where(idle_states),
];

const CPU_FOLDER: &str = "/sys/devices/system/cpu";

/// Governors that measure the load of a CPU and set its frequency by it: their work disturbs that CPU
/// (Documentation/admin-guide/pm/cpufreq.rst, 6.12).
const MEASURING: [&str; 3] = ["ondemand", "conservative", "schedutil"];

/// Drivers whose governor `powersave` is their own, and follows the load as well. With other drivers
/// `powersave` keeps the CPU at the lowest frequency
/// (Documentation/admin-guide/pm/{intel_pstate,amd-pstate,cpufreq}.rst, 6.12). Before 6.9 `amd-pstate-epp`
/// was written with underscores.
const OWN_POWERSAVE: [&str; 3] = ["intel_pstate", "amd-pstate-epp", "amd_pstate_epp"];

/// An idle state that takes at least so many microseconds to leave is worth a note.
const LONG_US: i64 = 10;

/// Checks that no housekeeping CPU shares a core with a watched CPU.
fn siblings(facts: &Facts) -> Option<Finding> {
    let id = "smt-siblings";
    let mut shared = CpuSet::new();
    let mut is_known = false;
    for cpu in &facts.cpus {
        if let Some(siblings) = cpu.siblings.known() {
            is_known = true;
            shared = &shared | &(siblings & &facts.housekeeping);
        }
    }
    if !is_known {
        return None;
    }
    if shared.is_empty() {
        let summary = "No watched CPU shares its core with a housekeeping CPU.";
        return Some(Finding::new(id, Power, Severity::Fine, summary));
    }
    let finding = Finding::new(
        id,
        Power,
        Severity::Warning,
        format!(
            "A core of the watched CPUs is shared with {}.",
            shared.in_words()
        ),
    )
    .cost("no kernel entries, but lost time: the other thread takes the core's units and caches");
    // The shared CPUs can be taken offline if another housekeeping CPU is left, if CPU 0 is not among them
    // (x86 cannot take it offline), and if none of them is isolated: an isolated one may have a task of its own.
    let free = facts.free();
    let can_do_without =
        (&shared - &free).is_empty() && !(&free - &shared).is_empty() && !shared.contains(Cpu(0));
    let cores = whole_cores(facts);
    let is_done = (&(&cores - &facts.tickless()) | &(&cores - &facts.out_of_domains())).is_empty();
    let finding = if can_do_without {
        finding.run(format!(
            "for cpu in {}; do echo 0 > {CPU_FOLDER}/cpu$cpu/online; done",
            spaced(&shared)
        ))
    } else if is_done {
        finding
    } else {
        finding.boot(format!(
            "nohz_full={cores} isolcpus=domain,managed_irq,{cores}"
        ))
    };
    Some(
        finding
            .by_hand()
            .change("Isolate whole cores, and leave one of the two CPUs of each idle.")
            .verify(format!(
                "grep . {CPU_FOLDER}/cpu*/topology/thread_siblings_list"
            )),
    )
}

/// The CPUs to isolate, so that no core is shared: every CPU of the watched CPUs' cores, except the core of
/// CPU 0, which stays a housekeeping CPU; and the other CPUs that are isolated. None, if that would leave no
/// housekeeping CPU.
fn whole_cores(facts: &Facts) -> CpuSet {
    let siblings = facts.cpus.iter().filter_map(|cpu| cpu.siblings.known());
    let (mut cores, mut first) = (CpuSet::new(), CpuSet::new());
    for siblings in siblings {
        let side = if siblings.contains(Cpu(0)) {
            &mut first
        } else {
            &mut cores
        };
        *side = &*side | siblings;
    }
    // The other CPUs that are isolated must be in the list: without them, they would not be isolated any more.
    let others = &facts.to_isolate() - &facts.watched;
    let cores = &(&cores - &first) | &others;
    if (&facts.housekeeping - &cores).is_empty() {
        CpuSet::new()
    } else {
        cores
    }
}

/// Checks that no governor sets the frequency of the watched CPUs by their load, or keeps it at the lowest.
fn governor(facts: &Facts) -> Option<Finding> {
    let id = "cpufreq-governor";
    let mut names: Vec<&str> = facts
        .cpus
        .iter()
        .filter_map(|cpu| cpu.governor.known())
        .map(String::as_str)
        .collect();
    names.sort_unstable();
    names.dedup();
    if names.is_empty() {
        return None;
    }
    let measuring: Vec<&str> = names
        .iter()
        .copied()
        .filter(|name| MEASURING.contains(name))
        .collect();
    let finding = |severity, summary: String| Finding::new(id, Power, severity, summary);
    let slow = slow(facts);
    let finding = if !measuring.is_empty() {
        finding(
            Severity::Warning,
            format!(
                "The frequency of the watched CPUs follows their load: {}.",
                measuring.join(", ")
            ),
        )
        .breach(rule::CPUFREQ,
            "the governor's work runs on the CPU or interrupts it, and its speed changes under the task",
        )
    } else if !slow.is_empty() {
        finding(
            Severity::Warning,
            format!(
                "The governor powersave keeps {} at the lowest frequency.",
                slow.in_words()
            ),
        )
        .cost("no kernel entry more, and the task and each entry last longer")
    } else {
        let summary = format!(
            "The frequency of the watched CPUs is set by {}.",
            names.join(", ")
        );
        return Some(finding(Severity::Fine, summary));
    };
    Some(
        finding
        .run(format!(
            "for cpu in {}; do echo performance > {CPU_FOLDER}/cpu$cpu/cpufreq/scaling_governor; done",
            spaced(&facts.watched)
        ))
        .boot("cpufreq.default_governor=performance")
        .verify(format!("grep . {CPU_FOLDER}/cpu*/cpufreq/scaling_governor")),
    )
}

/// The watched CPUs that a governor keeps at the lowest frequency.
fn slow(facts: &Facts) -> CpuSet {
    let mut slow = CpuSet::new();
    for cpu in &facts.cpus {
        let is_powersave = cpu.governor.known().is_some_and(|it| it == "powersave");
        let driver = cpu.driver.known().map(String::as_str);
        if is_powersave && !driver.is_some_and(|driver| OWN_POWERSAVE.contains(&driver)) {
            // This CPU comes from a set, so that it fits into one.
            let _ = slow.insert(cpu.cpu);
        }
    }
    slow
}

/// Checks how long the deepest idle state of the watched CPUs takes to leave.
fn idle_states(facts: &Facts) -> Option<Finding> {
    let id = "idle-states";
    let deepest = facts
        .cpus
        .iter()
        .flat_map(|cpu: &CpuSettings| &cpu.idle)
        .max_by_key(|state| state.latency_us)?;
    if deepest.latency_us < LONG_US {
        let summary = format!(
            "The deepest idle state of the watched CPUs, {}, is left in {} µs.",
            deepest.name, deepest.latency_us
        );
        return Some(Finding::new(id, Power, Severity::Fine, summary));
    }
    Some(
        Finding::new(
            id,
            Power,
            Severity::Note,
            format!(
                "A watched CPU that idles takes up to {} µs to come back, from {}. A task that never blocks is not affected.",
                deepest.latency_us, deepest.name
            ),
        )
        .cost("no kernel entry more, and each entry that wakes the task lasts longer")
        .boot("cpuidle.off=1")
        .change("Or let a program hold /dev/cpu_dma_latency open at 0.")
        .verify(format!("grep . {CPU_FOLDER}/cpu{}/cpuidle/state*/latency", facts.watched.first().map_or(0, |cpu| cpu.0))),
    )
}
