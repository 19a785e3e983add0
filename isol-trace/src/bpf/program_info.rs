//! What the kernel counts per program, and Aya hides.

use std::{
    io,
    os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd},
};

use aya_obj::generated::{bpf_attr, bpf_cmd, bpf_prog_info, bpf_stats_type};

/// Has the kernel measure every BPF program until this is dropped, or the process ends however it
/// does (`BPF_ENABLE_STATS`, Linux 5.8).
#[derive(Debug)]
pub struct Statistics {
    _on: OwnedFd,
}

impl Statistics {
    /// Switches them on. That patches kernel text, as attaching does: before arming.
    pub fn enable() -> io::Result<Self> {
        // SAFETY: a union of structures of integers, for which all zeros is valid.
        let mut attributes: bpf_attr = unsafe { std::mem::zeroed() };
        attributes.enable_stats.type_ = bpf_stats_type::BPF_STATS_RUN_TIME as u32;
        // SAFETY: the attributes outlive the call, which only reads them.
        let result = unsafe {
            libc::syscall(
                libc::SYS_bpf,
                bpf_cmd::BPF_ENABLE_STATS,
                &raw mut attributes,
                size_of::<bpf_attr>(),
            )
        };
        if result < 0 {
            return Err(io::Error::last_os_error());
        }
        let descriptor = i32::try_from(result).map_err(io::Error::other)?;
        // SAFETY: the kernel has just made this descriptor for us, and nobody else has it.
        let on = unsafe { OwnedFd::from_raw_fd(descriptor) };
        Ok(Self { _on: on })
    }
}

/// Counters of one program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProgramCounters {
    /// Runs that the kernel skipped because a program was already running on that CPU.
    pub missed_runs: u64,
    /// Runs, while BPF statistics were on.
    pub runs: u64,
    /// Time in those runs, nanoseconds.
    pub run_time_ns: u64,
}

/// Asks the kernel (`BPF_OBJ_GET_INFO_BY_FD`).
pub fn counters(program: BorrowedFd<'_>) -> io::Result<ProgramCounters> {
    // SAFETY: a structure of integers, for which all zeros is valid.
    let mut info: bpf_prog_info = unsafe { std::mem::zeroed() };
    // SAFETY: as above; the kernel wants the rest of the union to be zero.
    let mut attributes: bpf_attr = unsafe { std::mem::zeroed() };
    attributes.info.bpf_fd = program.as_raw_fd().cast_unsigned();
    attributes.info.info_len =
        u32::try_from(size_of::<bpf_prog_info>()).map_err(io::Error::other)?;
    attributes.info.info = (&raw mut info) as u64;
    // SAFETY: the kernel writes at most `info_len` bytes to `info`, which outlives the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            bpf_cmd::BPF_OBJ_GET_INFO_BY_FD,
            &raw mut attributes,
            size_of::<bpf_attr>(),
        )
    };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(ProgramCounters {
        missed_runs: info.recursion_misses,
        runs: info.run_cnt,
        run_time_ns: info.run_time_ns,
    })
}
