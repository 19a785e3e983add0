//! What programs are to do otherwise: an actor behaves as the cause of a rule, and another one as its text says.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail, ensure};

use crate::truth::{
    bench::{Bench, Group},
    driver::{Performed, perform},
    guest::{Guest, Skip, skip},
    log::{Breach, Log},
    tracer::Tracer,
    trigger,
};

/// A rule that a change of programs ends.
pub(super) struct Program {
    pub(super) rule: &'static str,
    pub(super) test: &'static str,
    about: &'static str,
    /// The trigger that makes its breaches.
    cause: &'static str,
    /// The one that does the same work as the text says.
    mended: &'static str,
}

/// A row: rule, test, what ends it, the two triggers.
const fn row(
    rule: &'static str,
    test: &'static str,
    about: &'static str,
    cause: &'static str,
    mended: &'static str,
) -> Program {
    Program {
        rule,
        test,
        about,
        cause,
        mended,
    }
}

/// Every rule that is tried so.
#[rustfmt::skip]
pub(super) const PROGRAMS: &[Program] = &[
    row("first-touch", "remedy_first_touch", "memory is populated or locked before", "fault_first_touch", "touch_mended"),
    row("copy-on-write", "remedy_copy_on_write", "memory is written to after the last fork", "fault_copy_on_write", "copy_mended"),
    row("stack-growth", "remedy_stack_growth", "the stack is touched before", "stack", "stack_mended"),
    row("code-fault", "remedy_code_fault", "code is locked in memory", "code", "code_mended"),
    row("vsyscall", "remedy_vsyscall", "the vDSO tells the time", "vsyscall", "vsyscall_mended"),
    row("exception", "remedy_exception", "what is divided by zero is no exception", "exception_x87", "exception_mended"),
    row("tlb-munmap", "remedy_tlb_munmap", "another process gives memory back", "tlb_munmap", "process_mended"),
    row("tlb-mprotect", "remedy_tlb_mprotect", "another process changes rights", "tlb_mprotect", "process_mended"),
    row("tlb-fork", "remedy_tlb_fork", "a sibling uses vfork", "fork", "fork_mended"),
    row("tlb-cow", "remedy_tlb_cow", "memory is written to after the last fork", "shared_write", "shared_write_mended"),
    row("tlb-writeback", "remedy_tlb_writeback", "shared memory is mapped", "file_written_back", "file_mended"),
    row("block-completion", "remedy_block_completion", "a thread elsewhere reads", "disk_read", "disk_mended"),
    row("membarrier", "remedy_membarrier", "another process asks for barriers", "call_membarrier", "process_mended"),
    row("perf-event", "remedy_perf_event", "the event is of a housekeeping CPU", "call_perf", "perf_mended"),
    row("jump-label", "remedy_jump_label", "the feature is in use before", "call_text_patching", "key_mended"),
    row("tick-perf", "remedy_tick_perf", "the profiler samples by count", "sampling", "sampling_mended"),
    row("mm-change", "remedy_mm_change", "the LDT is changed before", "ldt", "ldt_mended"),
    row("trace-buffer-resize", "remedy_trace_buffer_resize", "the buffer is given its size before", "buffer", "buffer_mended"),
    row("task-work", "remedy_task_work", "a ring's completions interrupt nobody", "completion", "completion_mended"),
    row("userfaultfd", "remedy_userfaultfd", "the handler fills all before", "missing", "missing_mended"),
    row("cfs-bandwidth", "remedy_cfs_bandwidth", "the control group has no CPU limit any more", "limited", "limited_mended"),
    row("debugger", "remedy_debugger", "the debugger has detached", "debugged", "debugged_mended"),
    row("debugger", "remedy_uprobe", "uprobes are taken off the program", "uprobed", "uprobed_mended"),
    row("second-task", "remedy_second_task", "the other task is on a housekeeping CPU", "sched_other_task", "sched_mended"),
    row("signal", "remedy_signal", "another thread takes the signal", "signal_remote", "signal_mended"),
    row("own-timer", "remedy_own_timer", "a thread on a housekeeping CPU owns the timer", "timer_own", "timer_mended"),
    row("tick-posix-timer", "remedy_tick_posix_timer", "the timer is one of the clock, elsewhere", "tick_itimer_sibling", "timer_mended"),
    row("syscall-time", "remedy_syscall_time", "the vDSO tells the time", "calls", "calls_mended"),
    row("syscall-sleep", "remedy_syscall_sleep", "a loop waits", "calls", "calls_mended"),
    row("syscall-futex", "remedy_syscall_futex", "a thread elsewhere wakes who waits", "calls", "calls_mended"),
    row("syscall-memory", "remedy_syscall_memory", "memory comes from a pool", "calls", "calls_mended"),
    row("own-writeback", "remedy_own_writeback", "a thread elsewhere synchronizes", "calls", "calls_mended"),
    row("syscall-network", "remedy_syscall_network", "a thread elsewhere sends", "calls", "calls_mended"),
    row("syscall-io", "remedy_syscall_io", "a thread elsewhere writes", "calls", "calls_mended"),
    row("syscall-process", "remedy_syscall_process", "a thread elsewhere starts processes", "calls", "calls_mended"),
    row("syscall-identity", "remedy_syscall_identity", "what was answered is kept", "calls", "calls_mended"),
    row("syscall-timer", "remedy_syscall_timer", "the task compares the time itself", "calls", "calls_mended"),
    row("syscall-signal", "remedy_syscall_signal", "a thread elsewhere sends the signal", "calls", "calls_mended"),
    row("syscall-settings", "remedy_syscall_settings", "what was answered is kept", "calls", "calls_mended"),
    row("syscall-ipc", "remedy_syscall_ipc", "a thread elsewhere talks to others", "calls", "calls_mended"),
    row("syscall", "remedy_syscall", "a thread elsewhere makes the call", "calls", "calls_mended"),
];

