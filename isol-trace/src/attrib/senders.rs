//! What the names on a sender's stack tell of it.

use crate::{
    arch::INTERRUPT_ENTRIES,
    event::{
        model::{Function, TaskId, Via},
        origin::RawSender,
    },
};

/// The tracer's own frames, on top of every stack: the program, and what calls it.
const OWN_FRAMES: &[&str] = &[
    "bpf_prog_",
    "bpf_trampoline_",
    "bpf_trace_run",
    "__bpf_trace_",
    "__traceiter_",
];

/// Who asked, as far as the names on its stack tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asker {
    /// The task; `None` where an interrupt or a softirq asked.
    pub(super) task: Option<TaskId>,
    /// Whether it was that task or an interrupt in its time is not known.
    pub(super) unsure: bool,
}

/// Who has left a record, by the stack that it left, of which the tracer's own frames are taken off.
pub(super) fn asker(sender: &RawSender, stack: &[Function]) -> Asker {
    let in_interrupt = any(stack, INTERRUPT_ENTRIES);
    let by_interrupt = in_interrupt
        // Raised on the way back from an interrupt, which counts as none any more.
        && (sender.unsure || sender.via == Via::IrqWork);
    Asker {
        task: sender.task.clone().filter(|_| !by_interrupt),
        unsure: sender.unsure && stack.is_empty(),
    }
}

/// Functions of timers that a task has armed by its own system calls: its sleeps and timeouts
/// (`hrtimer_wakeup`, `process_timeout`) and what `setitimer`, `timer_create`, `timerfd_settime` and
/// `alarm` arm (`kernel/time/` and `fs/timerfd.c`, v6.1 to v7.2).
const OWN_TIMERS: &[&str] = &[
    "hrtimer_wakeup",
    "process_timeout",
    "it_real_fn",
    "posix_timer_fn",
    "timerfd_tmrproc",
    "timerfd_alarmproc",
    "alarmtimer_fired",
];

/// Whose a timer of the kernel is that interrupted a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TimerOwner {
    /// That task: it armed the timer for itself, or the perf event is its own.
    InterruptedTask,
    /// The kernel, which only happened to arm it while that task ran.
    Kernel,
    /// Whoever armed it.
    Asker,
}

/// Whose a timer is that interrupted a `task`. `asker` armed it, and `function` is what it runs.
pub(super) fn timer_owner(
    via: Via,
    asker: Option<&TaskId>,
    function: Option<&str>,
    task: &TaskId,
) -> TimerOwner {
    let armed_by = asker.and_then(|task| task.pid);
    if armed_by.is_none() || armed_by != task.pid {
        return TimerOwner::Asker;
    }
    match (via, function) {
        // Whose the event is, is known; who armed its timer does not matter.
        (Via::PerfEvent, _) => TimerOwner::InterruptedTask,
        (Via::Timer | Via::Hrtimer, Some(name)) if OWN_TIMERS.contains(&name) => {
            TimerOwner::InterruptedTask
        }
        (Via::Timer | Via::Hrtimer, Some(_)) => TimerOwner::Kernel,
        // What it is for is not known.
        _ => TimerOwner::Asker,
    }
}

/// Takes the tracer's own frames off a stack.
pub(super) fn trim(stack: &mut Vec<Function>) {
    let own = stack
        .iter()
        .rposition(|place| any(std::slice::from_ref(place), OWN_FRAMES));
    if let Some(last) = own {
        stack.drain(..=last);
    }
}

