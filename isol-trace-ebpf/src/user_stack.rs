//! Where a sender, or a task that a signal ends, was in user mode: registers, and the top of its stack.

use aya_ebpf::helpers::generated::bpf_probe_read_user;
use isol_trace_common::{
    config::SENDERS_SLOT,
    record::Kind,
    user_stack::{STACK_BYTES, STACK_PIECE, UserStack},
};

use crate::{
    kfield::{Registers, current_is_user},
    maps::{LOST_STACKS, count},
    ring::{is_half_full, reserve, submit},
};

/// Leaves a copy of the current task's user stack behind its record of `at_ns`: a sender's, never on a
/// watched CPU, or that of a signal. `ids` are its process and thread.
#[inline(never)]
pub(crate) fn leave(at_ns: u64, ids: u64, cpu: u32) {
    if !current_is_user(ids as u32) {
        return;
    }
    let registers = Registers::of_current();
    let (ip, sp) = (registers.ip(), registers.sp());
    // Workers of io_uring are user threads that never were in user mode.
    if ip == 0 || sp == 0 {
        return;
    }
    // Senders without their stacks are worth more than a ring full of stacks that loses senders.
    if is_half_full(SENDERS_SLOT) {
        return count(&LOST_STACKS);
    }
    let Some(room) = reserve(SENDERS_SLOT, size_of::<UserStack>()) else {
        return count(&LOST_STACKS);
    };
    let room = room.cast::<UserStack>();
    // SAFETY: the ring's room is the record's size, and every field of it is written, save bytes
    // of the stack beyond `length`, which nobody reads.
    unsafe {
        (&raw mut (*room).kind).write_volatile(Kind::UserStack as u8);
        (&raw mut (*room).reserved).write_volatile([0; 3]);
        (&raw mut (*room).at_ns).write_volatile(at_ns);
        (&raw mut (*room).cpu).write_volatile(cpu);
        (&raw mut (*room).tid).write_volatile(ids as u32);
        (&raw mut (*room).pid).write_volatile((ids >> 32) as u32);
        (&raw mut (*room).reserved_tail).write_volatile(0);
        (&raw mut (*room).ip).write_volatile(ip);
        (&raw mut (*room).sp).write_volatile(sp);
        (&raw mut (*room).bp).write_volatile(registers.bp());
        let length = copy((&raw mut (*room).bytes).cast(), UserStack::base(sp));
        (&raw mut (*room).length).write_volatile(length as u32);
    }
    submit(room.cast());
}

/// Copies the stack from `base` on, piece by piece, as far as its pages are there: here none can be
/// brought in (`mm/maccess.c:copy_from_user_nofault`, v6.1 and v6.12). Gives the bytes copied.
#[inline(always)]
unsafe fn copy(to: *mut u8, base: u64) -> usize {
    let mut copied = 0;
    while copied < STACK_BYTES {
        let from = base.wrapping_add(copied as u64) as *const core::ffi::c_void;
        // SAFETY: there is room for STACK_BYTES, of which `copied` are behind us; the helper
        // checks the address that it reads from.
        let failed =
            unsafe { bpf_probe_read_user(to.add(copied).cast(), STACK_PIECE as u32, from) };
        if failed != 0 {
            break;
        }
        copied += STACK_PIECE;
    }
    copied
}
