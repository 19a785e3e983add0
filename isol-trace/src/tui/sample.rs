//! Plausible updates without a kernel: for tests of the screen, and for looking at it.
//!
//! Deterministic: the same seed tells the same story.

use std::sync::Arc;

use isol_trace_common::{activity::Activity, cause::Cause, record::End};

use super::Update;
use crate::{
    clock::Anchor,
    event::{
        ids::{Address, Cpu, MonoNanos, Nanos, Pid, Seq, Tid},
        model::{
            ActivityItem, Breach, CauseDetail, CauseSummary, CpuSummary, Detection, Event,
            Function, Header, Origin, ProbeState, ProbeVerdict, Sender, Summary, TaskId, Totals,
            TracerSummary, Via,
        },
    },
    remedy::Rules,
};

/// When the stories begin.
pub const START: MonoNanos = MonoNanos(1_000_000_000_000);

/// A moment so many milliseconds after [`START`].
#[must_use]
pub const fn after_ms(milliseconds: u64) -> MonoNanos {
    MonoNanos(START.0 + milliseconds * 1_000_000)
}

/// A header of some watched CPUs under context tracking.
#[must_use]
pub fn header(cpus: impl IntoIterator<Item = u32>) -> Header {
    let attached = |name: &'static str| ProbeVerdict {
        name: name.into(),
        state: ProbeState::Attached,
    };
    Header {
        host: "rt-box".to_owned(),
        kernel: "6.12.117-amd64".to_owned(),
        arch: "x86_64".to_owned(),
        no_hz_full: Some(true),
        cpus: cpus
            .into_iter()
            .map(|cpu| (Cpu(cpu), Detection::ContextTracking))
            .collect(),
        blind_spots: Vec::new(),
        housekeeping: vec![Cpu(0)],
        probes: vec![
            attached("user_exit"),
            attached("user_enter"),
            attached("page_fault_user"),
            attached("irq_handler_entry"),
            attached("nmi_handler"),
            ProbeVerdict {
                name: "csd_function_entry".into(),
                state: ProbeState::Absent {
                    why: "this kernel has no such tracepoint (it came with 6.5)".to_owned(),
                },
            },
        ],
        at: START,
        anchor: Anchor::new(START, 1_769_860_800_000_000_000),
    }
}

/// A CPU's totals: cause, count, time in sum, longest.
#[must_use]
pub fn cpu_summary(cpu: Cpu, causes: &[(Cause, u64, u64, u64)]) -> CpuSummary {
    let causes: Vec<CauseSummary> = causes
        .iter()
        .map(|&(cause, count, total, max)| CauseSummary {
            cause,
            count,
            total: (count > 0).then_some(Nanos(total)),
            max: (count > 0).then_some(Nanos(max)),
            p50: (count > 0).then(|| Nanos(total / count)),
            p99: (count > 0).then(|| Nanos(max.min(total / count * 2))),
        })
        .collect();
    let entries = causes.iter().map(|cause| cause.count).sum();
    let unattributed = causes
        .iter()
        .filter(|cause| cause.cause == Cause::Unknown)
        .map(|cause| cause.count)
        .sum();
    CpuSummary {
        cpu,
        entries,
        attributed: entries - unattributed,
        unattributed,
        filtered: 0,
        lost: 0,
        open: 0,
        kernel: Some(Nanos(
            causes
                .iter()
                .filter_map(|cause| cause.total)
                .map(|Nanos(total)| total)
                .sum(),
        )),
        idle: Nanos(0),
        away: Nanos(0),
        max: causes.iter().filter_map(|cause| cause.max).max(),
        defects: Some(0),
        causes,
    }
}

fn item(kind: Activity, number: u32, name: &str, net: u64) -> ActivityItem {
    ActivityItem {
        kind,
        number,
        address: Some(Address(0xffff_ffff_8110_0000 + net * 16)),
        comm: None,
        net: Some(Nanos(net)),
        name: Some(Arc::from(name)),
        kin: None,
        origin: None,
    }
}

