//! Events of every kind.

use std::sync::Arc;

use proptest::{collection::vec, option, prelude::*, sample::select};

use crate::clock::Anchor;
use crate::event::{
    ids::{Address, Cpu, MonoNanos, Nanos, Pid, RuleId, Seq, Tid},
    model::{
        Activity, ActivityItem, Breach, Cause, CauseDetail, CauseSummary, CpuChange, CpuSummary,
        Detection, End, Event, Function, Header, Kill, KilledBy, Kin, Origin, ProbeState,
        ProbeVerdict, ProgramRuns, Sender, Signaller, Summary, TaskId, TracerSummary, Unlogged,
        Via, WatchedSet,
    },
    signal::Signal,
};

/// Where the clock of every log lies on the calendar: 5 s is 2026-01-31T12:00:00Z.
pub(crate) const ANCHOR: Anchor = Anchor::new(MonoNanos(5_000_000_000), 1_769_860_800_000_000_000);

/// Where the log's numbers end that JSON readers keep exactly.
const EXACT: u64 = 1 << 53;

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z_]{1,12}(\\+0x[0-9a-f]{1,3})?( \\[[a-z]{1,6}\\])?",
        "[a-zé\"\\\\\n\u{1}]{0,8}"
    ]
}

fn shared() -> impl Strategy<Value = Arc<str>> {
    text().prop_map(Arc::from)
}

fn number() -> impl Strategy<Value = u64> {
    prop_oneof![0..10_u64, 0..EXACT]
}

fn nanos() -> impl Strategy<Value = Nanos> {
    number().prop_map(Nanos)
}

fn address() -> impl Strategy<Value = Address> {
    prop_oneof![Just(0), any::<u64>()].prop_map(Address)
}

fn task() -> impl Strategy<Value = TaskId> {
    (option::of(any::<u32>()), any::<u32>(), option::of(shared())).prop_map(|(pid, tid, comm)| {
        TaskId {
            pid: pid.map(Pid),
            tid: Tid(tid),
            comm,
        }
    })
}

fn cause() -> impl Strategy<Value = CauseDetail> {
    let plain: Vec<_> = Cause::ALL
        .iter()
        .copied()
        .filter(|cause| {
            !matches!(
                cause,
                Cause::Syscall
                    | Cause::PageFault
                    | Cause::Exception
                    | Cause::DeviceIrq
                    | Cause::Nmi
            )
        })
        .collect();
    prop_oneof![
        (option::of(any::<u32>()), option::of(any::<[u64; 6]>()))
            .prop_map(|(number, args)| CauseDetail::Syscall { number, args }),
        any::<u32>().prop_map(|number| CauseDetail::CompatSyscall { number }),
        (address(), any::<[bool; 4]>()).prop_map(|(address, [write, user, fetch, protection])| {
            CauseDetail::PageFault {
                address,
                write,
                user,
                fetch,
                protection,
            }
        }),
        option::of(any::<u32>()).prop_map(|trap| CauseDetail::Exception { trap }),
        any::<u32>().prop_map(|irq| CauseDetail::DeviceIrq {
            irq,
            handler: Some(Address(1)),
        }),
        Just(CauseDetail::Nmi { handler: None }),
        select(plain).prop_map(CauseDetail::Plain),
    ]
}

fn kin() -> impl Strategy<Value = Kin> {
    let process = || any::<u32>().prop_map(Pid);
    (process(), any::<bool>(), option::of((process(), shared()))).prop_map(
        |(pid, worker, parent)| Kin {
            pid,
            worker,
            parent,
        },
    )
}

fn activity() -> BoxedStrategy<ActivityItem> {
    (
        select(Activity::ALL),
        any::<u32>(),
        option::of(address()),
        option::of(shared()),
        option::of(nanos()),
        option::of(shared()),
        option::of(kin()),
        option::of(origin()),
    )
        .prop_map(
            |(kind, number, address, comm, net, name, kin, origin)| ActivityItem {
                kind,
                number,
                address,
                comm,
                net,
                name,
                kin: kin.filter(|_| kind == Activity::Switch),
                origin,
            },
        )
        .boxed()
}

fn place() -> impl Strategy<Value = Function> {
    // A name is never an address.
    let named =
        (option::of(address()), "[a-z_]{1,12}(\\+0x[0-9a-f]{1,3})?").prop_map(|(address, name)| {
            Function {
                address,
                name: Some(name.into()),
            }
        });
    let bare = address().prop_map(|address| Function {
        address: Some(address),
        name: None,
    });
    prop_oneof![named, bare]
}

fn sender() -> impl Strategy<Value = Box<Sender>> {
    (
        (
            select(Via::ALL),
            option::of(number()),
            option::of(any::<u32>()),
            any::<bool>(),
        ),
        option::of(task()),
        option::of(place()),
        option::of(place()),
        (vec(place(), 0..3), vec(shared(), 0..2)),
    )
        .prop_map(
            |((via, at, cpu, inferred), task, callback, callsite, (stack, user_stack))| {
                Box::new(Sender {
                    via,
                    at: at.map(MonoNanos),
                    cpu: cpu.map(Cpu),
                    task,
                    callback,
                    callsite,
                    stack,
                    user_stack: user_stack.into(),
                    inferred,
                })
            },
        )
}

