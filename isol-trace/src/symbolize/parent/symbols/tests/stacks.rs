//! Stacks of this process, unwound for real.

#![cfg(target_arch = "x86_64")]

use std::{hint::black_box, os::unix::fs::FileExt as _};

use super::super::*;
use crate::event::user_stack::tests::{copied, own_stack};

/// This thread's registers, and its stack from there on. The test is built without frame pointers.
#[inline(never)]
fn innermost_of_the_test(bytes: u64) -> CopiedStack {
    let (ip, sp, bp): (u64, u64, u64);
    // SAFETY: it reads registers and touches nothing else.
    unsafe {
        std::arch::asm!(
            "lea {ip}, [rip]",
            "mov {sp}, rsp",
            "mov {bp}, rbp",
            ip = out(reg) ip,
            sp = out(reg) sp,
            bp = out(reg) bp,
            options(nomem, nostack),
        );
    }
    let mut stack = vec![0; usize::try_from(bytes).expect("a length")];
    let memory = File::open("/proc/self/mem").expect("our own memory");
    memory.read_exact_at(&mut stack, sp).expect("our own stack");
    black_box(own_stack(ip, sp, bp, &stack))
}

#[inline(never)]
fn middle_of_the_test(bytes: u64) -> CopiedStack {
    black_box(innermost_of_the_test(black_box(bytes)))
}

#[inline(never)]
fn outermost_of_the_test(bytes: u64) -> CopiedStack {
    let stack = middle_of_the_test(black_box(bytes));
    black_box(stack)
}

fn words(stack: &CopiedStack) -> Vec<String> {
    let mut symbols = UserSymbols::of_tests(Path::new("/"));
    symbols.unwind(stack);
    let words = symbols.stack(stack.key);
    words.iter().map(ToString::to_string).collect()
}

fn frames(stack: &CopiedStack) -> Vec<Frame> {
    let found = UserSymbols::of_tests(Path::new("/")).unwound(stack);
    found.map_or_else(Vec::new, |found| found.frames)
}

#[test]
fn a_real_stack_without_frame_pointers_is_unwound() {
    let names = words(&outermost_of_the_test(4096));
    let functions = ["innermost", "middle", "outermost"];
    for (frame, function) in names.iter().zip(functions) {
        assert!(
            frame.contains(&format!("{function}_of_the_test+0x")),
            "{names:#?}"
        );
        assert!(frame.contains(" (stacks.rs:"), "{frame}");
    }
    assert!(
        names[3].contains("a_real_stack_without_frame_pointers_is_unwound"),
        "{names:#?}"
    );
}

/// Without the register that could be a frame pointer nothing changes: the tables are what is followed.
#[test]
fn it_is_not_by_frame_pointers() {
    let mut stack = outermost_of_the_test(4096);
    let with = frames(&stack);
    stack.bp = Address(0);
    assert_eq!(frames(&stack)[..4], with[..4]);
}

#[test]
fn a_stack_that_was_copied_in_part_ends_there() {
    assert_eq!(frames(&outermost_of_the_test(0)).len(), 1, "the registers");
    let whole = frames(&outermost_of_the_test(4096)).len();
    let part = frames(&outermost_of_the_test(512)).len();
    assert!((1..whole).contains(&part), "{part} of {whole}");
}

#[test]
fn bytes_that_are_no_stack_give_nothing_wrong() {
    let mut stack = outermost_of_the_test(4096);
    let ip = stack.ip;
    // Every word says that the caller is at an address that is no code.
    stack = copied(&stack, &[0x11; 4096]);
    assert_eq!(frames(&stack).len(), 1);
    stack.ip = Address(8);
    assert_eq!(frames(&stack), [], "no code");
    stack.ip = ip;
    stack.pid = Pid(u32::MAX);
    assert_eq!(frames(&stack), [], "no process");
}
