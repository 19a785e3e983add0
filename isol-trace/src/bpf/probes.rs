//! The table of probes: which program goes to which hook, and when it is wanted.
//!
//! A new tracepoint is one row here; one that only an architecture has is a row of [`arch`].

use std::sync::LazyLock;

use crate::{
    arch::{self, Tracepoint},
    event::model::Detection,
};

/// A way to attach a probe. Earlier ones are preferred.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Attach {
    /// A BTF tracepoint; the program has the tracepoint's name.
    BtfTracepoint(&'static str),
    /// A raw tracepoint, by program.
    RawTracepoint(&'static str),
    /// The entry of a function; the program has the function's name.
    Function(&'static str),
}

/// When a probe is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum When {
    /// Whatever the detection.
    Always,
    /// Only where some CPU's entries are found this way.
    Detection(Detection),
    /// Only where the kernel lacks this tracepoint, which would do.
    Without(&'static str),
    /// Only where the kernel has it: most have not.
    There,
    /// Only where breaches are answered with a signal.
    Strict,
}

/// One row.
#[derive(Clone, Copy, Debug)]
pub(super) struct Probe {
    /// The tracepoint or function, and the name in headers and verdicts.
    pub(super) name: &'static str,
    /// When it is wanted.
    pub(super) when: When,
    /// How it may be attached.
    ways: [Option<Attach>; 2],
}

impl Probe {
    /// A tracepoint that is always wanted.
    const fn of(tracepoint: &Tracepoint) -> Self {
        Self {
            name: tracepoint.name,
            when: When::Always,
            ways: [
                Some(Attach::BtfTracepoint(tracepoint.name)),
                Some(Attach::RawTracepoint(tracepoint.raw)),
            ],
        }
    }

    /// A function that is wanted where the kernel lacks a tracepoint.
    const fn without(tracepoint: &'static str, function: &'static str) -> Self {
        Self {
            name: function,
            when: When::Without(tracepoint),
            ways: [Some(Attach::Function(function)), None],
        }
    }

    /// How it may be attached. Earlier ones are preferred.
    pub(super) fn ways(&self) -> impl Iterator<Item = Attach> {
        self.ways.into_iter().flatten()
    }
}

macro_rules! tracepoint {
    ($name:literal) => {
        tracepoint!($name, When::Always)
    };
    ($name:literal, $when:expr) => {
        Probe {
            when: $when,
            ..Probe::of(&Tracepoint {
                name: $name,
                raw: concat!("raw_", $name),
            })
        }
    };
}

macro_rules! raw_tracepoint {
    ($name:literal) => {
        Probe {
            name: $name,
            when: When::Always,
            ways: [Some(Attach::RawTracepoint(concat!("raw_", $name))), None],
        }
    };
}

macro_rules! function {
    ($name:literal, without $tracepoint:literal) => {
        Probe::without($tracepoint, $name)
    };
}

const TRACKING: When = When::Detection(Detection::ContextTracking);
const VECTORS: When = When::Detection(Detection::Vectors);

/// Every probe, in the order in which they are attached: what names and explains first,
/// what opens and closes spans last.
pub(super) static PROBES: LazyLock<Vec<Probe>> = LazyLock::new(|| {
    let reschedule = arch::RESCHEDULE;
    let mut all: Vec<Probe> = arch::VECTORS.iter().map(Probe::of).collect();
    all.extend_from_slice(INTERRUPTS);
    all.extend(arch::EXCEPTIONS.iter().map(Probe::of));
    all.extend_from_slice(WORK);
    all.push(Probe::without(reschedule.tracepoint, reschedule.function));
    all.extend_from_slice(REST);
    all
});

/// Devices' interrupts and softirqs, behind the vectors of the architecture.
const INTERRUPTS: &[Probe] = &[
    tracepoint!("irq_handler_entry"),
    tracepoint!("irq_handler_exit"),
    tracepoint!("softirq_entry"),
    tracepoint!("softirq_exit"),
];

/// What the kernel does in an entry, behind the exceptions of the architecture, and who sends.
const WORK: &[Probe] = &[
    tracepoint!("signal_generate"),
    tracepoint!("signal_deliver"),
    tracepoint!("tlb_flush"),
    tracepoint!("timer_expire_entry"),
    tracepoint!("timer_expire_exit"),
    tracepoint!("hrtimer_expire_entry"),
    tracepoint!("hrtimer_expire_exit"),
    tracepoint!("tick_stop"),
    tracepoint!("workqueue_execute_start"),
    tracepoint!("workqueue_execute_end"),
    // As BTF tracepoints the verifier of 6.12 and 6.18 refuses the function argument:
    // "type FUNC_PROTO is not a struct".
    raw_tracepoint!("csd_function_entry"),
    raw_tracepoint!("csd_function_exit"),
    raw_tracepoint!("csd_queue_cpu"),
    tracepoint!("ipi_send_cpu"),
    function!("__smp_call_single_queue", without "csd_queue_cpu"),
    function!("smp_call_function_single", without "csd_queue_cpu"),
    function!("smp_call_function_single_async", without "csd_queue_cpu"),
    function!("smp_call_function_many_cond", without "csd_queue_cpu"),
];

/// Who queues and arms, what tasks do, and what opens and closes spans.
const REST: &[Probe] = &[
    tracepoint!("workqueue_queue_work"),
    tracepoint!("timer_start"),
    tracepoint!("hrtimer_start"),
    tracepoint!("hrtimer_cancel"),
    tracepoint!("sched_switch"),
    tracepoint!("sched_migrate_task"),
    tracepoint!("sched_waking"),
    tracepoint!("sched_wakeup_new"),
    tracepoint!("sched_process_exec"),
    tracepoint!("sched_process_exit"),
    tracepoint!("task_rename"),
    tracepoint!("sched_process_fork", When::Strict),
    tracepoint!("task_isolation_exit", When::There),
    tracepoint!("task_isolation_breach", When::There),
    tracepoint!("task_isolation_enter", When::There),
    tracepoint!("sys_enter", VECTORS),
    tracepoint!("sys_exit", VECTORS),
    tracepoint!("user_enter", TRACKING),
    tracepoint!("user_exit", TRACKING),
];

/// What `vectors` detection cannot see, for the header.
pub(super) const BLIND_SPOTS: &[&str] = &[
    "exceptions other than page faults",
    "the end of page faults (their duration is absent)",
    "work between the end of a system call or interrupt and the return to user mode",
    "vectors without a tracepoint",
    "that a signal killed the task at the end of a system call, as abort does",
    "the moment at which a task that was switched to is in user mode",
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn names_are_unique_and_every_probe_has_a_way() {
        let names: HashSet<_> = PROBES.iter().map(|probe| probe.name).collect();
        assert_eq!(names.len(), PROBES.len());
        assert!(PROBES.iter().all(|probe| probe.ways().count() > 0));
    }

    #[test]
    fn spans_open_last() {
        let last = PROBES.last().map(|probe| probe.name);
        assert_eq!(last, Some("user_exit"));
    }

    /// A row without its program, or a program without its row, is a probe that quietly goes missing.
    #[test]
    fn rows_and_programs_match() {
        let object = aya_obj::Object::parse(super::super::object::OBJECT).unwrap();
        let programs: HashSet<_> = object.programs.keys().cloned().collect();
        let rows: HashSet<_> = PROBES
            .iter()
            .flat_map(Probe::ways)
            .map(|way| match way {
                Attach::BtfTracepoint(program)
                | Attach::RawTracepoint(program)
                | Attach::Function(program) => program.to_owned(),
            })
            .collect();
        assert_eq!(programs, rows);
    }
}
