//! What the names on a sender's stack tell of it.

use crate::event::model::{Function, Origin, Sender, TaskId, Via};

/// The tracer's own frames, on top of every stack: the program, and what calls it.
const OWN_FRAMES: &[&str] = &[
    "bpf_prog_",
    "bpf_trampoline_",
    "bpf_trace_run",
    "__bpf_trace_",
    "__traceiter_",
];

/// Where an interrupt or an NMI began (`arch/x86/include/asm/idtentry.h`, v6.1 to v7.2): a task that
/// has one of these on its stack did not ask itself.
const INTERRUPT_ENTRIES: &[&str] = &["asm_sysvec_", "asm_common_interrupt", "asm_exc_nmi"];

/// Completes an origin whose places have their names.
pub(super) fn complete(origin: &mut Origin) {
    let Some(sender) = origin.sender_mut() else {
        return;
    };
    trim(sender);
    if sender.unsure && !sender.stack.is_empty() {
        sender.unsure = false;
        if any(&sender.stack, INTERRUPT_ENTRIES) {
            sender.task = None;
        }
    }
    // Raised on the way back from an interrupt, which counts as none any more.
    if sender.via == Via::IrqWork && any(&sender.stack, INTERRUPT_ENTRIES) {
        sender.task = None;
    }
    if sender.task.is_none()
        && let Origin::Tracer(sender) = origin
    {
        *origin = match sender.via {
            Via::Work | Via::Timer | Via::Hrtimer | Via::PerfEvent | Via::IrqWork => {
                Origin::Kernel(Some(sender.clone()))
            }
            Via::CrossCall | Via::Reschedule | Via::Wake | Via::Fork | Via::Move | Via::Cancel => {
                Origin::Remote(sender.clone())
            }
        };
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

/// Of a timer that was armed while the interrupted task itself ran: says whether it is that task's own,
/// or one of the kernel's, which only happened to be armed then.
pub(super) fn whose_timer(origin: &mut Origin, task: &TaskId) {
    let Origin::Kernel(Some(sender)) = origin else {
        return;
    };
    let is_timer = matches!(sender.via, Via::Timer | Via::Hrtimer);
    let asked_by = sender.task.as_ref().and_then(|task| task.pid);
    if asked_by.is_none() || asked_by != task.pid {
        return;
    }
    // Whose the event is, is known; who armed its timer does not matter.
    if sender.via == Via::PerfEvent {
        *origin = Origin::Task;
        return;
    }
    if !is_timer {
        return;
    }
    let name = sender.callback.as_ref().and_then(|it| it.name.as_deref());
    match name {
        Some(name) if OWN_TIMERS.contains(&name) => *origin = Origin::Task,
        Some(_) => sender.task = None,
        // What it is for is not known.
        None => {}
    }
}

/// Takes the tracer's own frames off the stack.
fn trim(sender: &mut Sender) {
    let own = sender
        .stack
        .iter()
        .rposition(|place| any(std::slice::from_ref(place), OWN_FRAMES));
    if let Some(last) = own {
        sender.stack.drain(..=last);
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
    use crate::event::{
        ids::{Address, Cpu, MonoNanos, Pid, Tid},
        model::{TaskId, Via},
    };

    fn sender(unsure: bool, stack: &[&str]) -> Box<Sender> {
        Box::new(Sender {
            via: Via::Reschedule,
            at: Some(MonoNanos(1)),
            cpu: Some(Cpu(0)),
            task: Some(TaskId {
                pid: Some(Pid(7)),
                tid: Tid(7),
                comm: None,
            }),
            unsure,
            callback: None,
            callsite: None,
            stack: stack
                .iter()
                .map(|&name| Function {
                    address: Some(Address(1)),
                    name: Some(name.into()),
                })
                .collect(),
            user_stack: std::sync::Arc::default(),
            inferred: false,
        })
    }

    fn completed(mut origin: Origin) -> Origin {
        complete(&mut origin);
        origin
    }

    /// The origin of a breach of a process, of whoever asked.
    fn for_breach_of(pid: u32, sender: Box<Sender>) -> Origin {
        let mut origin = Origin::Kernel(Some(sender));
        let task = TaskId {
            pid: Some(Pid(pid)),
            tid: Tid(7),
            comm: None,
        };
        whose_timer(&mut origin, &task);
        origin
    }

    #[test]
    fn a_timer_is_the_tasks_own_only_by_what_it_is_for() {
        let whose = |callback: Option<&str>, pid: u32| {
            let mut sender = sender(false, &[]);
            sender.via = Via::Hrtimer;
            sender.callback = callback.map(|name| Function {
                address: Some(Address(1)),
                name: Some(name.into()),
            });
            let origin = for_breach_of(pid, sender);
            let named = origin.sender().is_some_and(|sender| sender.task.is_some());
            (origin.word(), named)
        };
        assert_eq!(whose(Some("hrtimer_wakeup"), 7), ("task", false));
        assert_eq!(whose(Some("tick_nohz_handler"), 7), ("kernel", false));
        assert_eq!(whose(None, 7), ("kernel", true));
        for callback in ["hrtimer_wakeup", "tick_nohz_handler"] {
            assert_eq!(whose(Some(callback), 8), ("kernel", true), "another's");
        }
    }

    #[test]
    fn who_raises_an_irq_work_is_told_from_the_way_back_of_an_interrupt() {
        let named = |stack: &[&str]| {
            let mut sender = sender(false, stack);
            sender.via = Via::IrqWork;
            let origin = completed(Origin::Kernel(Some(sender)));
            origin.sender().unwrap().task.is_some()
        };
        assert!(named(&["irq_work_queue+0x1", "do_timer_settime+0x7"]));
        assert!(!named(&[
            "irq_work_queue+0x1",
            "asm_sysvec_reschedule_ipi+0x16"
        ]));
    }

    #[test]
    fn a_perf_event_of_the_tasks_own_is_its_own() {
        let whose = |pid: u32| {
            let mut sender = sender(false, &[]);
            sender.via = Via::PerfEvent;
            for_breach_of(pid, sender).word()
        };
        assert_eq!(whose(7), "task");
        assert_eq!(whose(8), "kernel", "another's");
    }

    #[test]
    fn our_own_frames_are_taken_off() {
        let stack = [
            "bpf_prog_3cdf762c48017030_ipi_send_cpu+0x2c3 [bpf]",
            "bpf_trace_run3+0xf7",
            "__resched_curr+0x1e7",
            "__x64_sys_futex+0x112",
        ];
        let origin = completed(Origin::Remote(sender(false, &stack)));
        let names: Vec<_> = origin.sender().unwrap().stack.iter().collect();
        assert_eq!(names.len(), 2);
        assert_eq!(names[0].name.as_deref(), Some("__resched_curr+0x1e7"));
        let bare = completed(Origin::Remote(sender(false, &stack[2..])));
        assert_eq!(bare.sender().unwrap().stack.len(), 2);
    }

    #[test]
    fn a_stack_tells_an_interrupt_from_a_task() {
        let interrupt = ["__resched_curr+0x1", "asm_sysvec_apic_timer_interrupt+0x16"];
        let task = ["__resched_curr+0x1", "entry_SYSCALL_64_after_hwframe+0x76"];
        let who = |origin: &Origin| origin.sender().unwrap().task.is_some();
        let tracer = completed(Origin::Tracer(sender(true, &interrupt)));
        assert!(matches!(&tracer, Origin::Remote(_)) && !who(&tracer));
        let tracer = completed(Origin::Tracer(sender(true, &task)));
        assert!(matches!(&tracer, Origin::Tracer(_)) && who(&tracer));
        let known = completed(Origin::Remote(sender(false, &interrupt)));
        assert!(who(&known), "the kernel has said that it was the task");
        let nothing = completed(Origin::Remote(sender(true, &[])));
        assert!(nothing.sender().unwrap().unsure, "nothing tells");
    }
}
