//! System calls of the actor itself.

use std::arch::asm;

use super::{
    super::expect::{one, syscall},
    Trigger,
};

/// The rows.
pub const ALL: &[Trigger] = &[
    Trigger {
        name: "syscall_cheap",
        about: "getppid, once",
        act: |actor| {
            actor.perform(|| {
                // SAFETY: takes nothing, changes nothing.
                unsafe { libc::syscall(libc::SYS_getppid) };
            })
        },
        partner: None,
        expect: |_| Ok(vec![syscall(libc::SYS_getppid, "getppid").end("return")]),
    },
    Trigger {
        name: "syscall_blocking",
        about: "nanosleep for 50 ms: the CPU idles in it",
        act: |actor| {
            let time = libc::timespec {
                tv_sec: 0,
                tv_nsec: 50_000_000,
            };
            actor.perform(move || {
                // SAFETY: `time` outlives the call, no rest is asked for.
                unsafe { libc::syscall(libc::SYS_nanosleep, &raw const time, 0) };
            })
        },
        partner: None,
        expect: |_| {
            Ok(vec![
                syscall(libc::SYS_nanosleep, "nanosleep")
                    .end("blocked")
                    .idled(),
            ])
        },
    },
    Trigger {
        name: "syscall_unassigned",
        about: "a system-call number that nobody implements",
        act: |actor| {
            actor.perform(|| {
                // SAFETY: the kernel answers ENOSYS.
                unsafe { libc::syscall(UNASSIGNED) };
            })
        },
        partner: None,
        expect: |_| {
            Ok(vec![
                one("syscall")
                    .number(UNASSIGNED)
                    .origin("task")
                    .end("return"),
            ])
        },
    },
    Trigger {
        name: "syscall_minus_one",
        about: "system call −1, which leaves the saved number as an interrupt does",
        act: |actor| {
            actor.perform(|| {
                // SAFETY: the kernel answers ENOSYS.
                unsafe { libc::syscall(-1) };
            })
        },
        partner: None,
        expect: |_| Ok(vec![one("syscall").origin("task").end("return")]),
    },
    Trigger {
        name: "syscall_int80",
        about: "the 32-bit gate, with the number that is semget's in 64 bits and getppid's in 32",
        act: |actor| actor.perform(int80),
        partner: None,
        expect: |_| {
            Ok(vec![
                one("syscall")
                    .never_named("semget")
                    .origin("task")
                    .end("return"),
            ])
        },
    },
];

/// A number that no kernel has a call for.
pub(super) const UNASSIGNED: libc::c_long = 1000;

fn int80() {
    // SAFETY: getppid of the 32-bit table takes nothing and changes nothing; the
    // gate keeps every register but the answer's and clears r8 to r11.
    unsafe {
        asm!(
            "int 0x80",
            inout("eax") 64 => _,
            out("r8") _, out("r9") _, out("r10") _, out("r11") _,
        );
    }
}
