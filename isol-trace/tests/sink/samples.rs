//! Events built by hand: one of every kind that a log can hold.

use std::sync::Arc;

use isol_trace::{
    clock::Anchor,
    consume::{Consumer as _, json::JsonLines},
    event::{
        ids::{Address, Cpu, MonoNanos, Nanos, Pid, RuleId, Seq, Tid},
        model::{
            Activity, ActivityItem, Breach, Cause, CauseDetail, CauseSummary, CpuChange,
            CpuSummary, Detection, End, Event, Function, Header, Kill, KilledBy, Kin, Origin,
            ProbeState, ProbeVerdict, Sender, Signaller, Summary, TaskId, TracerSummary, Unlogged,
            Via, WatchedSet,
        },
        signal::Signal,
    },
};

/// The moment at which every log of the tests begins, on the monotonic clock.
pub(crate) const BEGIN: MonoNanos = MonoNanos(5_000_000_000);

/// 2026-01-31T12:00:00Z is [`BEGIN`].
pub(crate) fn anchor() -> Anchor {
    Anchor::new(BEGIN, 1_769_860_800_000_000_000)
}

/// The line of an event, without its line feed.
pub(crate) fn line(event: &Event) -> String {
    let mut text = Vec::new();
    let mut log = JsonLines::with_anchor(&mut text, anchor());
    log.event(event);
    drop(log);
    let text = String::from_utf8(text).expect("a log is UTF-8");
    let text = text.strip_suffix('\n').expect("a line ends in a line feed");
    let (line, more) = text.split_once('\n').unwrap_or((text, ""));
    let is_remedy = |line: &str| line.starts_with("{\"type\":\"remedy\"");
    assert!(more.lines().all(is_remedy), "one event, one line: {text}");
    line.to_owned()
}

/// What follows breaches of a log of [`header`]'s host, all of them of these rules.
pub(crate) fn remedy_lines(breaches: &[Breach]) -> Vec<String> {
    let mut text = Vec::new();
    let mut log = JsonLines::with_anchor(&mut text, anchor());
    log.event(&Event::Header(header()));
    for breach in breaches {
        let event = Event::Breach(Box::new(breach.clone()));
        log.event(&event);
    }
    drop(log);
    let text = String::from_utf8(text).expect("a log is UTF-8");
    let is_remedy = |line: &&str| line.starts_with("{\"type\":\"remedy\"");
    text.lines().filter(is_remedy).map(str::to_owned).collect()
}

/// A breach with another cause and remedy.
pub(crate) fn remedied(cause: CauseDetail, rule: &str) -> Breach {
    Breach {
        cause,
        remedy: RuleId::new(rule),
        ..breach()
    }
}

/// The record of a remedy.
pub(crate) fn remedy_line() -> String {
    let timer = CauseDetail::Plain(Cause::LocalTimer);
    let mut lines = remedy_lines(&[remedied(timer, "soft-lockup-watchdog")]);
    lines.pop().expect("one")
}

pub(crate) fn header() -> Header {
    Header {
        host: "rt-node-7".to_owned(),
        kernel: "6.12.117-cloud-amd64".to_owned(),
        arch: "x86_64".to_owned(),
        no_hz_full: Some(true),
        cpus: vec![
            (Cpu(1), Detection::ContextTracking),
            (Cpu(2), Detection::Vectors),
        ],
        blind_spots: vec!["exceptions that end without a signal".into()],
        housekeeping: vec![Cpu(0), Cpu(3)],
        probes: vec![
            ProbeVerdict {
                name: "user_exit".into(),
                state: ProbeState::Attached,
            },
            ProbeVerdict {
                name: "csd_queue_cpu".into(),
                state: ProbeState::Absent {
                    why: "this kernel has no such tracepoint (it came with 6.5)".to_owned(),
                },
            },
            ProbeVerdict {
                name: "mce_record".into(),
                state: ProbeState::Failed {
                    why: "the kernel refused it: \"Invalid argument\"".to_owned(),
                },
            },
        ],
        at: BEGIN,
        anchor: anchor(),
    }
}

/// The same getpid with its remedy.
pub(crate) fn known_breach() -> Breach {
    Breach {
        remedy: RuleId::new("syscall-identity"),
        ..breach()
    }
}

