//! Exceptions other than page faults, each with a handler for its signal.

use std::arch::asm;

use anyhow::Result;

use super::{
    super::{
        expect::{Expect, one, syscall},
        files::read,
        guest::skip,
    },
    Trigger,
    actor::Actor,
    signal,
};

/// A row: name, what for, signal, length of the instruction to step over (0 for a trap), the instruction.
macro_rules! exception {
    ($name:literal, $about:literal, $word:literal, $signal:expr, $length:literal, $act:expr) => {
        Trigger {
            name: $name,
            about: $about,
            act: |actor| trigger(actor, $signal, $length, $act),
            partner: None,
            expect: |_| Ok(expect($word)),
        }
    };
}

/// The rows.
pub const ALL: &[Trigger] = &[
    Trigger {
        name: "exception_silent",
        about: "an exception that the kernel fixes up in silence (smsw under UMIP): unknown, and counted as such",
        act: |actor| {
            // The kernel warns of the first five in two minutes (arch/x86/kernel/umip.c, umip_printk), and
            // where printing raises an irq_work, that interrupt would take the entry for its own.
            (0..6).for_each(|_| machine_status());
            actor.perform(machine_status)
        },
        partner: None,
        // #GP without a signal: neither a tracepoint nor a trap number is left of it
        // (arch/x86/kernel/traps.c, exc_general_protection).
        expect: |_| {
            if !has_flag("umip")? {
                return skip("this processor has no UMIP");
            }
            Ok(vec![one("unknown").end("return")])
        },
    },
    exception!(
        "exception_divide",
        "#DE: division by zero",
        "divide_error",
        libc::SIGFPE,
        2,
        divide
    ),
    exception!(
        "exception_opcode",
        "#UD: the undefined instruction",
        "invalid_opcode",
        libc::SIGILL,
        2,
        undefined
    ),
    exception!(
        "exception_protection",
        "#GP: a privileged instruction",
        "general_protection",
        libc::SIGSEGV,
        1,
        halt
    ),
    exception!(
        "exception_breakpoint",
        "#BP: int3",
        "breakpoint",
        libc::SIGTRAP,
        0,
        breakpoint
    ),
    exception!(
        "exception_debug",
        "#DB: int1",
        "debug",
        libc::SIGTRAP,
        0,
        debug
    ),
    exception!(
        "exception_overflow",
        "#OF: int 4",
        "overflow",
        libc::SIGSEGV,
        0,
        overflow
    ),
    exception!(
        "exception_x87",
        "#MF: an unmasked x87 division by zero",
        "x87_fpu",
        libc::SIGFPE,
        1,
        x87
    ),
];

fn trigger(actor: &Actor, signal: i32, length: i64, act: fn()) -> Result<()> {
    signal::handle(signal)?;
    signal::skip_bytes(length);
    act();
    act();
    actor.perform(act)
}

fn expect(word: &str) -> Vec<Expect> {
    vec![
        one("exception")
            .name(word)
            .does("signal", &[])
            .origin("task")
            .end("return"),
        syscall(libc::SYS_rt_sigreturn, "rt_sigreturn"),
    ]
}

/// Whether `/proc/cpuinfo` lists a flag.
fn has_flag(flag: &str) -> Result<bool> {
    let text = read("/proc/cpuinfo")?;
    let flags = text.lines().find(|line| line.starts_with("flags"));
    Ok(flags.is_some_and(|line| line.split_whitespace().any(|word| word == flag)))
}

fn machine_status() {
    // SAFETY: answers a register; under UMIP the kernel answers in its place.
    unsafe { asm!("smsw {word:x}", word = out(reg) _) };
}

fn divide() {
    // SAFETY: `div ecx` (f7 f1) faults and the handler steps over it.
    unsafe {
        asm!("div ecx", inout("eax") 1 => _, inout("edx") 0 => _, in("ecx") 0);
    }
}

fn undefined() {
    // SAFETY: `ud2` (0f 0b) faults and the handler steps over it.
    unsafe { asm!("ud2") };
}

fn halt() {
    // SAFETY: `hlt` (f4) faults in user mode and the handler steps over it.
    unsafe { asm!("hlt") };
}

fn breakpoint() {
    // SAFETY: traps, the saved instruction pointer is already behind it.
    unsafe { asm!("int3") };
}

fn debug() {
    // SAFETY: traps (int1, f1), the saved instruction pointer is already behind it.
    unsafe { asm!(".byte 0xf1") };
}

fn overflow() {
    // SAFETY: traps through a gate that user mode may use (arch/x86/kernel/idt.c, 6.12).
    unsafe { asm!("int 4") };
}

fn x87() {
    divide_by_zero(0x037b);
}

/// The division of [`x87`] with every exception masked, as a program finds it.
pub(super) fn divide_by_zero_masked() {
    divide_by_zero(0x037f);
}

fn divide_by_zero(control: u16) {
    // SAFETY: leaves the x87 unit as the ABI wants it: initialised, its stack
    // empty. `fwait` (9b) faults and the handler steps over it.
    unsafe {
        asm!(
            "fninit",
            "fldcw word ptr [{word}]",
            "fld1",
            "fldz",
            "fdivp",
            "fwait",
            "fninit",
            word = in(reg) &raw const control,
            out("st(0)") _, out("st(1)") _, out("st(2)") _, out("st(3)") _,
            out("st(4)") _, out("st(5)") _, out("st(6)") _, out("st(7)") _,
        );
    }
}