fn origin() -> BoxedStrategy<Origin> {
    // Boxed, as others: strategies of strategies of strategies overflow a test's stack.
    prop_oneof![
        Just(Origin::Task),
        Just(Origin::Device),
        Just(Origin::Unknown),
        sender().prop_map(Origin::Remote),
        sender().prop_map(Origin::Tracer),
        option::of(sender()).prop_map(Origin::Kernel),
    ]
    .boxed()
}

pub(crate) fn breach() -> BoxedStrategy<Breach> {
    let when = (number(), any::<u32>(), option::of(nanos()), nanos());
    let how = (select(End::ALL), option::of(any::<bool>()), address());
    let why = (
        cause(),
        option::of(shared()),
        option::of(shared()),
        option::of(nanos()),
    );
    let place = (
        option::of(shared()),
        option::of(shared()),
        vec(shared(), 0..2),
    );
    let then = (vec(activity(), 0..4), any::<u8>(), vec(origin(), 1..4));
    let remedy = option::of("[a-z]{1,6}(-[a-z0-9]{1,6})?");
    (1..EXACT, when, how, task(), (why, place), then, remedy)
        .prop_map(
            |(
                seq,
                (at, cpu, duration, idle),
                (end, section, ip),
                task,
                ((cause, cause_name, cause_handler, cause_net), (location, source, inlined)),
                (activities, dropped_activities, origins),
                remedy,
            )| Breach {
                seq: Seq(seq),
                at: MonoNanos(at),
                cpu: Cpu(cpu),
                duration,
                idle,
                end,
                section,
                task,
                cause,
                cause_name,
                cause_handler,
                cause_net,
                ip,
                location,
                source,
                inlined: inlined.into(),
                activities,
                dropped_activities,
                origins,
                remedy: remedy.as_deref().and_then(RuleId::new),
            },
        )
        .boxed()
}

fn detection() -> impl Strategy<Value = Detection> {
    select(vec![Detection::ContextTracking, Detection::Vectors])
}

fn verdict() -> impl Strategy<Value = ProbeVerdict> {
    let state = prop_oneof![
        Just(ProbeState::Attached),
        text().prop_map(|why| ProbeState::Absent { why }),
        text().prop_map(|why| ProbeState::Failed { why }),
    ];
    ("[a-z_]{1,12}", state).prop_map(|(name, state)| ProbeVerdict {
        name: name.into(),
        state,
    })
}

pub(super) fn header() -> impl Strategy<Value = Header> {
    (
        (text(), text(), text(), option::of(any::<bool>())),
        vec((any::<u32>().prop_map(Cpu), detection()), 0..3),
        vec(text(), 0..2),
        vec(any::<u32>().prop_map(Cpu), 0..3),
        vec(verdict(), 0..4),
        number(),
    )
        .prop_map(
            |((host, kernel, arch, no_hz_full), cpus, spots, housekeeping, probes, at)| Header {
                host,
                kernel,
                arch,
                no_hz_full,
                cpus,
                blind_spots: spots.into_iter().map(Into::into).collect(),
                housekeeping,
                probes,
                at: MonoNanos(at),
                anchor: ANCHOR,
            },
        )
}

fn watched_set() -> impl Strategy<Value = WatchedSet> {
    (
        vec((any::<u32>().prop_map(Cpu), select(&CpuChange::ALL)), 1..3),
        vec((any::<u32>().prop_map(Cpu), detection()), 0..3),
        vec(text(), 0..2),
        vec(any::<u32>().prop_map(Cpu), 0..3),
        vec(verdict(), 0..2),
        number(),
    )
        .prop_map(
            |(changes, cpus, spots, housekeeping, probes, at)| WatchedSet {
                at: MonoNanos(at),
                changes,
                cpus,
                blind_spots: spots.into_iter().map(Into::into).collect(),
                housekeeping,
                probes,
            },
        )
}

fn cpu_summary() -> impl Strategy<Value = CpuSummary> {
    let cause = (
        select(Cause::ALL),
        number(),
        [(); 4].map(|()| option::of(nanos())),
    )
        .prop_map(|(cause, count, [total, max, p50, p99])| CauseSummary {
            cause,
            count,
            total,
            max,
            p50,
            p99,
        });
    let known = (
        option::of(nanos()),
        option::of(nanos()),
        option::of(number()),
    );
    let all = (any::<u32>(), vec(number(), 8), known, vec(cause, 0..3));
    all.prop_map(
        |(cpu, numbers, (kernel, max, defects), causes)| CpuSummary {
            cpu: Cpu(cpu),
            entries: numbers[0],
            attributed: numbers[1],
            unattributed: numbers[2],
            filtered: numbers[3],
            lost: numbers[4],
            open: numbers[5],
            kernel,
            idle: Nanos(numbers[6]),
            away: Nanos(numbers[7]),
            max,
            defects,
            causes,
        },
    )
}