/// A getpid of `spin` on CPU 1, with everything known but its remedy.
pub(crate) fn breach() -> Breach {
    Breach {
        seq: Seq(1),
        at: MonoNanos(BEGIN.0 + 1_500_000_000),
        cpu: Cpu(1),
        duration: Some(Nanos(2104)),
        idle: Nanos(0),
        end: End::Return,
        section: Some(true),
        task: TaskId {
            pid: Some(Pid(147)),
            tid: Tid(147),
            comm: Some("spin".into()),
        },
        cause: CauseDetail::Syscall {
            number: Some(39),
            args: Some([1, 2, 3, 0, u64::MAX, 0x7ffd_0000_1000]),
        },
        cause_name: Some("getpid".into()),
        cause_handler: None,
        cause_net: None,
        ip: Address(0x40_16de),
        location: Some("main+0x2e".into()),
        source: Some("spin.c:11".into()),
        inlined: Arc::default(),
        activities: Vec::new(),
        dropped_activities: 0,
        origins: vec![Origin::Task],
        remedy: None,
    }
}

/// A breach of which next to nothing is known.
pub(crate) fn bare_breach() -> Breach {
    Breach {
        seq: Seq(2),
        duration: None,
        section: None,
        task: TaskId {
            pid: None,
            tid: Tid(150),
            comm: None,
        },
        cause: CauseDetail::Plain(Cause::Unknown),
        cause_name: None,
        location: None,
        source: None,
        origins: vec![Origin::Unknown],
        ..breach()
    }
}

/// One breach of every cause, with what belongs to it, and its bare variant where something can be missing.
pub(crate) fn causes() -> Vec<Breach> {
    let handler = Some(Address(0xffff_ffff_c020_1000));
    let mut breaches = vec![
        known_breach(),
        Breach {
            cause: CauseDetail::Syscall {
                number: None,
                args: None,
            },
            cause_name: None,
            ..breach()
        },
        Breach {
            cause: CauseDetail::PageFault {
                address: Address(0x7f00_dead_b000),
                write: true,
                user: true,
                fetch: false,
                protection: true,
            },
            cause_name: None,
            ..breach()
        },
        Breach {
            cause: CauseDetail::Exception { trap: Some(6) },
            cause_name: Some("invalid_opcode".into()),
            ..breach()
        },
        Breach {
            cause: CauseDetail::Exception { trap: None },
            cause_name: None,
            ..breach()
        },
        Breach {
            cause: CauseDetail::DeviceIrq { irq: 36, handler },
            cause_name: Some("virtio1-req.0".into()),
            cause_handler: Some("vring_interrupt [virtio_ring]".into()),
            cause_net: Some(Nanos(1210)),
            origins: vec![Origin::Device],
            ..breach()
        },
        Breach {
            cause: CauseDetail::Nmi { handler },
            cause_name: Some("perf_event_nmi_handler".into()),
            cause_handler: Some("perf_event_nmi_handler".into()),
            cause_net: Some(Nanos(3333)),
            origins: vec![Origin::Unknown],
            ..breach()
        },
    ];
    let known: Vec<_> = breaches.iter().map(|breach| breach.cause.cause()).collect();
    for &cause in Cause::ALL {
        if !known.contains(&cause) {
            breaches.push(Breach {
                cause: CauseDetail::Plain(cause),
                cause_name: None,
                cause_net: Some(Nanos(700)),
                origins: vec![Origin::Unknown],
                ..breach()
            });
        }
    }
    breaches
}

pub(crate) fn activity(kind: Activity, number: u32, name: &str) -> ActivityItem {
    ActivityItem {
        kind,
        number,
        address: None,
        comm: None,
        net: Some(Nanos(812)),
        name: Some(name.into()),
        kin: None,
        origin: None,
    }
}

/// One activity of every kind, and one of which only the kind is known.
pub(crate) fn activities() -> Vec<ActivityItem> {
    let mut items: Vec<_> = Activity::ALL
        .iter()
        .map(|&kind| match kind {
            Activity::Irq => activity(kind, 36, "virtio1-req.0"),
            Activity::Vector => activity(kind, Cause::LocalTimer as u32, "local_timer"),
            Activity::Fault => ActivityItem {
                address: Some(Address(0x7f00_0000_1000)),
                name: None,
                ..activity(kind, 0, "")
            },
            Activity::Nmi => activity(kind, 0, "perf_event_nmi_handler"),
            Activity::Softirq => activity(kind, 1, "TIMER"),
            Activity::Timer => activity(kind, 0, "clocksource_watchdog"),
            Activity::Hrtimer => activity(kind, 0, "hrtimer_wakeup"),
            Activity::Work => activity(kind, 0, "vmstat_update"),
            Activity::IrqWork => activity(kind, 0, "nohz_full_kick_func"),
            Activity::Csd => activity(kind, 0, "do_sync_core"),
            Activity::Tick => activity(kind, 4, "SCHED"),
            Activity::Switch => ActivityItem {
                comm: Some("kworker/1:1".into()),
                kin: Some(Kin {
                    pid: Pid(88),
                    worker: false,
                    parent: Some((Pid(2), "kthreadd".into())),
                }),
                origin: Some(Origin::Remote(Box::new(Sender {
                    callback: None,
                    callsite: None,
                    stack: Vec::new(),
                    user_stack: Arc::default(),
                    ..*sender(Via::Wake)
                }))),
                ..activity(kind, 88, "kworker/1:1")
            },
            Activity::Signal => activity(kind, 9, "SIGKILL"),
            Activity::TlbFlush => activity(kind, 1, "remote shootdown"),
        })
        .collect();
    items.push(ActivityItem {
        kind: Activity::Timer,
        number: 0,
        address: Some(Address(0xffff_ffff_811a_2b40)),
        comm: None,
        net: None,
        name: None,
        kin: None,
        origin: None,
    });
    items
}

