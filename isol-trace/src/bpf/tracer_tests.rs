//! The programs themselves, run by the kernel with arguments of our own (`BPF_PROG_TEST_RUN`).
//!
//! Nothing is attached: each raw tracepoint program is loaded and run on the CPU that the test
//! calls watched, in the context of the test's own thread.

use std::{
    os::fd::{AsRawFd as _, RawFd},
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use aya::programs::{RawTracePointRunOptions, TestRun as _};
use aya_obj::generated::{bpf_attr, bpf_cmd};
use isol_trace_common::{cause::Cause, config::PreemptCount, record::End, span::Phase};

use super::*;
#[path = "tracer_tests/lives.rs"]
mod lives;
#[path = "tracer_tests/sections.rs"]
mod sections;
#[path = "tracer_tests/vectors.rs"]
mod vectors;
use crate::{
    bpf::{
        numbers::tests::{this_process, this_thread},
        preempt,
        request::{PERF_TIMER_FUNCTION, tests::watching},
    },
    event::{
        assemble::Assembler,
        entry::KernelEntry,
        ids::{MonoNanos, Nanos, Pid},
        model::{Activity, CauseDetail, Event},
        raw::RawEvent,
    },
    names::kallsyms,
    symbolize::parent::symbols::UserSymbols,
};

/// The CPU that is called watched.
const CPU: u32 = 0;

/// A loaded tracer, and what its programs wrote.
struct Bench {
    preempt_count: PreemptCount,
    tracer: Tracer,
    assembler: Assembler,
}

impl Bench {
    fn new(change: impl FnOnce(&mut Request)) -> Self {
        // On another CPU the kernel would run the program there by an interrupt, and the
        // current task would be whichever it hit.
        let mut here = rustix::thread::CpuSet::new();
        here.set(CPU as usize);
        rustix::thread::sched_setaffinity(None, &here).unwrap();
        let types = KernelTypes::read(Path::new("/sys/kernel/btf/vmlinux")).unwrap();
        let mut request = watching(CPU, Detection::ContextTracking);
        let path = Path::new("/proc/kallsyms");
        let [bases, count] = preempt::symbols(&types);
        let names = [bases, count, PERF_TIMER_FUNCTION];
        let [bases, count, function] = kallsyms::addresses_of(path, names).unwrap();
        request.preempt_count = preempt::locate([bases, count], &types);
        request.perf_timer_function = function;
        request.own = Pid(this_process());
        change(&mut request);
        Self {
            preempt_count: request.preempt_count,
            tracer: Tracer::load(&request, &types).unwrap(),
            assembler: Assembler::new(request.own),
        }
    }

    /// Runs a program once on the watched CPU.
    fn run(&mut self, program: &str, args: &[u64]) {
        self.run_on(CPU, program, args);
    }

    /// Runs a program once; on another CPU than this thread's the kernel does it by an interrupt.
    fn run_on(&mut self, cpu: u32, program: &str, args: &[u64]) {
        let Some(Program::RawTracePoint(it)) = self.tracer.ebpf.program_mut(program) else {
            panic!("no raw tracepoint program {program}");
        };
        if it.fd().is_err() {
            it.load().unwrap();
        }
        let mut options = RawTracePointRunOptions::new();
        options.args[..args.len()].copy_from_slice(args);
        options.cpu = Some(cpu);
        it.test_run(options).unwrap();
    }

    /// Runs a program that is loaded already, by a system call with few frames above it.
    fn run_from_here(&mut self, program: &str, args: &[u64]) {
        test_run(self.descriptor(program), args);
    }

    /// The descriptor of a program that is loaded already.
    fn descriptor(&self, program: &str) -> RawFd {
        let Some(Program::RawTracePoint(it)) = self.tracer.ebpf.program(program) else {
            panic!("no raw tracepoint program {program}");
        };
        it.fd().unwrap().as_fd().as_raw_fd()
    }

    /// All that there is, which is nothing but breaches.
    fn breaches(&mut self) -> Vec<KernelEntry> {
        self.events()
            .into_iter()
            .map(|event| match event {
                RawEvent::Breach(breach) => breach.entry,
                other => panic!("{other:?}"),
            })
            .collect()
    }

    fn events(&mut self) -> Vec<RawEvent> {
        let mut events = Vec::new();
        let Self {
            tracer, assembler, ..
        } = self;
        assembler.begin(MonoNanos(u64::MAX));
        tracer.drain(usize::MAX, |drained| match drained {
            Drained::Record(cpu, bytes) => assembler.record(cpu, bytes).unwrap(),
            Drained::Limit => panic!("no ring has as many"),
        });
        assembler.drain_ready(|event| events.push(event));
        events
    }

    /// The entry under way is the call that begins or ends a section, which no test may make here.
    fn in_section_call(&mut self, operation: u64) {
        let state = self.tracer.states.get(&CPU, 0).unwrap();
        let state = state.in_section_call(operation);
        self.tracer.states.set(CPU, state, 0).unwrap();
    }

    fn sends(&self) -> Option<u64> {
        self.tracer.own_sends().ok()
    }

    fn snapshot(&self) -> Snapshot {
        self.tracer.snapshots().unwrap().remove(0).1
    }
}

/// Runs a program on the CPU that this thread is on.
fn test_run(program: RawFd, args: &[u64]) {
    // SAFETY: zeros are valid for every member of the union.
    let mut attributes: bpf_attr = unsafe { std::mem::zeroed() };
    attributes.test.prog_fd = program.cast_unsigned();
    attributes.test.ctx_in = args.as_ptr() as u64;
    attributes.test.ctx_size_in = u32::try_from(size_of_val(args)).unwrap();
    // SAFETY: the attributes and what they point to outlive the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            bpf_cmd::BPF_PROG_TEST_RUN,
            &raw mut attributes,
            size_of::<bpf_attr>(),
        )
    };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
}

