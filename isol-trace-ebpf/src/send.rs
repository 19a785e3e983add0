//! The record that a sender leaves of what it asks of a watched CPU, or of one that it moves.

use aya_ebpf::helpers::generated::{bpf_get_current_comm, bpf_get_stack};
use isol_trace_common::{
    config::SENDERS_SLOT,
    record::Kind,
    send::{SENDER_UNSURE, SENT_BY_INTERRUPT, SENT_CONDITIONALLY, STACK_FRAMES, Send, Via},
};

use crate::{
    arch::in_interrupt,
    context::{current_ids, now, this_cpu},
    maps::{LOST_SENDS, OWN_SENDS, armed, config, count, is_watched, ring_slot},
    program::Arguments,
    ring::{reserve, submit},
    user_stack,
};

/// What is asked of a watched CPU.
pub(crate) struct Asked {
    pub(crate) via: Via,
    pub(crate) target: u32,
    pub(crate) key: u64,
    pub(crate) function: u64,
    pub(crate) callsite: u64,
    pub(crate) conditional: bool,
}

impl Asked {
    /// As much as every probe knows.
    #[inline(always)]
    pub(crate) const fn of(via: Via, target: u32) -> Self {
        Self {
            via,
            target,
            key: 0,
            function: 0,
            callsite: 0,
            conditional: false,
        }
    }
}

/// Leaves a record of something that is queued, armed, cancelled or woken on a watched CPU.
#[inline(always)]
pub(crate) fn queued(arguments: Arguments, via: Via, target: u32, key: u64, function: u64) {
    let _when = write(
        arguments,
        &Asked {
            key,
            function,
            ..Asked::of(via, target)
        },
    );
}

/// Leaves a record of what is asked of a CPU, if that one is watched.
#[inline(always)]
pub(crate) fn tell(arguments: Arguments, asked: &Asked) {
    if is_watched(asked.target) && armed().is_some() {
        let _when = write(arguments, asked);
    }
}

/// Leaves a record of what is asked of a watched CPU, while armed. Its time; 0 where it found no room.
#[inline(always)]
pub(crate) fn write(arguments: Arguments, asked: &Asked) -> u64 {
    let (cpu, ids) = (this_cpu(), current_ids());
    let interrupt = in_interrupt();
    // A wake-up is no interrupt, nor is a task that comes: the one that it leads to has a record of its own.
    let interrupts = !matches!(asked.via, Via::Wake | Via::Fork | Via::Move);
    if interrupts && (ids >> 32) as u32 == config!(own_pid) && interrupt != Some(true) {
        count(&OWN_SENDS);
    }
    let slot = ring_slot(cpu);
    let watched = slot != SENDERS_SLOT;
    let Some(room) = reserve(slot, size_of::<Send>()) else {
        count(&LOST_SENDS);
        return 0;
    };
    let room = room.cast::<Send>();
    let at_ns = now();
    let flags = match interrupt {
        Some(true) => SENT_BY_INTERRUPT,
        Some(false) => 0,
        None => SENDER_UNSURE,
    };
    let flags = if asked.conditional {
        flags | SENT_CONDITIONALLY
    } else {
        flags
    };
    // SAFETY: the ring's room is the record's size, and every field of it is written, save frames
    // of the stack beyond `frames`, which nobody reads. The name's helper pads it with zeros
    // (`kernel/bpf/helpers.c:bpf_get_current_comm`, v6.12).
    unsafe {
        (&raw mut (*room).kind).write_volatile(Kind::Send as u8);
        (&raw mut (*room).via).write_volatile(asked.via as u8);
        (&raw mut (*room).flags).write_volatile(flags);
        (&raw mut (*room).target).write_volatile(asked.target);
        (&raw mut (*room).at_ns).write_volatile(at_ns);
        (&raw mut (*room).key).write_volatile(asked.key);
        (&raw mut (*room).function).write_volatile(asked.function);
        (&raw mut (*room).callsite).write_volatile(asked.callsite);
        (&raw mut (*room).cpu).write_volatile(cpu);
        (&raw mut (*room).tid).write_volatile(ids as u32);
        (&raw mut (*room).pid).write_volatile((ids >> 32) as u32);
        (&raw mut (*room).reserved).write_volatile(0);
        bpf_get_current_comm((&raw mut (*room).comm).cast(), 16);
        // Unwinding takes a microsecond or two, on a watched CPU of the watched task's: only
        // where it interrupts another one, or itself, and is in the kernel for longer than that anyway.
        let calls = matches!(asked.via, Via::CrossCall) && asked.target != cpu;
        let interrupts_itself = matches!(asked.via, Via::IrqWork);
        let taken = if watched && !calls && !interrupts_itself {
            0
        } else {
            bpf_get_stack(
                arguments.context(),
                (&raw mut (*room).stack).cast(),
                (STACK_FRAMES * 8) as u32,
                0,
            )
        };
        let frames = if taken > 0 { taken as u64 / 8 } else { 0 };
        (&raw mut (*room).frames).write_volatile(frames as u8);
    }
    submit(room.cast());
    if config!(user_stacks) != 0 && !watched && interrupt != Some(true) {
        user_stack::leave(at_ns, ids, cpu);
    }
    at_ns
}