/// An entry of the task by its timer, of which no more is known.
fn entry(seq: u64, cpu: u32, at: MonoNanos) -> Breach {
    Breach {
        seq: Seq(seq),
        at,
        cpu: Cpu(cpu),
        duration: Some(Nanos(2_104)),
        idle: Nanos(0),
        end: End::Return,
        section: None,
        task: TaskId {
            pid: Some(Pid(147)),
            tid: Tid(147),
            comm: Some(Arc::from("spin")),
        },
        cause: CauseDetail::Plain(Cause::LocalTimer),
        cause_name: None,
        cause_handler: None,
        cause_net: None,
        ip: Address(0x40_16de),
        location: Some(Arc::from("main+0x2e")),
        source: Some(Arc::from("spin.c:11")),
        inlined: Arc::default(),
        activities: Vec::new(),
        dropped_activities: 0,
        origins: vec![Origin::Task],
        remedy: None,
    }
}

/// One of a few typical breaches, by number.
#[must_use]
pub fn breach(seq: u64, cpu: u32, at: MonoNanos, pattern: u64) -> Breach {
    let mut breach = entry(seq, cpu, at);
    match pattern % 8 {
        0 | 1 => {
            breach.cause_net = Some(Nanos(1_310));
            breach.activities = vec![
                item(Activity::Hrtimer, 0, "tick_nohz_handler", 640),
                item(Activity::Softirq, 1, "timer", 1_105),
                item(Activity::Timer, 0, "clocksource_watchdog", 2_812),
            ];
            breach.duration = Some(Nanos(7_480 + pattern * 37 % 2_000));
            breach.origins = vec![Origin::Kernel(None)];
        }
        2 | 3 => {
            breach.cause = CauseDetail::Syscall {
                number: Some(39),
                args: Some([0; 6]),
            };
            breach.cause_name = Some(Arc::from("getpid"));
            breach.duration = Some(Nanos(312 + pattern * 13 % 90));
        }
        4 => {
            breach.cause = CauseDetail::PageFault {
                address: Address(0x7f3a_2c01_9000),
                write: true,
                user: true,
                fetch: false,
                protection: true,
            };
            breach.location = Some(Arc::from("memcpy+0x1a4"));
            breach.source = None;
            breach.duration = Some(Nanos(1_820));
        }
        5 => {
            breach.cause = CauseDetail::Plain(Cause::CallFunctionSingle);
            breach.cause_net = Some(Nanos(420));
            breach.activities = vec![item(Activity::Csd, 0, "clocksource_verify_one_cpu", 690)];
            breach.duration = Some(Nanos(1_940));
            let mut sender = sender(Via::CrossCall, at, "smp_call_function_single+0xd4");
            sender.callback = Some(function("clocksource_verify_one_cpu"));
            sender.stack = [
                "smp_call_function_single+0xd4",
                "clocksource_watchdog+0x2b1",
                "call_timer_fn+0x24",
                "run_timer_softirq+0x19c",
            ]
            .map(function)
            .to_vec();
            breach.origins = vec![Origin::Remote(Box::new(sender))];
        }
        6 => {
            breach.cause = CauseDetail::DeviceIrq {
                irq: 34,
                handler: Some(Address(0xffff_ffff_8170_2210)),
            };
            breach.cause_name = Some(Arc::from("nvme0q2"));
            breach.cause_net = Some(Nanos(3_300));
            breach.activities = vec![item(Activity::Softirq, 4, "block", 9_120)];
            breach.duration = Some(Nanos(14_205));
            breach.origins = vec![Origin::Device];
        }
        _ => {
            breach.cause = CauseDetail::Plain(Cause::Reschedule);
            breach.end = End::Switched;
            breach.activities = vec![ActivityItem {
                comm: Some(Arc::from("kworker/1:0")),
                name: None,
                address: None,
                ..item(Activity::Switch, 61, "", 48_300)
            }];
            breach.duration = Some(Nanos(51_700));
            let mut sender = sender(Via::Reschedule, at, "ttwu_queue_wakelist+0x10e");
            sender.task = Some(TaskId {
                pid: Some(Pid(912)),
                tid: Tid(915),
                comm: Some(Arc::from("cat")),
            });
            sender.inferred = true;
            breach.origins = vec![Origin::Remote(Box::new(sender))];
        }
    }
    breach.remedy = Rules::embedded()
        .ok()
        .and_then(|rules| rules.find(&breach))
        .map(|rule| rule.id.clone());
    breach
}

/// Somebody on CPU 0 of whom no more is known.
fn sender(via: Via, at: MonoNanos, callsite: &str) -> Sender {
    Sender {
        via,
        at: Some(at),
        cpu: Some(Cpu(0)),
        task: None,
        callback: None,
        callsite: Some(function(callsite)),
        stack: Vec::new(),
        user_stack: Arc::default(),
        inferred: false,
    }
}

