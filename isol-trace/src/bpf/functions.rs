//! Calls of the kernel's own functions, which Aya does not link.

use isol_trace_common::functions::Function;
use zerocopy::IntoBytes as _;

use super::{btf::KernelTypes, request::Execution};

/// `call` of a helper: `BPF_JMP | BPF_CALL`, the helper's number in the upper half
/// (`include/uapi/linux/bpf_common.h`, v6.12).
const CALL: u64 = 0x85;

/// In a call's source register: the number is a kernel function's (`BPF_PSEUDO_KFUNC_CALL`,
/// `include/uapi/linux/bpf.h`).
const OF_KERNEL: u64 = 2 << 12;

/// `r0 = 0`: what a call is where the kernel has no such function.
const NOTHING: u64 = 0xb7;

/// The object for a kernel of these types, as words: those of its programs that call a mark call the
/// function.
pub(super) struct LinkedObject {
    words: Vec<u64>,
    length: usize,
}

impl LinkedObject {
    /// Links an object; one that the kernel interprets may call none of its functions.
    pub(super) fn new(object: &[u8], types: &KernelTypes, execution: Execution) -> Self {
        let calls = Function::ALL.map(|function| {
            let number = types
                .function_number(function.name())
                .filter(|_| execution == Execution::Compiled);
            let call = number.map_or(NOTHING, |number| instruction(CALL | OF_KERNEL, number));
            (instruction(CALL, function.mark()), call)
        });
        let word = |bytes: &[u8]| {
            let mut word = [0; 8];
            word[..bytes.len()].copy_from_slice(bytes);
            let word = u64::from_le_bytes(word);
            calls
                .iter()
                .find(|(mark, _)| *mark == word)
                .map_or(word, |(_, call)| *call)
        };
        Self {
            // Programs lie in their sections word by word, and sections of words at such places.
            words: object.chunks(8).map(word).collect(),
            length: object.len(),
        }
    }

    /// The object's bytes.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.words.as_bytes()[..self.length]
    }
}

