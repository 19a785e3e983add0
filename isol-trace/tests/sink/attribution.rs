//! What the attributor adds to a breach, on a tree built for it.

use std::{fs, path::Path};

use crate::attributor::{with_user_symbols, with_user_symbols_of};
use isol_trace::{
    arch::Arch,
    attrib::{Attributor, Options},
    event::{
        assemble::Assembler,
        entry::{KernelActivity, KernelEntry},
        ids::{Address, Cpu, MonoNanos, Nanos, Pid, Seq, Tid},
        model::{Activity, Breach, Cause, CauseDetail, End, Function, Origin, TaskId, Via},
        origin::{RawOrigin, RawSender},
        raw::{ActivityOrigin, RawBreach},
    },
    host::cpu_list::CpuSet,
};
use isol_trace_common::{record::Kind, user_stack::UserStack};
use zerocopy::IntoBytes as _;

const KALLSYMS: &str = "\
ffffffff81001000 t tick_nohz_handler
ffffffff81002000 t tick_sched_timer
ffffffff81003000 t hrtimer_wakeup
ffffffff81004000 t clocksource_watchdog
ffffffff81005000 t perf_event_nmi_handler
ffffffffc0201000 t vring_interrupt\t[virtio_ring]
";

const TICK: Address = Address(0xffff_ffff_8100_1000);
const OLD_TICK: Address = Address(0xffff_ffff_8100_2000);
const WAKEUP: Address = Address(0xffff_ffff_8100_3000);
const WATCHDOG: Address = Address(0xffff_ffff_8100_4000);
const NMI: Address = Address(0xffff_ffff_8100_5000);
const VRING: Address = Address(0xffff_ffff_c020_1000);

fn tree() -> tempfile::TempDir {
    let root = tempfile::tempdir().expect("a folder");
    let irq = root.path().join("sys/kernel/irq/36");
    fs::create_dir_all(&irq).expect("a folder");
    fs::write(irq.join("actions"), "virtio1-req.0\n").expect("a file");
    fs::create_dir(root.path().join("proc")).expect("a folder");
    fs::write(root.path().join("proc/kallsyms"), KALLSYMS).expect("a file");
    root
}

fn attributor(root: &Path) -> Attributor {
    let options = Options {
        arch: Some(Arch::X86_64),
        user_symbols: false,
        ..Options::default()
    };
    Attributor::new(root, &options).expect("nothing can fail yet")
}

/// The breach with its names, those that have to be looked up among them.
fn named(attributor: &mut Attributor, raw: RawBreach) -> Breach {
    let lookup = attributor.look_up(Box::new(raw));
    attributor.wait(lookup.awaited(), std::time::Duration::from_mins(1));
    assert!(attributor.is_there(lookup.awaited()));
    *attributor.breach(lookup)
}

/// A breach as the kernel's records give it: without names.
fn unnamed(cause: CauseDetail, activities: Vec<KernelActivity>) -> RawBreach {
    RawBreach {
        seq: Seq(4811),
        asked: vec![ActivityOrigin::default(); activities.len()],
        entry: KernelEntry {
            at: MonoNanos(1_000),
            cpu: Cpu(1),
            duration: Some(Nanos(2_000)),
            idle: Nanos(0),
            end: End::Return,
            section: false,
            task: TaskId {
                pid: None,
                tid: Tid(4711),
                comm: None,
            },
            cause,
            cause_net: None,
            cause_began: None,
            user_since: None,
            ip: Address(0x40_1136),
            activities,
            dropped_activities: 0,
        },
        origins: vec![RawOrigin::Unknown],
    }
}

fn item(kind: Activity, number: u32, address: Option<Address>) -> KernelActivity {
    KernelActivity {
        kind,
        number,
        address,
        key: None,
        began: None,
        comm: None,
        net: None,
        perf_event: None,
    }
}

fn filled(cause: CauseDetail, activities: Vec<KernelActivity>) -> Breach {
    let root = tree();
    named(&mut attributor(root.path()), unnamed(cause, activities))
}

#[test]
fn a_tasks_own_causes_have_names() {
    let breach = filled(
        CauseDetail::Syscall {
            number: Some(39),
            args: None,
        },
        Vec::new(),
    );
    assert_eq!(breach.cause_name.as_deref(), Some("getpid"));
    let breach = filled(CauseDetail::Exception { trap: Some(13) }, Vec::new());
    assert_eq!(breach.cause_name.as_deref(), Some("general_protection"));
}

