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
pub(super) struct Linked {
    words: Vec<u64>,
    length: usize,
}

impl Linked {
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
    use crate::bpf::object::OBJECT;

    /// How often an object has an instruction.
    fn count(object: &[u8], wanted: u64) -> usize {
        object
            .chunks_exact(8)
            .filter(|bytes| *bytes == wanted.to_le_bytes())
            .count()
    }

    #[test]
    fn no_mark_is_left_and_nothing_else_changes() {
        let linked = Linked::new(OBJECT, &KernelTypes::none(), Execution::Compiled);
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

    /// Programs that change a CPU's state where the kernel may preempt them; see `preempt.rs` of theirs.
    const PREEMPTIBLE: [&str; 12] = [
        "csd_function_exit",
        "hrtimer_expire_entry",
        "sched_process_exit",
        "signal_deliver",
        "signal_generate",
        "softirq_entry",
        "softirq_exit",
        "sys_enter",
        "sys_exit",
        "timer_expire_entry",
        "workqueue_execute_end",
        "workqueue_execute_start",
    ];

    #[test]
    fn a_program_that_may_be_preempted_holds_that_off() {
        let object = aya_obj::Object::parse(OBJECT).unwrap();
        for name in PREEMPTIBLE {
            let raw = format!("raw_{name}");
            let program = object.programs.get(&raw).unwrap();
            let function = object.functions.get(&program.function_key()).unwrap();
            for mark in Function::ALL.map(Function::mark) {
                let calls = function
                    .instructions
                    .iter()
                    .filter(|it| u64::from(it.code) == CALL && it.imm.cast_unsigned() == mark);
                assert!(calls.count() > 0, "{name}");
            }
        }
    }

    #[test]
    fn a_function_that_this_kernel_has_is_called() {
        let types = KernelTypes::read(Path::new("/sys/kernel/btf/vmlinux")).unwrap();
        let linked = Linked::new(OBJECT, &types, Execution::Compiled);
        let none = Linked::new(OBJECT, &KernelTypes::none(), Execution::Compiled);
        assert_eq!(
            Linked::new(OBJECT, &types, Execution::Interpreted).bytes(),
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
                Linked::new(&bytes, &KernelTypes::none(), Execution::Compiled).bytes(),
                bytes
            );
        }
    }
}