/// A sender of which everything is known.
fn sender(via: Via) -> Box<Sender> {
    let function = |name: &str| Function {
        address: Some(Address(0xffff_ffff_8114_2200)),
        name: Some(name.into()),
    };
    Box::new(Sender {
        via,
        at: Some(MonoNanos(BEGIN.0 - 1_400)),
        cpu: Some(Cpu(0)),
        task: Some(TaskId {
            pid: Some(Pid(88)),
            tid: Tid(89),
            comm: Some("insmod".into()),
        }),
        callback: Some(function("do_sync_core")),
        callsite: Some(function("smp_call_function_many_cond+0x1f")),
        stack: vec![
            function("smp_call_function_many_cond+0x1f"),
            Function {
                address: Some(Address(0xffff_ffff_c020_1000)),
                name: None,
            },
        ],
        user_stack: [
            "leaf (work.h:7) [inlined]",
            "work+0x1f (work.c:40)",
            "[libc.so.6]+0x2a1ca",
        ]
        .map(Arc::from)
        .into(),
        inferred: false,
    })
}

pub(crate) fn busy_breach() -> Breach {
    Breach {
        seq: Seq(3),
        cause: CauseDetail::Plain(Cause::LocalTimer),
        cause_name: None,
        cause_net: Some(Nanos(640)),
        activities: activities(),
        dropped_activities: 2,
        origins: vec![Origin::Kernel(None)],
        ..breach()
    }
}

pub(crate) fn back() -> Event {
    Event::Back {
        breach: Some(Seq(17)),
        away: Nanos(26_104_000),
        at: MonoNanos(BEGIN.0 + 2_000_000_000),
        tid: Tid(147),
    }
}

pub(crate) fn lost() -> Event {
    Event::Lost {
        cpu: Cpu(1),
        records: 12,
        at: MonoNanos(BEGIN.0 + 2_500_000_000),
    }
}

pub(crate) fn watched() -> Event {
    Event::Watched(WatchedSet {
        at: MonoNanos(BEGIN.0 + 3_250_000_000),
        changes: vec![(Cpu(3), CpuChange::Isolated)],
        cpus: vec![
            (Cpu(1), Detection::ContextTracking),
            (Cpu(3), Detection::Vectors),
        ],
        blind_spots: Vec::new(),
        housekeeping: vec![Cpu(0), Cpu(2)],
        probes: vec![ProbeVerdict {
            name: "sys_enter".into(),
            state: ProbeState::Attached,
        }],
    })
}

pub(crate) fn moved() -> Event {
    Event::Moved {
        task: breach().task,
        from: Cpu(1),
        to: Cpu(2),
        at: MonoNanos(BEGIN.0 + 3_500_000_000),
    }
}

/// Strict mode has killed the task of [`breach`].
pub(crate) fn kill() -> Kill {
    Kill {
        at: MonoNanos(BEGIN.0 + 4_000_000_000),
        cpu: Cpu(1),
        task: breach().task,
        of_command: true,
        signal: Signal::KILL,
        fatal: true,
        by: KilledBy::StrictMode,
        code: None,
        breach: Some(Seq(17)),
        history: [9, 11, 14, 17].map(Seq).into(),
        entry: Some(Unlogged {
            duration: Some(Nanos(1_300)),
            location: breach().location,
            source: breach().source,
            ..unlogged(BEGIN.0 + 3_999_998_000)
        }),
        unlogged: Vec::new(),
        user_stack: [
            "[libc.so.6]+0x114a77",
            "publish+0x2e (spin.c:42)",
            "main+0x2e (spin.c:11)",
        ]
        .map(Arc::from)
        .into(),
    }
}