#[test]
fn a_named_breach_has_its_remedy_and_another_has_none() {
    let remedy = |cause, activities| {
        let breach = filled(cause, activities);
        breach.remedy.map(|rule| rule.to_string())
    };
    let timer = CauseDetail::Plain(Cause::LocalTimer);
    let watchdog = item(Activity::Timer, 0, Some(WATCHDOG));
    assert_eq!(
        remedy(timer.clone(), vec![watchdog]).as_deref(),
        Some("clocksource-watchdog")
    );
    let tick = item(Activity::Hrtimer, 0, Some(TICK));
    let scheduler = item(Activity::Tick, 1 << 2, None);
    assert_eq!(
        remedy(timer.clone(), vec![tick, scheduler]).as_deref(),
        Some("tick-sched")
    );
    let getpid = CauseDetail::Syscall {
        number: Some(39),
        args: None,
    };
    assert_eq!(
        remedy(getpid, Vec::new()).as_deref(),
        Some("syscall-identity")
    );
    assert_eq!(remedy(CauseDetail::Plain(Cause::Unknown), Vec::new()), None);
}

#[test]
fn what_has_no_number_has_no_name() {
    let breach = filled(
        CauseDetail::Syscall {
            number: None,
            args: None,
        },
        Vec::new(),
    );
    assert_eq!(breach.cause_name, None);
    let breach = filled(CauseDetail::Exception { trap: None }, Vec::new());
    assert_eq!(breach.cause_name, None);
}

#[test]
fn a_device_has_its_action_and_its_handler() {
    let breach = filled(
        CauseDetail::DeviceIrq {
            irq: 36,
            handler: Some(VRING),
        },
        Vec::new(),
    );
    assert_eq!(breach.cause_name.as_deref(), Some("virtio1-req.0"));
    assert_eq!(
        breach.cause_handler.as_deref(),
        Some("vring_interrupt [virtio_ring]")
    );
}

#[test]
fn an_nmi_is_named_by_its_handler() {
    let breach = filled(CauseDetail::Nmi { handler: Some(NMI) }, Vec::new());
    assert_eq!(breach.cause_name.as_deref(), Some("perf_event_nmi_handler"));
    assert_eq!(breach.cause_handler, breach.cause_name);
}

#[test]
fn a_sender_has_its_places_named() {
    let root = tree();
    let mut raw = unnamed(CauseDetail::Plain(Cause::CallFunction), Vec::new());
    raw.origins = vec![
        Origin::Unknown,
        Origin::Remote(Box::new(RawSender {
            via: Via::CrossCall,
            at: Some(raw.entry.at),
            cpu: Some(Cpu(0)),
            task: None,
            unsure: false,
            callback: Some(WAKEUP),
            callsite: Some(Address(WATCHDOG.0 + 0x1f)),
            stack: vec![VRING, Address(1)],
            inferred: false,
        })),
    ];
    let breach = named(&mut attributor(root.path()), raw);
    let sender = breach.origins[1].sender().expect("a sender");
    let name = |place: &Function| place.name.as_deref().map(str::to_owned);
    assert_eq!(
        sender.callback.as_ref().and_then(name).as_deref(),
        Some("hrtimer_wakeup")
    );
    assert_eq!(
        sender.callsite.as_ref().and_then(name).as_deref(),
        Some("clocksource_watchdog+0x1f")
    );
    let stack: Vec<_> = sender.stack.iter().map(name).collect();
    assert_eq!(
        stack,
        [Some("vring_interrupt [virtio_ring]".to_owned()), None]
    );
}

#[test]
fn the_ticks_timer_is_reported_as_the_tick() {
    for address in [TICK, OLD_TICK] {
        let breach = filled(
            CauseDetail::Plain(Cause::LocalTimer),
            vec![item(Activity::Hrtimer, 0, Some(address))],
        );
        assert_eq!(breach.activities[0].kind, Activity::Tick);
    }
    let breach = filled(
        CauseDetail::Plain(Cause::LocalTimer),
        vec![
            item(Activity::Hrtimer, 0, Some(WAKEUP)),
            item(Activity::Timer, 0, Some(TICK)),
        ],
    );
    assert_eq!(breach.activities[0].kind, Activity::Hrtimer);
    assert_eq!(breach.activities[1].kind, Activity::Timer, "only a hrtimer");
}