fn summary() -> BoxedStrategy<Summary> {
    let program =
        (text(), number(), nanos()).prop_map(|(name, runs, run)| ProgramRuns { name, runs, run });
    let tracer = (
        (number(), option::of(number()), option::of(number())),
        option::of(number()),
        option::of(number()),
        vec((text(), number()), 0..3),
        option::of(vec(program, 0..3)),
    )
        .prop_map(
            |(
                (breaches, lost_senders, lost_user_stacks),
                attach_breaches,
                detach_breaches,
                missed_runs,
                programs,
            )| TracerSummary {
                breaches,
                attach_breaches,
                detach_breaches,
                lost_senders,
                lost_user_stacks,
                missed_runs,
                programs,
            },
        );
    (number(), vec(cpu_summary(), 0..3), tracer)
        .prop_map(|(at, cpus, tracer)| Summary {
            at: MonoNanos(at),
            cpus,
            tracer,
        })
        .boxed()
}

/// Any event but a header.
fn killed_by() -> impl Strategy<Value = KilledBy> {
    prop_oneof![
        Just(KilledBy::StrictMode),
        Just(KilledBy::Tracer),
        Just(KilledBy::Task),
        Just(KilledBy::Kernel),
        Just(KilledBy::Unknown),
        (any::<u32>(), task()).prop_map(|(cpu, task)| KilledBy::Remote(Signaller {
            cpu: Cpu(cpu),
            task
        })),
    ]
}

fn unlogged() -> impl Strategy<Value = Unlogged> {
    (
        number(),
        option::of(nanos()),
        cause(),
        option::of(shared()),
        (address(), option::of(shared()), option::of(shared())),
    )
        .prop_map(
            |(at, duration, cause, cause_name, (ip, location, source))| Unlogged {
                at: MonoNanos(at),
                duration,
                cause,
                cause_name,
                ip,
                location,
                source,
            },
        )
}

fn kill() -> impl Strategy<Value = Kill> {
    let who = (
        number(),
        any::<u32>(),
        (task(), any::<bool>()),
        1..=64_u32,
        any::<bool>(),
    );
    let why = (
        killed_by(),
        option::of(any::<i32>()),
        option::of(number()),
        vec(number(), 0..4),
    );
    let entries = (option::of(unlogged()), vec(unlogged(), 0..3));
    (who, why, entries, vec(shared(), 0..3)).prop_map(
        |((at, cpu, task, signal, fatal), (by, code, breach, history), entries, stack)| Kill {
            at: MonoNanos(at),
            cpu: Cpu(cpu),
            task: task.0,
            of_command: task.1,
            signal: Signal::new(signal).unwrap_or(Signal::KILL),
            fatal,
            by,
            code,
            breach: breach.map(Seq),
            history: history.into_iter().map(Seq).collect(),
            entry: entries.0,
            unlogged: entries.1,
            user_stack: stack.into(),
        },
    )
}

pub(crate) fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        6 => breach().prop_map(|breach| Event::Breach(Box::new(breach))),
        1 => (option::of(number()), nanos(), number(), any::<u32>()).prop_map(
            |(breach, away, at, tid)| Event::Back {
                breach: breach.map(Seq),
                away,
                at: MonoNanos(at),
                tid: Tid(tid),
            }
        ),
        1 => (any::<u32>(), number(), number()).prop_map(|(cpu, records, at)| Event::Lost {
            cpu: Cpu(cpu),
            records,
            at: MonoNanos(at),
        }),
        1 => watched_set().prop_map(Event::Watched),
        1 => (task(), any::<[u32; 2]>(), number()).prop_map(|(task, [from, to], at)| Event::Moved {
            task,
            from: Cpu(from),
            to: Cpu(to),
            at: MonoNanos(at),
        }),
        1 => kill().prop_map(|kill| Event::Kill(Box::new(kill))),
        1 => summary().prop_map(Event::Summary),
    ]
}

pub(crate) fn plain_header() -> Header {
    Header {
        host: "rt".to_owned(),
        kernel: "6.12.1".to_owned(),
        arch: "x86_64".to_owned(),
        no_hz_full: None,
        cpus: vec![(Cpu(1), Detection::ContextTracking)],
        blind_spots: Vec::new(),
        housekeeping: vec![Cpu(0)],
        probes: Vec::new(),
        at: MonoNanos(5_000_000_000),
        anchor: ANCHOR,
    }
}

/// A breach that holds no more than the log does.
pub(crate) fn plain_breach() -> Breach {
    Breach {
        cause: CauseDetail::Plain(Cause::LocalTimer),
        activities: vec![ActivityItem {
            kind: Activity::Tick,
            number: 1 << 2,
            address: None,
            comm: None,
            net: Some(Nanos(812)),
            name: Some("SCHED".into()),
            kin: None,
            origin: None,
        }],
        origins: vec![Origin::Kernel(None)],
        ..crate::event::breach::tests::breach()
    }
}

pub(crate) fn plain_summary() -> Summary {
    Summary {
        at: MonoNanos(6_000_000_000),
        cpus: Vec::new(),
        tracer: TracerSummary::default(),
    }
}