/// The one-entry case: this thread is in the system call `bpf`, and its registers say so.
#[test]
#[ignore = "needs CAP_BPF and CAP_PERFMON"]
fn an_entry_is_a_record_and_a_count() {
    let mut bench = Bench::new(|_| ());
    bench.run("raw_user_exit", &[]);
    bench.run("raw_user_enter", &[]);
    assert_eq!(bench.breaches(), [], "nothing is seen before arming");
    bench.tracer.arm().unwrap();
    bench.run("raw_user_enter", &[]);
    assert_eq!(
        bench.breaches(),
        [],
        "a return without an entry before is none"
    );
    bench.run("raw_user_exit", &[]);
    assert_eq!(bench.snapshot().phase, Phase::Open);
    bench.run("raw_user_enter", &[]);
    let breaches = bench.breaches();
    let [breach] = breaches.as_slice() else {
        panic!("{breaches:?}")
    };
    let CauseDetail::Syscall {
        number,
        args: Some(args),
    } = breach.cause
    else {
        panic!("{breach:?}")
    };
    assert_eq!(number.map(i64::from), Some(libc::SYS_bpf));
    assert_eq!(args[0], 10, "BPF_PROG_TEST_RUN");
    assert_eq!(breach.end, End::Return);
    assert_eq!(breach.task.pid, Some(Pid(this_process())));
    let ledger = bench.snapshot().ledger;
    assert_eq!((ledger.entries, ledger.lost, ledger.tainted), (1, 0, 0));
    assert_eq!(
        ledger.own_entries, 1,
        "the test is the tracer's own process"
    );
    assert_eq!(ledger.causes[Cause::Syscall as usize].count, 1);
    bench.tracer.disarm().unwrap();
    bench.run("raw_user_exit", &[]);
    assert_eq!(
        bench.snapshot().phase,
        Phase::Closed,
        "nothing is seen after disarming"
    );
}