#[test]
fn activities_have_the_names_of_their_kind() {
    let switched = KernelActivity {
        comm: Some("ksoftirqd/1".into()),
        ..item(Activity::Switch, 19, None)
    };
    let breach = filled(
        CauseDetail::Plain(Cause::LocalTimer),
        vec![
            item(Activity::Irq, 36, Some(VRING)),
            item(Activity::Irq, 99, Some(VRING)),
            item(Activity::Vector, Cause::Reschedule as u32, None),
            item(Activity::Softirq, 1, None),
            item(Activity::Timer, 0, Some(WATCHDOG)),
            item(Activity::Tick, 0b100, None),
            item(Activity::Signal, 11, None),
            item(Activity::TlbFlush, 1, None),
            item(Activity::Fault, 0, Some(Address(0x1000))),
            item(Activity::Work, 0, Some(Address(0xffff_ffff_0000_0000))),
            switched,
        ],
    );
    let names: Vec<_> = breach
        .activities
        .iter()
        .map(|item| item.name.as_deref())
        .collect();
    assert_eq!(
        names,
        [
            Some("virtio1-req.0"),
            Some("vring_interrupt [virtio_ring]"),
            Some("reschedule"),
            Some("TIMER"),
            Some("clocksource_watchdog"),
            Some("SCHED"),
            Some("SIGSEGV"),
            Some("remote shootdown"),
            None,
            None,
            Some("ksoftirqd/1"),
        ]
    );
}

#[test]
fn hidden_symbols_are_complained_of_once() {
    let root = tree();
    fs::write(
        root.path().join("proc/kallsyms"),
        "0000000000000000 T _text\n",
    )
    .expect("a file");
    let mut attributor = attributor(root.path());
    assert!(attributor.warnings().is_empty(), "nothing was asked yet");
    attributor.prepare(&CpuSet::new());
    let complaints = attributor.warnings();
    assert_eq!(complaints.len(), 1);
    assert!(
        complaints[0].contains("kernel.kptr_restrict"),
        "{complaints:?}"
    );
    assert!(attributor.warnings().is_empty(), "told once");
}

/// This test's own process: its breach has its function and its line.
#[test]
fn a_breach_of_this_process_has_its_place() {
    let mut attributor = with_user_symbols();
    let here = a_breach_of_this_process_has_its_place as *const () as u64;
    let mut raw = unnamed(CauseDetail::Plain(Cause::Reschedule), Vec::new());
    raw.entry.task.pid = Some(Pid(std::process::id()));
    raw.entry.ip = Address(here);
    let breach = named(&mut attributor, raw);
    let location = breach.location.expect("this binary has symbols");
    assert!(
        location.contains("a_breach_of_this_process_has_its_place"),
        "{location}"
    );
    let source = breach.source.expect("this binary has debug information");
    assert!(source.starts_with("attribution.rs:"), "{source}");
}

/// A sender has left its stack.
fn leave(attributor: &mut Attributor, record: &UserStack) {
    let mut assembler = Assembler::new(Pid(1));
    // A ring's records lie at multiples of eight.
    let mut words = vec![0_u64; size_of::<UserStack>() / 8];
    words.as_mut_bytes().copy_from_slice(record.as_bytes());
    assert_eq!(assembler.record(Cpu(0), words.as_bytes()), Ok(()));
    for stack in assembler.take_stacks() {
        attributor.unwind(stack);
    }
}

/// A sender's copied stack, here its registers alone, is put in words for a task and not for an
/// interrupt in its time.
#[test]
fn a_sender_has_its_user_stack_and_an_interrupt_has_none() {
    let here = a_sender_has_its_user_stack_and_an_interrupt_has_none as *const () as u64;
    let record = UserStack {
        kind: Kind::UserStack as u8,
        at_ns: 1234,
        cpu: 0,
        tid: 9,
        pid: std::process::id(),
        ip: here,
        sp: 0x7fff_0000_0000,
        ..UserStack::EMPTY
    };
    let mut attributor = with_user_symbols();
    leave(&mut attributor, &record);
    let mut sender = RawSender {
        via: Via::Reschedule,
        at: Some(MonoNanos(1234)),
        cpu: Some(Cpu(0)),
        task: Some(TaskId {
            pid: Some(Pid(std::process::id())),
            tid: Tid(9),
            comm: None,
        }),
        unsure: false,
        callback: None,
        callsite: None,
        stack: Vec::new(),
        inferred: true,
    };
    let mut stack_of = |sender: &RawSender| {
        let mut raw = unnamed(CauseDetail::Plain(Cause::Reschedule), Vec::new());
        raw.origins = vec![Origin::Remote(Box::new(sender.clone()))];
        let breach = named(&mut attributor, raw);
        let sender = breach.origins[0].sender().expect("as before");
        sender.user_stack.clone()
    };
    let words = stack_of(&sender);
    let [frame] = &*words else {
        panic!("{words:?}")
    };
    assert!(
        frame.contains("a_sender_has_its_user_stack_and_an_interrupt_has_none"),
        "{frame}"
    );
    assert!(frame.contains(" (attribution.rs:"), "{frame}");
    let known = sender.at;
    sender.at = Some(MonoNanos(1235));
    assert!(stack_of(&sender).is_empty(), "another moment");
    sender.at = known;
    sender.task = None;
    assert!(stack_of(&sender).is_empty(), "an interrupt");
}