fn any(stack: &[Function], beginnings: &[&str]) -> bool {
    stack
        .iter()
        .filter_map(|place| place.name.as_deref())
        .any(|name| beginnings.iter().any(|one| name.starts_with(one)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::ids::{Address, Cpu, MonoNanos, Pid, Tid};

    fn task(pid: u32) -> TaskId {
        TaskId {
            pid: Some(Pid(pid)),
            tid: Tid(7),
            comm: None,
        }
    }

    fn sender(via: Via, unsure: bool) -> RawSender {
        RawSender {
            via,
            at: Some(MonoNanos(1)),
            cpu: Some(Cpu(0)),
            task: Some(task(7)),
            unsure,
            callback: None,
            callsite: None,
            stack: Vec::new(),
            inferred: false,
        }
    }

    fn stack(names: &[&str]) -> Vec<Function> {
        let function = |name: &&str| Function {
            address: Some(Address(1)),
            name: Some((*name).into()),
        };
        names.iter().map(function).collect()
    }

    #[test]
    fn a_timer_is_the_tasks_own_only_by_what_it_is_for() {
        let owner = |function, pid| timer_owner(Via::Hrtimer, Some(&task(7)), function, &task(pid));
        assert_eq!(
            owner(Some("hrtimer_wakeup"), 7),
            TimerOwner::InterruptedTask
        );
        assert_eq!(owner(Some("tick_nohz_handler"), 7), TimerOwner::Kernel);
        assert_eq!(owner(None, 7), TimerOwner::Asker);
        for function in ["hrtimer_wakeup", "tick_nohz_handler"] {
            assert_eq!(owner(Some(function), 8), TimerOwner::Asker, "another's");
        }
        let nobody = timer_owner(Via::Hrtimer, None, Some("hrtimer_wakeup"), &task(7));
        assert_eq!(nobody, TimerOwner::Asker, "an interrupt armed it");
        let work = timer_owner(Via::Work, Some(&task(7)), Some("hrtimer_wakeup"), &task(7));
        assert_eq!(work, TimerOwner::Asker, "no timer");
    }

    #[test]
    fn a_perf_event_of_the_tasks_own_is_its_own() {
        let owner = |pid| timer_owner(Via::PerfEvent, Some(&task(7)), None, &task(pid));
        assert_eq!(owner(7), TimerOwner::InterruptedTask);
        assert_eq!(owner(8), TimerOwner::Asker, "another's");
    }

    #[test]
    fn who_raises_an_irq_work_is_told_from_the_way_back_of_an_interrupt() {
        let raised = |names: &[&str]| asker(&sender(Via::IrqWork, false), &stack(names)).task;
        assert!(raised(&["irq_work_queue+0x1", "do_timer_settime+0x7"]).is_some());
        let back = ["irq_work_queue+0x1", "asm_sysvec_reschedule_ipi+0x16"];
        assert_eq!(raised(&back), None);
    }

    #[test]
    fn our_own_frames_are_taken_off() {
        let names = [
            "bpf_prog_3cdf762c48017030_ipi_send_cpu+0x2c3 [bpf]",
            "bpf_trace_run3+0xf7",
            "__resched_curr+0x1e7",
            "__x64_sys_futex+0x112",
        ];
        let mut ours = stack(&names);
        trim(&mut ours);
        assert_eq!(ours, stack(&names[2..]));
        let mut bare = stack(&names[2..]);
        trim(&mut bare);
        assert_eq!(bare.len(), 2);
    }

    #[test]
    fn a_stack_tells_an_interrupt_from_a_task() {
        let interrupt = stack(&["__resched_curr+0x1", "asm_sysvec_apic_timer_interrupt+0x16"]);
        let task = stack(&["__resched_curr+0x1", "entry_SYSCALL_64_after_hwframe+0x76"]);
        let told = |unsure, stack: &[Function]| {
            let asker = asker(&sender(Via::Reschedule, unsure), stack);
            (asker.task.is_some(), asker.unsure)
        };
        assert_eq!(told(true, &interrupt), (false, false));
        assert_eq!(told(true, &task), (true, false));
        let known = told(false, &interrupt);
        assert_eq!(
            known,
            (true, false),
            "the kernel has said that it was the task"
        );
        assert_eq!(told(true, &[]), (true, true), "nothing tells");
    }
}
