//! Which probe was seen at work: attached is no proof, a hit is.

use std::collections::{BTreeMap, BTreeSet};

use super::{
    log::{Breach, Log, Probe},
    results::Verdict,
    trigger::load,
};

/// What all logs together have shown.
#[derive(Clone, Debug, Default)]
pub struct Hits {
    seen: BTreeSet<String>,
    timed: BTreeSet<String>,
    runs: BTreeMap<String, u64>,
    probes: BTreeMap<String, Probe>,
}

/// What proves a probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Proof {
    /// This was seen in a log.
    Seen(&'static str),
    /// So was this, with its time: begin and end were.
    Timed(&'static str),
    /// Its program ran, by the kernel's count: what it does is not to be seen in a log.
    Ran(&'static str),
    /// Nothing in a guest can bring it about.
    NotTriggered(&'static str),
}

/// What a test has seen rather than a log shows by itself.
pub const SECTION_ENDED_BY_EXEC: &str = "a section that a new program ended";

/// A task that the command forked, and that strict mode struck.
pub const STRICT_CHILD: &str = "a child that strict mode struck";
/// A signal of the kernel's own strict mode, or none where it should be none.
pub const STRUCK_BY_KERNEL: &str = "a section of a kernel with task isolation";

/// The names of vectors: hook and cause.
const VECTORS: &[(&str, &str)] = &[
    ("local_timer", "local_timer"),
    ("reschedule", "reschedule"),
    ("call_function", "call_function"),
    ("call_function_single", "call_function_single"),
    ("irq_work", "irq_work"),
    ("x86_platform_ipi", "platform_ipi"),
    ("thermal_apic", "thermal"),
    ("threshold_apic", "threshold"),
    ("deferred_error_apic", "deferred_error"),
    ("error_apic", "apic_error"),
    ("spurious_apic", "spurious"),
];

/// What proves the others. A new probe is one row here.
const PROOFS: &[(&str, Proof)] = &[
    ("irq_handler_entry", Proof::Seen("device_irq")),
    ("irq_handler_exit", Proof::Timed("device_irq")),
    ("softirq_entry", Proof::Seen("softirq")),
    ("softirq_exit", Proof::Timed("softirq")),
    ("nmi_handler", Proof::Seen("nmi")),
    (
        "mce_record",
        Proof::NotTriggered("no machine check can be raised from inside a guest"),
    ),
    ("page_fault_user", Proof::Seen("page_fault")),
    ("page_fault_kernel", Proof::Seen("fault")),
    ("signal_generate", Proof::Seen("exception")),
    ("signal_deliver", Proof::Seen("signal")),
    ("tlb_flush", Proof::Seen("tlb_flush")),
    ("timer_expire_entry", Proof::Seen("timer")),
    ("timer_expire_exit", Proof::Timed("timer")),
    ("hrtimer_expire_entry", Proof::Seen("hrtimer")),
    ("hrtimer_expire_exit", Proof::Timed("hrtimer")),
    ("tick_stop", Proof::Seen("tick")),
    ("workqueue_execute_start", Proof::Seen("work")),
    ("workqueue_execute_end", Proof::Timed("work")),
    ("csd_function_entry", Proof::Seen("csd")),
    ("csd_function_exit", Proof::Timed("csd")),
    ("csd_queue_cpu", Proof::Ran("csd_queue_cpu")),
    ("ipi_send_cpu", Proof::Ran("ipi_send_cpu")),
    (
        "__smp_call_single_queue",
        Proof::Ran("__smp_call_single_queue"),
    ),
    (
        "smp_call_function_single",
        Proof::Ran("smp_call_function_single"),
    ),
    (
        "smp_call_function_single_async",
        Proof::Ran("smp_call_function_single_async"),
    ),
    (
        "smp_call_function_many_cond",
        Proof::Ran("smp_call_function_many_cond"),
    ),
    (
        "native_smp_send_reschedule",
        Proof::Ran("native_smp_send_reschedule"),
    ),
    ("workqueue_queue_work", Proof::Ran("workqueue_queue_work")),
    ("timer_start", Proof::Ran("timer_start")),
    ("hrtimer_start", Proof::Ran("hrtimer_start")),
    ("hrtimer_cancel", Proof::Ran("hrtimer_cancel")),
    ("irq_work_single", Proof::Seen("irq_work function")),
    ("irq_work_single_exit", Proof::Timed("irq_work function")),
    ("sched_switch", Proof::Seen("switch")),
    ("sched_migrate_task", Proof::Ran("sched_migrate_task")),
    ("sched_waking", Proof::Ran("sched_waking")),
    ("sched_wakeup_new", Proof::Ran("sched_wakeup_new")),
    ("sched_process_exec", Proof::Seen(SECTION_ENDED_BY_EXEC)),
    ("sched_process_exit", Proof::Seen("exited")),
    ("sched_process_fork", Proof::Seen(STRICT_CHILD)),
    ("task_isolation_enter", Proof::Seen(STRUCK_BY_KERNEL)),
    ("task_isolation_breach", Proof::Seen(STRUCK_BY_KERNEL)),
    ("task_isolation_exit", Proof::Seen(STRUCK_BY_KERNEL)),
    ("task_rename", Proof::Seen("renamed")),
    ("sys_enter", Proof::Seen("syscall by vectors")),
    ("sys_exit", Proof::Timed("syscall by vectors")),
    ("user_exit", Proof::Seen("syscall")),
    ("user_enter", Proof::Timed("syscall")),
];

fn proof(probe: &str) -> Option<Proof> {
    let vector = |suffix: &str, proof: fn(&'static str) -> Proof| {
        let name = probe.strip_suffix(suffix)?;
        let (_, cause) = VECTORS.iter().find(|(hook, _)| *hook == name)?;
        Some(proof(cause))
    };
    let row = PROOFS.iter().find(|(name, _)| *name == probe);
    row.map(|(_, proof)| *proof)
        .or_else(|| vector("_entry", Proof::Seen))
        .or_else(|| vector("_exit", Proof::Timed))
}

impl Hits {
    fn saw(&mut self, what: &str, timed: bool) {
        let sets = [(true, &mut self.seen), (timed, &mut self.timed)];
        for (is_meant, set) in sets {
            // Not a text for each of a storm's breaches.
            if is_meant && !set.contains(what) {
                set.insert(what.to_owned());
            }
        }
    }

    /// Notes what a test has seen.
    pub fn witness(&mut self, what: &'static str) {
        self.saw(what, false);
    }

    /// Notes what a breach shows.
    pub fn breach(&mut self, breach: &Breach) {
        let cause = &breach.cause;
        let timed = match cause.kind.as_str() {
            "syscall" => breach.duration_ns.is_some(),
            _ => cause.net_ns.is_some(),
        };
        self.saw(&cause.kind, timed);
        self.saw(&breach.end, false);
        if breach.task.comm.as_deref() == Some(load::NAME) {
            self.saw("renamed", false);
        }
        for activity in &breach.activity {
            let timed = activity.net_ns.is_some();
            match (activity.kind.as_str(), &activity.name) {
                ("vector", Some(name)) => self.saw(name, timed),
                ("irq", _) => self.saw("device_irq", timed),
                ("irq_work", _) => self.saw("irq_work function", timed),
                (kind, _) => self.saw(kind, timed),
            }
        }
    }

    /// Notes what a whole log shows.
    pub fn log(&mut self, log: &Log) {
        let Some(header) = &log.header else { return };
        let by_vectors: Vec<u32> = header
            .cpus
            .iter()
            .filter(|cpu| cpu.detection == "vectors")
            .map(|cpu| cpu.cpu)
            .collect();
        for breach in &log.breaches {
            if by_vectors.contains(&breach.cpu) && breach.cause.kind == "syscall" {
                self.saw("syscall by vectors", breach.duration_ns.is_some());
            }
        }
        for probe in &header.probes {
            // A probe that one session does not want is absent there and attached in another.
            let known = self.probes.get(&probe.name);
            if known.is_none_or(|known| known.state != "attached") {
                self.probes.insert(probe.name.clone(), probe.clone());
            }
        }
    }

    /// Notes which programs ran.
    pub fn ran(&mut self, runs: impl IntoIterator<Item = (String, u64)>) {
        for (name, count) in runs {
            *self.runs.entry(name).or_default() += count;
        }
    }

    /// Whether the program of a probe ran, in either of its forms.
    fn has_run(&self, probe: &str) -> bool {
        ["", "raw_"].iter().any(|form| {
            let runs = self.runs.get(&format!("{form}{probe}"));
            runs.is_some_and(|count| *count > 0)
        })
    }

    /// The probes of all logs, by name.
    pub fn probes(&self) -> impl Iterator<Item = (&String, &Probe)> {
        self.probes.iter()
    }

    /// The verdict over one probe.
    #[must_use]
    pub fn judge(&self, probe: &Probe) -> Verdict {
        let why = || probe.why.clone().unwrap_or_default();
        match probe.state.as_str() {
            "attached" => {}
            "absent" => return Verdict::Skip(format!("absent: {}", why())),
            other => return Verdict::Fail(format!("{other}: {}", why())),
        }
        match proof(&probe.name) {
            Some(Proof::Seen(what)) if self.seen.contains(what) => {
                Verdict::Pass(format!("seen: {what}"))
            }
            Some(Proof::Timed(what)) if self.timed.contains(what) => {
                Verdict::Pass(format!("seen with its time: {what}"))
            }
            Some(Proof::Ran(name)) if self.has_run(name) => {
                Verdict::Pass("its program ran".to_owned())
            }
            Some(Proof::Seen(what)) => Verdict::Fail(format!("no log shows: {what}")),
            Some(Proof::Timed(what)) => Verdict::Fail(format!("no log shows the time of: {what}")),
            Some(Proof::Ran(_)) => Verdict::Fail("its program never ran".to_owned()),
            Some(Proof::NotTriggered(why)) => Verdict::Skip(why.to_owned()),
            None => Verdict::Fail("nobody knows what would prove it".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests;
