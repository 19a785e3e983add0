//! A feed that strict mode ends, and what led to it.

use std::sync::Arc;

use isol_trace_common::{activity::Activity, cause::Cause, record::End, send::Via};

use crate::event::{
    breach::tests::breach,
    ids::{Address, Cpu, MonoNanos, Nanos, Pid, RuleId, Seq, Tid},
    model::{
        ActivityItem, Breach, CauseDetail, Event, Function, Kill, KilledBy, Origin, Sender, TaskId,
    },
    signal::Signal,
};

/// When the signal comes.
pub(super) const END: u64 = 9_000_000_000;

pub(super) fn task(pid: u32, tid: u32, comm: &str) -> TaskId {
    TaskId {
        pid: Some(Pid(pid)),
        tid: Tid(tid),
        comm: Some(comm.into()),
    }
}

pub(super) fn stack(frames: &[&str]) -> Arc<[Arc<str>]> {
    frames.iter().copied().map(Arc::from).collect()
}

/// The feed's breach of this number, so long before the signal.
pub(super) fn entry(seq: u64, before: u64) -> Breach {
    Breach {
        seq: Seq(seq),
        at: MonoNanos(END - before),
        cpu: Cpu(3),
        duration: Some(Nanos(2_104)),
        section: Some(true),
        task: task(1234, 1234, "feed"),
        cause: CauseDetail::Syscall {
            number: Some(1),
            args: Some([1, 0x7ffd_0000_1000, 12, 0, 8, 9]),
        },
        cause_name: Some("write".into()),
        ip: Address(0x7f00_0011_4a77),
        location: Some("[libc.so.6]+0x114a77".into()),
        origins: vec![Origin::Task],
        ..breach()
    }
}

/// The feed is killed by strict mode for its breach 17.
pub(super) fn kill() -> Kill {
    Kill {
        at: MonoNanos(END),
        cpu: Cpu(3),
        task: task(1234, 1234, "feed"),
        of_command: true,
        signal: Signal::KILL,
        fatal: true,
        by: KilledBy::StrictMode,
        code: None,
        breach: Some(Seq(17)),
        entry: None,
        history: [9, 11, 17].map(Seq).into(),
        unlogged: Vec::new(),
        user_stack: stack(&[
            "[libc.so.6]+0x114a77",
            "publish+0x2e (feed.rs:42)",
            "main+0x1f (feed.rs:10)",
            "[libc.so.6]+0x2a1ca",
        ]),
    }
}

/// The calls of the feed before its end.
pub(super) fn history() -> Vec<Event> {
    let earlier = Breach {
        cause: CauseDetail::Syscall {
            number: Some(228),
            args: Some([1, 0x7ffd_0000_1000, 0, 0, 0, 0]),
        },
        cause_name: Some("clock_gettime".into()),
        location: Some("now+0x11".into()),
        source: Some("feed.rs:33".into()),
        ..entry(9, 31_500_000)
    };
    let tick = Breach {
        cause: CauseDetail::Plain(Cause::LocalTimer),
        cause_name: None,
        duration: Some(Nanos(812)),
        end: End::Switched,
        ip: Address(0x0040_16de),
        location: None,
        ..entry(11, 1_400_000)
    };
    vec![logged(earlier), logged(tick)]
}

pub(super) fn logged(breach: Breach) -> Event {
    Event::Breach(Box::new(breach))
}

pub(super) fn killed(kill: Kill) -> Event {
    Event::Kill(Box::new(kill))
}

/// A thread of the same process has unmapped memory.
pub(super) fn shootdown() -> Breach {
    let function = |name: &str| Function {
        address: None,
        name: Some(name.into()),
    };
    let sender = Sender {
        via: Via::CrossCall,
        at: Some(MonoNanos(END - 5_600)),
        cpu: Some(Cpu(0)),
        task: Some(task(1234, 1241, "pool")),
        callback: Some(function("flush_tlb_func")),
        callsite: Some(function("smp_call_function_many_cond+0x1f")),
        stack: vec![
            function("smp_call_function_many_cond+0x1f"),
            function("__do_munmap+0x44"),
        ],
        user_stack: stack(&[
            "__munmap+0xb (syscall-template.S:120)",
            "shrink+0x2e (pool.c:88)",
            "pool_main+0x1f (pool.c:101)",
        ]),
        inferred: false,
    };
    Breach {
        end: End::Exited,
        cause: CauseDetail::Plain(Cause::CallFunction),
        cause_name: None,
        location: Some("spin+0x8".into()),
        source: Some("feed.c:11".into()),
        activities: vec![ActivityItem {
            kind: Activity::TlbFlush,
            number: 1,
            address: None,
            comm: None,
            net: Some(Nanos(812)),
            name: Some("remote shootdown".into()),
            kin: None,
            origin: None,
        }],
        origins: vec![Origin::Remote(Box::new(sender))],
        remedy: RuleId::new("tlb-munmap"),
        ..entry(17, 4_100)
    }
}
