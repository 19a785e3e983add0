//! What the symbolizer gives up before it reads a stranger's file.
//!
//! It keeps the number of its user: the system's users for nothing in particular are shared with others, who could
//! then kill it (`kill(2)`: the same user). Without a capability and with these calls alone the number opens nothing.

use std::{fs, io};

use rustix::{
    process::{
        DumpableBehavior, Pid, Resource, Rlimit, Signal, getppid, set_dumpable_behavior,
        set_parent_process_death_signal, setrlimit,
    },
    thread::{
        CapabilitySet, CapabilitySets, clear_ambient_capability_set,
        disable_transparent_huge_pages, remove_capability_from_bounding_set, set_capabilities,
        set_no_new_privs,
    },
};
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter,
};

use crate::symbolize::shared::protocol::{Allowance, Confinement};

/// Descriptors that it may have: each image has one for a moment, each map of a compiler one for good.
const DESCRIPTORS: u64 = 64;

/// Address space, in bytes, beside private memory: files are mapped whole, and many are large. It bounds what the kernel
/// keeps in page tables. What is mapped at a time stays well below that (`child::images`).
pub(super) const ADDRESS_SPACE: u64 = 64 << 30;

/// The stack, in bytes. It is a part of the private memory that is not in `RLIMIT_DATA`.
const STACK: u64 = 8 << 20;

/// Closes everything that was inherited but the first three descriptors.
pub(super) fn close_the_rest() -> io::Result<()> {
    // SAFETY: no memory is involved. Nothing in this process owns a descriptor from 3 on: it has just begun.
    let result = unsafe { libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, 0_u32) };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Has this process end with `tracer`, whatever ends that.
pub(super) fn end_with(tracer: Option<Pid>) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // It may have ended before that.
    if getppid() == tracer {
        Ok(())
    } else {
        Err(io::Error::other("the tracer has ended"))
    }
}

/// Gives up everything. This process has one thread, or the others matter to nobody.
pub(super) fn confine(allowance: Allowance) -> io::Result<Confinement> {
    // Who is out of memory ends this one first. Where it cannot be written, nothing is lost.
    let _ = fs::write("/proc/self/oom_score_adj", "1000");
    // khugepaged would interrupt every CPU that this process ran on.
    disable_transparent_huge_pages(true)?;
    end_at_faults();
    limit(allowance)?;
    set_no_new_privs(true)?;
    drop_capabilities()?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)?;
    let filtered = match apply_filter(&filter()?) {
        Ok(()) => true,
        // A kernel without seccomp (`CONFIG_SECCOMP_FILTER`): seccomp(2).
        Err(seccompiler::Error::Prctl(error) | seccompiler::Error::Seccomp(error))
            if matches!(error.raw_os_error(), Some(libc::EINVAL | libc::ENOSYS)) =>
        {
            false
        }
        Err(error) => return Err(io::Error::other(error)),
    };
    Ok(Confinement { filtered })
}

/// Has a fault end this process. The run-time library looks at the address in a handler, then takes that handler away and
/// returns: by a call that will not be there (`std::sys::pal::unix::stack_overflow`), and so for ever.
fn end_at_faults() {
    for signal in [libc::SIGBUS, libc::SIGSEGV] {
        // SAFETY: no handler of ours is set, and the default one is always valid.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
}

/// Limits that need no capability. The time on a CPU is the tracer's to limit, question by question.
fn limit(allowance: Allowance) -> io::Result<()> {
    let all = [
        // Private writable memory, read-only maps of files not (`mm/mmap.c:may_expand_vm`, `is_data_mapping`, v6.12).
        (Resource::Data, allowance.memory),
        (Resource::As, ADDRESS_SPACE.saturating_add(allowance.memory)),
        (Resource::Stack, STACK),
        (Resource::Fsize, 0),
        (Resource::Core, 0),
        (Resource::Nofile, DESCRIPTORS),
        (Resource::Memlock, 0),
        (Resource::Nproc, 0),
        (Resource::Msgqueue, 0),
    ];
    for (resource, most) in all {
        let limit = Rlimit {
            current: Some(most),
            maximum: Some(most),
        };
        // A lower limit than this was inherited.
        match setrlimit(resource, limit) {
            Err(rustix::io::Errno::PERM) => {}
            result => result?,
        }
    }
    Ok(())
}

/// Drops all capabilities, and all ways to have one again.
fn drop_capabilities() -> io::Result<()> {
    // Kernels before 4.3 have none; every supported one has.
    clear_ambient_capability_set()?;
    for number in 0..64 {
        let one = CapabilitySet::from_bits_retain(1 << number);
        match remove_capability_from_bounding_set(one) {
            Ok(()) => {}
            // One that this kernel does not have, or no right to: without that right there is nothing to gain either,
            // since `no_new_privs` is set.
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::PERM) => break,
            Err(error) => return Err(error.into()),
        }
    }
    let none = CapabilitySets {
        effective: CapabilitySet::empty(),
        permitted: CapabilitySet::empty(),
        inheritable: CapabilitySet::empty(),
    };
    Ok(set_capabilities(None, none)?)
}