/// Activities nest, with their numbers and net times.
#[test]
#[ignore = "needs CAP_BPF and CAP_PERFMON"]
fn activities_are_listed_in_order_with_net_times() {
    let mut bench = Bench::new(|_| ());
    bench.tracer.arm().unwrap();
    bench.run("raw_user_exit", &[]);
    bench.run("raw_local_timer_entry", &[0xec]);
    bench.run("raw_csd_function_entry", &[0x1234, 0]);
    bench.run("raw_csd_function_exit", &[0x1234, 0]);
    bench.run("raw_local_timer_exit", &[0xec]);
    bench.run("raw_softirq_entry", &[1]);
    bench.run("raw_softirq_exit", &[1]);
    bench.run("raw_tlb_flush", &[3, 17]);
    bench.run("raw_user_enter", &[]);
    let breaches = bench.breaches();
    let [breach] = breaches.as_slice() else {
        panic!("{breaches:?}")
    };
    let listed: Vec<_> = breach
        .activities
        .iter()
        .map(|it| (it.kind, it.number))
        .collect();
    assert_eq!(
        listed,
        [
            (Activity::Vector, Cause::LocalTimer as u32),
            (Activity::Csd, 0),
            (Activity::Softirq, 1),
            (Activity::TlbFlush, 3),
        ]
    );
    assert_eq!(breach.activities[1].address.map(|it| it.0), Some(0x1234));
    let net: u64 = breach
        .activities
        .iter()
        .filter_map(|it| it.net)
        .map(|it| it.0)
        .sum();
    assert!(
        breach
            .duration
            .is_some_and(|Nanos(whole)| net > 0 && net < whole),
        "{breach:?}"
    );
    assert_eq!(
        breach.activities[3].net, None,
        "a flush has no length of its own"
    );
}

/// What does not fit is counted, and the totals do not depend on it.
#[test]
#[ignore = "needs CAP_BPF and CAP_PERFMON"]
fn a_full_ring_loses_records_and_no_counts() {
    let mut bench = Bench::new(|request| request.ring_bytes = 4096);
    bench.tracer.arm().unwrap();
    for _ in 0..100 {
        bench.run("raw_user_exit", &[]);
        bench.run("raw_user_enter", &[]);
    }
    let ledger = bench.snapshot().ledger;
    assert_eq!(ledger.entries, 100);
    assert!(ledger.lost > 0, "one page does not hold a hundred records");
    let written = u64::try_from(bench.breaches().len()).unwrap();
    assert_eq!(written + ledger.lost, 100);
}

/// A filter leaves entries out of the records and keeps them in the account.
#[test]
#[ignore = "needs CAP_BPF and CAP_PERFMON"]
fn filtered_entries_are_counted_and_not_written() {
    let mut bench = Bench::new(|request| request.pids.push(1));
    bench.tracer.arm().unwrap();
    bench.run("raw_user_exit", &[]);
    bench.run("raw_user_enter", &[]);
    assert_eq!(bench.breaches(), []);
    let ledger = bench.snapshot().ledger;
    assert_eq!((ledger.entries, ledger.filtered), (1, 1));
    assert_eq!(ledger.causes[Cause::Syscall as usize].count, 0);
}

/// An NMI outside any entry is one of its own; its handlers are one NMI until the first comes again.
#[test]
#[ignore = "needs CAP_BPF and CAP_PERFMON"]
fn an_nmi_from_user_mode_is_one_entry_however_many_handlers_look() {
    let mut bench = Bench::new(|_| ());
    bench.tracer.arm().unwrap();
    for _ in 0..2 {
        bench.run("raw_nmi_handler", &[0xaaaa, 100, 0]);
        bench.run("raw_nmi_handler", &[0xbbbb, 100, 1]);
    }
    bench.run("raw_user_exit", &[]);
    bench.run("raw_nmi_handler", &[0xaaaa, 100, 0]);
    bench.run("raw_user_enter", &[]);
    let breaches = bench.breaches();
    let causes: Vec<_> = breaches.iter().map(|breach| breach.cause.cause()).collect();
    assert_eq!(causes, [Cause::Nmi, Cause::Nmi, Cause::Syscall]);
    let claimed = CauseDetail::Nmi {
        handler: Some(crate::event::ids::Address(0xbbbb)),
    };
    assert_eq!(breaches[0].cause, claimed, "the handler that claimed it");
    assert_eq!(breaches[2].activities[0].kind, Activity::Nmi);
}