/// What a task brings upon itself.
const OWN: [&str; 3] = ["syscall", "page_fault", "exception"];

/// The group.
pub(super) fn group() -> Group {
    let tests = PROGRAMS.iter();
    Group {
        tests: tests.map(|one| (one.test, one.about)).collect(),
        run,
    }
}

fn run(bench: &mut Bench) -> Result<()> {
    let wanted = PROGRAMS.iter().filter(|one| bench.wants(one.test));
    let wanted: Vec<_> = wanted.collect();
    let names = wanted.iter().flat_map(|one| [one.cause, one.mended]);
    let names: BTreeSet<_> = names.collect();
    let guest = bench.guest.clone();
    let tracer = Tracer::start::<&str>(&[])?;
    let mut performed = BTreeMap::new();
    for name in names {
        let trigger = trigger::find(name).with_context(|| format!("no trigger {name}"))?;
        performed.insert(name, perform(&guest, &trigger));
    }
    let log = bench.finish(tracer)?;
    for program in wanted {
        let verdict = judge(&guest, program, &performed, &log);
        bench.outcome(program.test, verdict)?;
    }
    Ok(())
}

fn judge(
    guest: &Guest,
    program: &Program,
    performed: &BTreeMap<&str, Result<Performed>>,
    log: &Log,
) -> Result<String> {
    let seen = |name: &str| -> Result<_> {
        let one = match performed.get(name).context("it was not performed")? {
            Ok(one) => one,
            Err(error) if error.is::<Skip>() => return skip(error.to_string()),
            Err(error) => bail!("{name}: {error:#}"),
        };
        let (begin, end) = one.marks();
        let cpus = guest.watched.iter();
        let breaches: Vec<&Breach> = cpus.flat_map(|&cpu| log.window(cpu, begin, end)).collect();
        Ok((one, breaches))
    };
    let is_of_rule = |breach: &&&Breach| breach.remedy.as_deref() == Some(program.rule);
    let (_, before) = seen(program.cause)?;
    let count = before.iter().filter(is_of_rule).count();
    ensure!(
        count > 0,
        "{} makes no such breach: {}",
        program.cause,
        say(&before)?
    );
    // What it did in vain shows nothing. The cause may end its actor, as a signal does where the kernel answers with one.
    let (mended, after) = seen(program.mended)?;
    ensure!(mended.succeeded(), "{}: the actor failed", program.mended);
    let actor = mended.actor();
    let mut left = after.iter();
    if let Some(left) = left.find(is_of_rule) {
        bail!("it comes again in {}: {}", program.mended, say(&[left])?);
    }
    // What is to end a breach is not to make another one.
    let mut left = after.iter();
    let is_own =
        |breach: &&&Breach| breach.task.tid == actor && OWN.contains(&breach.cause.kind.as_str());
    if let Some(left) = left.find(is_own) {
        bail!("{} makes another one: {}", program.mended, say(&[left])?);
    }
    Ok(format!("{count} before"))
}

fn say(breaches: &[&Breach]) -> Result<String> {
    Ok(serde_json::to_string(breaches)?)
}
