//! Entries of one CPU drained and decoded a second, without formatting: what the rings and the
//! reader can take.
//!
//! `cargo bench -p isol-trace --bench drain -- CPU SECONDS` loops over the cheapest system call
//! on the CPU while another one drains; needs the rights that tracing needs. It prints one JSON
//! object: `produced` while draining, as it would be traced, and `burst`, full rings emptied with
//! nothing added meanwhile, which is the reader's own limit.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the figures are what this program is for"
)]

use std::{
    env,
    error::Error,
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use isol_trace::{
    bpf::{
        btf::KernelTypes,
        request::{Execution, Request},
        tracer::{BATCH, Drained, Tracer},
    },
    clock::monotonic,
    event::{
        assemble::Assembler,
        ids::{Cpu, Pid},
        model::Detection,
    },
    host::Host,
};
use isol_trace_common::config::PreemptCount;
use rustix::{
    process::getppid,
    thread::{CpuSet, sched_setaffinity},
};

/// Room for a third of a second at full speed: what is measured is the reader, not its wake-up.
const RING_BYTES: u32 = 128 << 20;

/// Calls of a burst: they fit the ring.
const BURST: u64 = 500_000;

/// Bursts.
const BURSTS: u32 = 5;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("drain: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let numbers: Vec<u32> = env::args()
        .skip(1)
        .filter_map(|it| it.parse().ok())
        .collect();
    let (cpu, seconds) = match numbers.as_slice() {
        [cpu, seconds] => (*cpu, u64::from(*seconds)),
        _ => return Err("usage: drain CPU SECONDS".into()),
    };
    let host = Host::of_this_process();
    let types = KernelTypes::read(&host.btf_path())?;
    let possible_cpus = host.possible()?.iter().last().map_or(1, |last| last.0 + 1);
    let detection = if host.nohz_full()?.contains(Cpu(cpu)) && types.has_tracepoint("user_exit") {
        Detection::ContextTracking
    } else {
        Detection::Vectors
    };
    let mut tracer = Tracer::attach(
        &Request {
            watched: vec![(Cpu(cpu), detection)],
            possible_cpus,
            pids: vec![std::process::id()],
            comms: Vec::new(),
            section_only: false,
            own: Pid(std::process::id()),
            ring_bytes: RING_BYTES,
            execution: Execution::Compiled,
            perf_timer_function: None,
            preempt_count: PreemptCount::UNKNOWN,
            statistics: false,
            user_stacks: false,
            strict: None,
        },
        &types,
        |_| std::ops::ControlFlow::Continue(()),
    )?;
    drop(types);
    leave(cpu, possible_cpus)?;
    let mut reader = Reader {
        assembler: Assembler::new(Pid(std::process::id())),
        decoded: 0,
        malformed: 0,
    };
    tracer.arm()?;
    let produced = while_producing(&mut tracer, &mut reader, cpu, Duration::from_secs(seconds))?;
    let burst = bursts(&mut tracer, &mut reader, cpu)?;
    tracer.disarm()?;
    reader.drain(&mut tracer);
    let ledger = tracer
        .snapshots()?
        .first()
        .map(|(_, snapshot)| snapshot.ledger)
        .ok_or("no watched CPU")?;
    println!(
        "{{\"produced\":{{\"per_second\":{produced:.0}}},\"burst\":{{\"per_second\":{burst:.0}}},\
         \"entries\":{},\"decoded\":{},\"filtered\":{},\"lost\":{},\"malformed\":{}}}",
        ledger.entries, reader.decoded, ledger.filtered, ledger.lost, reader.malformed
    );
    Ok(())
}

/// Keeps this thread, the reader, off the watched CPU.
fn leave(cpu: u32, possible: u32) -> Result<(), Box<dyn Error>> {
    let mut others = CpuSet::new();
    for other in (0..possible).filter(|other| *other != cpu) {
        others.set(other as usize);
    }
    Ok(sched_setaffinity(None, &others)?)
}

/// Drains, decodes and puts together, as the commands do, and then forgets.
struct Reader {
    assembler: Assembler,
    decoded: u64,
    malformed: u64,
}

impl Reader {
    fn drain(&mut self, tracer: &mut Tracer) -> u64 {
        let before = self.decoded;
        loop {
            let Self {
                assembler,
                decoded,
                malformed,
            } = self;
            assembler.begin(monotonic());
            let taken = tracer.drain(BATCH, |drained| match drained {
                Drained::Record(cpu, bytes) if assembler.record(cpu, bytes).is_err() => {
                    *malformed += 1;
                }
                Drained::Record(..) => {}
                Drained::Limit => assembler.more(),
            });
            assembler.drain_ready(|event| {
                std::hint::black_box(&event);
                *decoded += 1;
            });
            if taken == 0 {
                return self.decoded - before;
            }
        }
    }
}

/// A thread that calls on `cpu` until told to stop, or `limit` times.
fn caller(
    cpu: u32,
    limit: u64,
    stop: &Arc<AtomicBool>,
    calls: &Arc<AtomicU64>,
) -> thread::JoinHandle<()> {
    let (stop, calls) = (Arc::clone(stop), Arc::clone(calls));
    thread::spawn(move || {
        let mut only = CpuSet::new();
        only.set(cpu as usize);
        if sched_setaffinity(None, &only).is_err() {
            return;
        }
        let mut done = 0;
        while done < limit && !stop.load(Ordering::Relaxed) {
            for _ in 0..1000 {
                let _ = getppid();
            }
            done += 1000;
            calls.store(done, Ordering::Relaxed);
        }
    })
}

/// Entries drained and decoded a second while the CPU does nothing but enter the kernel.
fn while_producing(
    tracer: &mut Tracer,
    reader: &mut Reader,
    cpu: u32,
    time: Duration,
) -> Result<f64, Box<dyn Error>> {
    let (stop, calls) = (Arc::default(), Arc::default());
    let thread = caller(cpu, u64::MAX, &stop, &calls);
    let begin = Instant::now();
    let before = reader.decoded;
    while begin.elapsed() < time {
        if reader.drain(tracer) == 0 {
            thread::yield_now();
        }
    }
    let rate = (reader.decoded - before) as f64 / begin.elapsed().as_secs_f64();
    stop.store(true, Ordering::Relaxed);
    thread
        .join()
        .map_err(|_panic| "the calling thread failed")?;
    reader.drain(tracer);
    Ok(rate)
}

/// Entries drained and decoded a second from a ring that nobody writes to: the best of some.
fn bursts(tracer: &mut Tracer, reader: &mut Reader, cpu: u32) -> Result<f64, Box<dyn Error>> {
    let mut best = 0_f64;
    for _ in 0..BURSTS {
        let (stop, calls) = (Arc::default(), Arc::default());
        caller(cpu, BURST, &stop, &calls)
            .join()
            .map_err(|_panic| "the calling thread failed")?;
        let begin = Instant::now();
        let drained = reader.drain(tracer);
        best = best.max(drained as f64 / begin.elapsed().as_secs_f64());
    }
    Ok(best)
}