fn instruction(operation: u64, immediate: u32) -> u64 {
    operation | u64::from(immediate) << 32
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::bpf::{
        object::OBJECT,
        probes::{Attach, PROBES},
    };

    /// How often an object has an instruction.
    fn count(object: &[u8], wanted: u64) -> usize {
        object
            .chunks_exact(8)
            .filter(|bytes| *bytes == wanted.to_le_bytes())
            .count()
    }

    #[test]
    fn no_mark_is_left_and_nothing_else_changes() {
        let linked = LinkedObject::new(OBJECT, &KernelTypes::none(), Execution::Compiled);
        assert_eq!(linked.bytes().len(), OBJECT.len());
        let changed = OBJECT
            .chunks(8)
            .zip(linked.bytes().chunks(8))
            .filter(|(before, after)| before != after)
            .count();
        let mut marks = 0;
        for function in Function::ALL {
            let mark = instruction(CALL, function.mark());
            let calls = count(OBJECT, mark);
            assert!(calls > 0, "{}", function.name());
            assert_eq!(count(linked.bytes(), mark), 0, "{}", function.name());
            marks += calls;
        }
        assert_eq!(changed, marks);
    }

    /// Probes whose programs need not hold preemption off, and why; see `preempt.rs` of theirs.
    /// Places of the kernel are those of v7.3.
    const NEED_NOT: [(&str, &[&str]); 3] = [
        (
            "interrupts are off: an interrupt or exception is being entered, or user mode left or \
             entered (DEFINE_IDTENTRY_SYSVEC, arch/x86/include/asm/idtentry.h; \
             __handle_irq_event_percpu, kernel/irq/handle.c; handle_page_fault, \
             arch/x86/mm/fault.c)",
            &[
                "local_timer_entry",
                "reschedule_entry",
                "call_function_entry",
                "call_function_single_entry",
                "irq_work_entry",
                "x86_platform_ipi_entry",
                "thermal_apic_entry",
                "threshold_apic_entry",
                "deferred_error_apic_entry",
                "error_apic_entry",
                "spurious_apic_entry",
                "irq_handler_entry",
                "nmi_handler",
                "page_fault_user",
                "page_fault_kernel",
                "user_enter",
                "user_exit",
            ],
        ),
        (
            "interrupts or preemption are off: __schedule, set_task_cpu, try_to_wake_up and \
             wake_up_new_task (kernel/sched/core.c), can_stop_full_tick \
             (kernel/time/tick-sched.c), flush_tlb_func and flush_tlb_mm_range \
             (arch/x86/mm/tlb.c)",
            &[
                "sched_switch",
                "sched_migrate_task",
                "sched_waking",
                "sched_wakeup_new",
                "tick_stop",
                "tlb_flush",
            ],
        ),
        (
            "it changes nothing of an entry that is under way",
            &[
                "csd_queue_cpu",
                "ipi_send_cpu",
                "__smp_call_single_queue",
                "smp_call_function_single",
                "smp_call_function_single_async",
                "smp_call_function_many_cond",
                "native_smp_send_reschedule",
                "workqueue_queue_work",
                "timer_start",
                "hrtimer_start",
                "hrtimer_cancel",
                "sched_process_fork",
                "task_rename",
                "task_isolation_exit",
                "task_isolation_breach",
                "task_isolation_enter",
            ],
        ),
    ];

    /// A probe that is new has to hold preemption off, or to say above why it need not.
    #[test]
    fn a_program_that_may_be_preempted_holds_that_off() {
        let object = aya_obj::Object::parse(OBJECT).unwrap();
        let calls = |program: &str, function: Function| {
            let program = object.programs.get(program).unwrap();
            let code = object.functions.get(&program.function_key()).unwrap();
            let mark = function.mark();
            let is_call = |it: &&aya_obj::generated::bpf_insn| {
                u64::from(it.code) == CALL && it.imm.cast_unsigned() == mark
            };
            code.instructions.iter().filter(is_call).count()
        };
        let mut need_not: Vec<&str> = NEED_NOT
            .iter()
            .flat_map(|(_, names)| *names)
            .copied()
            .collect();
        for probe in PROBES.iter() {
            let said = need_not.iter().position(|name| *name == probe.name);
            if let Some(said) = said {
                need_not.swap_remove(said);
            }
            for way in probe.ways() {
                let (Attach::BtfTracepoint(program)
                | Attach::RawTracepoint(program)
                | Attach::Function(program)) = way;
                let held = Function::ALL.map(|function| calls(program, function));
                let [disabled, enabled] = held.map(|calls| calls > 0);
                assert_eq!(disabled, enabled, "{program}");
                assert_ne!(
                    disabled,
                    said.is_some(),
                    "{program}: either it does, or it need not"
                );
            }
        }
        assert_eq!(need_not, [""; 0], "no such probe");
    }

    #[test]
    fn a_function_that_this_kernel_has_is_called() {
        let types = KernelTypes::read(Path::new("/sys/kernel/btf/vmlinux")).unwrap();
        let linked = LinkedObject::new(OBJECT, &types, Execution::Compiled);
        let none = LinkedObject::new(OBJECT, &KernelTypes::none(), Execution::Compiled);
        assert_eq!(
            LinkedObject::new(OBJECT, &types, Execution::Interpreted).bytes(),
            none.bytes()
        );
        for function in Function::ALL {
            let mark = instruction(CALL, function.mark());
            let call = types
                .function_number(function.name())
                .map_or(NOTHING, |number| instruction(CALL | OF_KERNEL, number));
            assert!(count(linked.bytes(), call) >= count(OBJECT, mark));
        }
    }

    #[test]
    fn an_object_of_any_length_keeps_it() {
        for length in 0..20 {
            let bytes: Vec<u8> = (1..=length).collect();
            assert_eq!(
                LinkedObject::new(&bytes, &KernelTypes::none(), Execution::Compiled).bytes(),
                bytes
            );
        }
    }
}