/// What our threads ask of a watched CPU is ours, once; what an interrupt asks for in their time is not.
#[test]
#[ignore = "needs CAP_BPF and CAP_PERFMON"]
fn interrupts_that_the_tracer_asks_for_are_counted() {
    const WATCHED: u64 = CPU as u64;
    let mut bench = Bench::new(|_| ());
    bench.run("raw_csd_queue_cpu", &[WATCHED, 0, 0x1234, 0x5678]);
    assert_eq!(bench.sends(), Some(0), "nothing is seen before arming");
    bench.tracer.arm().unwrap();
    bench.run("raw_csd_queue_cpu", &[WATCHED, 0, 0x1234, 0x5678]);
    assert_eq!(bench.sends(), Some(1), "a cross-call");
    bench.run("raw_csd_queue_cpu", &[WATCHED + 1, 0, 0x1234, 0x5678]);
    assert_eq!(bench.sends(), Some(1), "to a CPU that is not watched");
}

/// An interrupt handler's reschedules are not those of the thread that it interrupted.
#[test]
#[ignore = "needs CAP_BPF and CAP_PERFMON, and a second CPU"]
fn what_an_interrupt_asks_for_is_not_the_tracers() {
    const TIMES: u64 = 20;
    let by_interrupt = |known: bool| {
        let mut bench = Bench::new(|request| {
            if !known {
                request.preempt_count = PreemptCount::UNKNOWN;
            }
        });
        let known = bench.preempt_count != PreemptCount::UNKNOWN;
        bench.tracer.arm().unwrap();
        while_spinning_on(CPU + 1, || {
            for _ in 0..TIMES {
                bench.run_on(CPU + 1, "raw_ipi_send_cpu", &[u64::from(CPU), 0, 0]);
            }
        });
        (known, bench.sends().unwrap())
    };
    assert_eq!(by_interrupt(false), (false, TIMES), "one cannot tell");
    match by_interrupt(true) {
        (true, sends) => assert_eq!(sends, 0),
        // A kernel built without CONFIG_KALLSYMS_ALL does not show where its count is.
        (false, sends) => assert_eq!(sends, TIMES),
    }
}

/// Runs something while a thread of this process is the current task of a CPU.
fn while_spinning_on(cpu: u32, does: impl FnOnce()) {
    let (spinning, started) = (AtomicBool::new(true), std::sync::Barrier::new(2));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut there = rustix::thread::CpuSet::new();
            there.set(cpu as usize);
            rustix::thread::sched_setaffinity(None, &there).unwrap();
            // Whoever else wants that CPU has to wait: only then is this thread its current task.
            let first = libc::sched_param { sched_priority: 1 };
            // SAFETY: the parameter outlives the call; 0 is this thread.
            let is_first =
                unsafe { libc::sched_setscheduler(0, libc::SCHED_FIFO, &raw const first) };
            // Before anything that can fail: the other side waits for this.
            started.wait();
            assert_eq!(is_first, 0, "SCHED_FIFO");
            let begun = Instant::now();
            // Not forever: a failure on the other side must not hang the test.
            while spinning.load(Ordering::Relaxed) && begun.elapsed() < Duration::from_secs(10) {
                std::hint::spin_loop();
            }
        });
        started.wait();
        does();
        spinning.store(false, Ordering::Relaxed);
    });
}