/// An entry of the task of [`breach`] without its record.
fn unlogged(at: u64) -> Unlogged {
    Unlogged {
        at: MonoNanos(at),
        duration: Some(Nanos(2_104)),
        cause: breach().cause,
        cause_name: breach().cause_name,
        ip: breach().ip,
        location: None,
        source: None,
    }
}

/// Another process has killed it, and an entry before that found no room.
pub(crate) fn remote_kill() -> Kill {
    Kill {
        of_command: false,
        by: KilledBy::Remote(Signaller {
            cpu: Cpu(0),
            task: TaskId {
                pid: Some(Pid(88)),
                tid: Tid(88),
                comm: Some("bash".into()),
            },
        }),
        code: Some(0),
        breach: None,
        entry: None,
        unlogged: vec![unlogged(BEGIN.0 + 3_999_000_000)],
        user_stack: Arc::default(),
        ..kill()
    }
}

pub(crate) fn summary() -> Summary {
    Summary {
        at: MonoNanos(BEGIN.0 + 10_000_000_000),
        cpus: vec![CpuSummary {
            cpu: Cpu(1),
            entries: 120,
            attributed: 119,
            unattributed: 1,
            filtered: 4,
            lost: 12,
            open: 1,
            kernel: Some(Nanos(402_118)),
            idle: Nanos(0),
            away: Nanos(26_104_000),
            max: Some(Nanos(21_090)),
            defects: Some(0),
            causes: vec![
                CauseSummary {
                    cause: Cause::Unknown,
                    count: 1,
                    total: None,
                    max: None,
                    p50: None,
                    p99: None,
                },
                CauseSummary {
                    cause: Cause::Syscall,
                    count: 115,
                    total: Some(Nanos(402_118)),
                    max: Some(Nanos(21_090)),
                    p50: Some(Nanos(2047)),
                    p99: Some(Nanos(16_383)),
                },
            ],
        }],
        tracer: TracerSummary {
            breaches: 0,
            attach_breaches: Some(38),
            detach_breaches: None,
            lost_senders: Some(3),
            lost_user_stacks: None,
            missed_runs: vec![("csd_queue_cpu".to_owned(), 9)],
            programs: None,
        },
    }
}

/// One event of every kind, with every cause, end and activity among them.
pub(crate) fn every_event() -> Vec<Event> {
    let boxed = |breach| Event::Breach(Box::new(breach));
    let mut events = vec![Event::Header(header())];
    events.extend(causes().into_iter().map(boxed));
    events.extend(
        End::ALL
            .iter()
            .map(|&end| boxed(Breach { end, ..breach() })),
    );
    let origins = [
        Origin::Task,
        Origin::Remote(sender(Via::CrossCall)),
        Origin::Device,
        Origin::Kernel(None),
        Origin::Kernel(Some(sender(Via::Timer))),
        Origin::Kernel(Some(Box::new(Sender {
            at: None,
            cpu: None,
            callsite: None,
            stack: Vec::new(),
            user_stack: Arc::default(),
            ..*sender(Via::PerfEvent)
        }))),
        Origin::Tracer(sender(Via::Reschedule)),
        Origin::Remote(Box::new(Sender {
            task: None,
            callback: None,
            callsite: None,
            stack: Vec::new(),
            user_stack: Arc::default(),
            inferred: true,
            ..*sender(Via::CrossCall)
        })),
        Origin::Unknown,
    ];
    events.push(boxed(Breach {
        cause: CauseDetail::Plain(Cause::CallFunction),
        origins: origins.to_vec(),
        ..breach()
    }));
    events.push(boxed(bare_breach()));
    events.push(boxed(busy_breach()));
    events.push(back());
    events.push(Event::Back {
        breach: None,
        away: Nanos(1),
        at: BEGIN,
        tid: Tid(1),
    });
    events.push(lost());
    events.push(watched());
    events.push(moved());
    events.extend([kill(), remote_kill()].map(|kill| Event::Kill(Box::new(kill))));
    let mut with_stacks = summary();
    with_stacks.tracer.lost_user_stacks = Some(2);
    events.push(Event::Summary(with_stacks));
    events.push(boxed(Breach {
        seq: Seq(4),
        cause: CauseDetail::Plain(Cause::CallFunction),
        cause_name: None,
        inlined: ["leaf (spin.h:7)", "middle (spin.h:20)"]
            .map(Arc::from)
            .into(),
        origins: vec![Origin::Remote(sender(Via::CrossCall))],
        remedy: None,
        ..breach()
    }));
    events.push(Event::Summary(summary()));
    events
}