/// The system calls that are left. Every other fails with `EPERM` rather than to end the process: allocators and the
/// run-time library try calls which they can do without, and not the same on every system. Neither way is such a call made.
fn filter() -> io::Result<BpfProgram> {
    let always = [
        libc::SYS_read,
        libc::SYS_pread64,
        libc::SYS_lseek,
        libc::SYS_close,
        libc::SYS_fstat,
        libc::SYS_munmap,
        libc::SYS_mremap,
        libc::SYS_madvise,
        libc::SYS_brk,
        libc::SYS_recvmsg,
        libc::SYS_sendmsg,
        libc::SYS_futex,
        libc::SYS_rt_sigreturn,
        libc::SYS_rt_sigprocmask,
        libc::SYS_sigaltstack,
        libc::SYS_restart_syscall,
        libc::SYS_exit,
        libc::SYS_exit_group,
        libc::SYS_clock_gettime,
        libc::SYS_getrandom,
        libc::SYS_gettid,
        libc::SYS_getpid,
    ];
    let mut rules: Vec<(i64, Vec<SeccompRule>)> =
        always.into_iter().map(|call| (call, Vec::new())).collect();
    // No code but what was there.
    let executable = libc::PROT_EXEC.cast_unsigned().into();
    for call in [libc::SYS_mmap, libc::SYS_mprotect] {
        let none = argument(2, SeccompCmpOp::MaskedEq(executable), 0)?;
        rules.push((call, vec![rule([none])?]));
    }
    // What a panic or the allocator says goes to the tracer.
    let stderr = argument(0, SeccompCmpOp::Eq, 2)?;
    rules.push((libc::SYS_write, vec![rule([stderr])?]));
    // A panic ends this process by a signal to itself.
    let own = argument(0, SeccompCmpOp::Eq, u64::from(std::process::id()))?;
    let abort = argument(
        2,
        SeccompCmpOp::Eq,
        u64::from(libc::SIGABRT.cast_unsigned()),
    )?;
    rules.push((libc::SYS_tgkill, vec![rule([own, abort])?]));
    let arch = TargetArch::try_from(std::env::consts::ARCH).map_err(io::Error::other)?;
    let refused = SeccompAction::Errno(libc::EPERM.cast_unsigned());
    let filter = SeccompFilter::new(
        rules.into_iter().collect(),
        refused,
        SeccompAction::Allow,
        arch,
    );
    filter
        .and_then(BpfProgram::try_from)
        .map_err(io::Error::other)
}

/// A condition on an argument: the kernel looks at no more than 32 bits of each of these.
fn argument(index: u8, operator: SeccompCmpOp, value: u64) -> io::Result<SeccompCondition> {
    SeccompCondition::new(index, SeccompCmpArgLen::Dword, operator, value).map_err(io::Error::other)
}

fn rule<const N: usize>(conditions: [SeccompCondition; N]) -> io::Result<SeccompRule> {
    SeccompRule::new(conditions.into()).map_err(io::Error::other)
}

#[cfg(test)]
mod tests;