/// A reschedule has no callback; what has one was queued before, and is counted there.
#[test]
#[ignore = "needs CAP_BPF and CAP_PERFMON"]
fn a_cross_call_is_counted_where_it_is_queued() {
    // Watched is another CPU: to its own a CPU sends nothing but irq_work.
    let other = CPU + 1;
    let mut bench = Bench::new(|request| {
        request.watched = vec![(Cpu(other), Detection::ContextTracking)];
        request.possible_cpus = other + 1;
    });
    bench.tracer.arm().unwrap();
    bench.run("raw_ipi_send_cpu", &[u64::from(other), 0, 0x1234]);
    assert_eq!(bench.sends(), Some(0));
    bench.run("raw_csd_queue_cpu", &[u64::from(other), 0, 0x1234, 0]);
    assert_eq!(bench.sends(), Some(1));
    bench.run("raw_ipi_send_cpu", &[u64::from(other), 0, 0]);
    assert_eq!(bench.sends(), Some(2));
}

/// A CPU that is watched no longer keeps its totals, with what was under way as open, and goes
/// on from there when it is watched again.
#[test]
#[ignore = "needs CAP_BPF and CAP_PERFMON"]
fn the_watched_set_may_change_under_way() {
    let mut bench = Bench::new(|_| ());
    bench.tracer.arm().unwrap();
    bench.run("raw_user_exit", &[]);
    bench.run("raw_user_enter", &[]);
    bench.run("raw_user_exit", &[]);
    bench.tracer.unwatch(&[Cpu(CPU)]).unwrap();
    bench.run("raw_user_enter", &[]);
    bench.run("raw_user_exit", &[]);
    bench.run("raw_user_enter", &[]);
    let snapshot = bench.snapshot();
    assert_eq!(snapshot.phase, Phase::Closed);
    assert_eq!((snapshot.ledger.entries, snapshot.ledger.open), (2, 1));
    assert_eq!(bench.breaches().len(), 1);
    let again = [(Cpu(CPU), Detection::ContextTracking)];
    bench.tracer.watch_more(&again).unwrap();
    bench.run("raw_user_enter", &[]);
    bench.run("raw_user_exit", &[]);
    bench.run("raw_user_enter", &[]);
    assert_eq!(bench.breaches().len(), 1);
    let ledger = bench.snapshot().ledger;
    assert_eq!((ledger.entries, ledger.open, ledger.tainted), (3, 1, 0));
}

/// A sender's user stack comes with its record: registers, and bytes by which its callers are found.
#[test]
#[ignore = "needs CAP_BPF and CAP_PERFMON"]
fn a_sender_leaves_its_user_stack_on_request() {
    let other = CPU + 1;
    let sent = |user_stacks: bool, watched: u32| {
        let mut bench = Bench::new(|request| {
            request.watched = vec![(Cpu(watched), Detection::ContextTracking)];
            request.possible_cpus = other + 1;
            request.user_stacks = user_stacks;
        });
        let args = [u64::from(watched), 0, 0x1234, 0x5678];
        bench.run("raw_csd_queue_cpu", &args);
        bench.tracer.arm().unwrap();
        bench.run_from_here("raw_csd_queue_cpu", &args);
        assert_eq!(bench.breaches(), []);
        assert_eq!(bench.sends(), Some(1));
        bench.assembler.take_stacks()
    };
    assert_eq!(sent(false, other), [], "nobody asked for it");
    assert_eq!(sent(true, CPU), [], "not on a watched CPU");
    let stacks = sent(true, other);
    let [stack] = stacks.as_slice() else {
        panic!("{stacks:?}")
    };
    assert_eq!(stack.pid.0, this_process());
    assert_eq!(stack.key.tid.0, this_thread());
    assert_eq!(stack.key.cpu, Cpu(CPU));
    assert!(
        stack.asked(1).word(stack.sp.0).is_some(),
        "its top was copied"
    );
    let mut symbols = UserSymbols::of_tests(Path::new("/"));
    // Its maps are found by the number that it has in `/proc`.
    let mut stack = stack.clone();
    stack.pid = Pid(std::process::id());
    symbols.unwind(&stack);
    let words = symbols.stack(stack.key);
    let expected = [
        "syscall",
        "run_from_here",
        "a_sender_leaves_its_user_stack_on_request",
    ];
    let mut frames = words.iter();
    for function in expected {
        assert!(
            frames.any(|frame| frame.contains(function)),
            "{function}: {words:#?}"
        );
    }
}
