//! What the names on a sender's stack tell of it.

use crate::event::model::{Function, Origin, Sender, Via};

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
    if sender.task.is_none()
        && let Origin::Tracer(sender) = origin
    {
        *origin = match sender.via {
            Via::Work | Via::Timer | Via::Hrtimer => Origin::Kernel(Some(sender.clone())),
            Via::CrossCall | Via::Reschedule | Via::Wake => Origin::Remote(sender.clone()),
        };
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
            at: MonoNanos(1),
            cpu: Cpu(0),
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