/// The origin of a breach of the task 4711, to which `asked` led.
fn origin_of(asked: RawOrigin) -> Origin {
    let root = tree();
    let mut raw = unnamed(CauseDetail::Plain(Cause::LocalTimer), Vec::new());
    raw.entry.task.pid = Some(Pid(4711));
    raw.origins = vec![asked];
    let mut origins = named(&mut attributor(root.path()), raw).origins;
    assert_eq!(origins.len(), 1);
    origins.remove(0)
}

/// What was asked while the task 4711 ran.
fn asked(via: Via, callback: Address) -> RawSender {
    RawSender {
        via,
        at: Some(MonoNanos(900)),
        cpu: Some(Cpu(1)),
        task: Some(TaskId {
            pid: Some(Pid(4711)),
            tid: Tid(4711),
            comm: None,
        }),
        unsure: false,
        callback: Some(callback),
        callsite: None,
        stack: Vec::new(),
        inferred: false,
    }
}

#[test]
fn a_timer_is_the_interrupted_tasks_or_the_kernels() {
    let own = origin_of(Origin::Kernel(Some(Box::new(asked(Via::Hrtimer, WAKEUP)))));
    assert_eq!(own, Origin::Task);
    let Origin::Kernel(Some(kernels)) =
        origin_of(Origin::Kernel(Some(Box::new(asked(Via::Hrtimer, TICK)))))
    else {
        panic!("the tick is the kernel's")
    };
    assert_eq!(kernels.task, None, "it only happened to run then");
    let remote = origin_of(Origin::Remote(Box::new(asked(Via::CrossCall, WAKEUP))));
    assert!(remote.sender().is_some_and(|it| it.task.is_some()));
}

#[test]
fn an_interrupt_in_the_tracers_time_is_not_the_tracer() {
    let root = tree();
    let entry = "ffffffff81006000 t asm_sysvec_apic_timer_interrupt\n";
    fs::write(root.path().join("proc/kallsyms"), entry).expect("a file");
    let mut attributor = attributor(root.path());
    for (via, expected) in [(Via::Reschedule, "remote"), (Via::Work, "kernel")] {
        let mut raw = unnamed(CauseDetail::Plain(Cause::Reschedule), Vec::new());
        let mut sender = asked(via, WATCHDOG);
        sender.unsure = true;
        sender.stack = vec![Address(0xffff_ffff_8100_6016)];
        let mut task = sender.clone();
        task.stack = vec![Address(1)];
        raw.origins = vec![
            Origin::Tracer(Box::new(sender)),
            Origin::Tracer(Box::new(task)),
        ];
        let origins = named(&mut attributor, raw).origins;
        assert_eq!(origins[0].word(), expected);
        assert!(origins[0].sender().is_some_and(|it| it.task.is_none()));
        assert_eq!(origins[1].word(), "tracer");
    }
}

/// A timer that the kernel armed while the task ran has no stack of that task.
#[test]
fn no_stack_is_asked_for_that_is_not_the_askers() {
    let root = tree();
    let mut attributor = with_user_symbols_of(root.path());
    let record = UserStack {
        kind: Kind::UserStack as u8,
        at_ns: 900,
        cpu: 1,
        tid: 4711,
        pid: 4711,
        ..UserStack::EMPTY
    };
    leave(&mut attributor, &record);
    let mut has_stacks = |callback| {
        let mut raw = unnamed(CauseDetail::Plain(Cause::LocalTimer), Vec::new());
        raw.entry.task.pid = Some(Pid(4711));
        raw.origins = vec![Origin::Kernel(Some(Box::new(asked(
            Via::Hrtimer,
            callback,
        ))))];
        attributor.look_up(Box::new(raw)).awaited().has_stacks()
    };
    assert!(!has_stacks(TICK), "the kernel's");
    assert!(!has_stacks(WAKEUP), "the interrupted task is the origin");
    // What it is for is not known: whoever armed it.
    assert!(has_stacks(Address(1)));
}