fn function(name: &str) -> Function {
    Function {
        address: Some(Address(0xffff_ffff_8114_2200)),
        name: Some(Arc::from(name)),
    }
}

/// A small machine that misbehaves as real ones do.
#[derive(Clone, Debug)]
pub struct Story {
    cpus: Vec<u32>,
    at: MonoNanos,
    seq: u64,
    random: u64,
    totals: Vec<[(u64, u64, u64); 8]>,
}

/// The causes of [`breach`]'s patterns.
const CAUSES: [Cause; 8] = [
    Cause::LocalTimer,
    Cause::LocalTimer,
    Cause::Syscall,
    Cause::Syscall,
    Cause::PageFault,
    Cause::CallFunctionSingle,
    Cause::DeviceIrq,
    Cause::Reschedule,
];

impl Story {
    /// A story about these CPUs.
    #[must_use]
    pub fn new(cpus: impl IntoIterator<Item = u32>, seed: u64) -> Self {
        Self::starting(cpus, seed, START)
    }

    /// The same, beginning at another moment.
    #[must_use]
    pub fn starting(cpus: impl IntoIterator<Item = u32>, seed: u64, at: MonoNanos) -> Self {
        let cpus: Vec<u32> = cpus.into_iter().collect();
        Self {
            totals: vec![[(0, 0, 0); 8]; cpus.len()],
            cpus,
            at,
            seq: 0,
            random: seed | 1,
        }
    }

    fn random(&mut self, below: u64) -> u64 {
        // xorshift64: enough to look irregular.
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % below.max(1)
    }

    /// Some milliseconds pass with about so many breaches; what the session would say of them.
    pub fn pass(&mut self, milliseconds: u64, breaches: u64) -> Vec<Update> {
        let mut updates = Vec::new();
        let end = MonoNanos(self.at.0 + milliseconds * 1_000_000);
        let step = milliseconds * 1_000_000 / (breaches + 1);
        for _ in 0..breaches {
            self.at.0 += step;
            // A few CPUs are noisier than the others.
            let spread = self.cpus.len() as u64;
            let index = usize::try_from(self.random(spread).min(self.random(spread))).unwrap_or(0);
            let pattern = self.random(8);
            self.seq += 1;
            let cpu = self.cpus.get(index).copied().unwrap_or(0);
            let breach = breach(self.seq, cpu, self.at, pattern);
            let time = breach.kernel_time().unwrap_or_default().0;
            let slot = usize::try_from(pattern).unwrap_or(0);
            if let Some(totals) = self.totals.get_mut(index).and_then(|cpu| cpu.get_mut(slot)) {
                totals.0 += 1;
                totals.1 += time;
                totals.2 = totals.2.max(time);
            }
            let switched = breach.end == End::Switched;
            updates.push(Update::Event(Event::Breach(Box::new(breach))));
            if switched {
                updates.push(Update::Event(Event::Back {
                    breach: Some(Seq(self.seq)),
                    away: Nanos(83_000),
                    at: self.at,
                    tid: Tid(147),
                }));
            }
        }
        self.at = end;
        updates.push(Update::Totals(self.totals()));
        updates
    }

    /// The ledger as it stands.
    #[must_use]
    pub fn totals(&self) -> Totals {
        let summary = |(cpu, totals): (&u32, &[(u64, u64, u64); 8])| {
            let mut causes: Vec<(Cause, u64, u64, u64)> = Vec::new();
            for (&cause, &(count, time, max)) in CAUSES.iter().zip(totals) {
                match causes.last_mut() {
                    _ if count == 0 => {}
                    Some(last) if last.0 == cause => {
                        *last = (cause, last.1 + count, last.2 + time, last.3.max(max));
                    }
                    _ => causes.push((cause, count, time, max)),
                }
            }
            cpu_summary(Cpu(*cpu), &causes)
        };
        Totals {
            at: self.at,
            cpus: self.cpus.iter().zip(&self.totals).map(summary).collect(),
        }
    }

    /// The end of it.
    #[must_use]
    pub fn summary(&self) -> Summary {
        Summary {
            at: self.at,
            cpus: self.totals().cpus,
            tracer: TracerSummary {
                breaches: 0,
                attach_breaches: Some(38),
                detach_breaches: Some(38),
                lost_senders: Some(0),
                lost_user_stacks: None,
                missed_runs: Vec::new(),
                programs: None,
            },
        }
    }
}
