#![cfg(target_arch = "x86_64")]

use std::{fs::File, hint::black_box, os::unix::fs::FileExt as _, path::Path};

use super::*;
use crate::{
    attrib::symbols::UserSymbols,
    event::user_stack::tests::{copied, own_stack},
};

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
    let mut symbols = UserSymbols::new(Path::new("/"), 1 << 30);
    symbols.unwind(stack);
    let words = symbols.stack(stack.key);
    words.iter().map(ToString::to_string).collect()
}

fn frames(stack: &CopiedStack) -> Vec<Frame> {
    let found = UserSymbols::new(Path::new("/"), 0).unwound(stack);
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
        assert!(frame.contains(" (tests.rs:"), "{frame}");
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
    stack.pid = crate::event::ids::Pid(u32::MAX);
    assert_eq!(frames(&stack), [], "no process");
}

/// A call that never ends: the bytes repeat themselves.
#[test]
fn the_number_of_frames_is_bounded() {
    let mapping = Mapping {
        start: 0x1000,
        end: 0x2000,
        offset: 0,
        backing: Backing::Anonymous,
    };
    // Frame pointers, each to the next, and the same address to return to.
    let sp = 0x10_0000;
    let bytes: Vec<u8> = (1..=256_u64)
        .flat_map(|frame| [sp + 16 * frame, 0x1234])
        .flat_map(u64::to_le_bytes)
        .collect();
    let stack = own_stack(0x1000, sp, sp, &bytes);
    let frames = unwind(&stack, |address| {
        (mapping.start..mapping.end)
            .contains(&address.0)
            .then(|| Code {
                mapping: mapping.clone(),
                table: None,
            })
    });
    assert_eq!(frames.len(), MAX_FRAMES);
    assert!(
        frames[1..]
            .iter()
            .all(|frame| frame.returns && frame.address == Address(0x1234))
    );
    // The same in a file without tables: whether it has frame pointers is not known.
    let frames = unwind(&stack, |_| {
        let backing = Backing::Special("[vdso]".to_owned());
        Some(Code {
            mapping: Mapping {
                backing,
                ..mapping.clone()
            },
            table: None,
        })
    });
    assert_eq!(frames.len(), 1);
}
