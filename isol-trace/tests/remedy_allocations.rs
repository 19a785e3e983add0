//! Finding a remedy allocates nothing: a storm asks for a million a second.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
};

use isol_trace::{
    event::{
        ids::{Address, Cpu, MonoNanos, Nanos, RuleId, Seq, Tid},
        model::{Breach, Cause, CauseDetail, End, Origin, TaskId},
    },
    remedy::Rules,
};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, which counts what each thread asks for.
struct Counting;

// SAFETY: everything is passed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps the promises that `alloc` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the promises that `dealloc` asks for.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn breach(cause: CauseDetail, name: Option<&str>) -> Breach {
    Breach {
        seq: Seq(1),
        at: MonoNanos(0),
        cpu: Cpu(1),
        duration: None,
        idle: Nanos(0),
        end: End::Return,
        section: None,
        task: TaskId {
            pid: None,
            tid: Tid(7),
            comm: None,
        },
        cause,
        cause_name: name.map(Into::into),
        cause_handler: None,
        cause_net: None,
        ip: Address(0),
        location: None,
        source: None,
        inlined: std::sync::Arc::default(),
        activities: Vec::new(),
        dropped_activities: 0,
        origins: vec![Origin::Task],
        remedy: None,
    }
}

#[test]
fn finding_a_remedy_allocates_nothing() {
    let rules = Rules::embedded().expect("the table is valid");
    let syscall = CauseDetail::Syscall {
        number: None,
        args: None,
    };
    let breaches = [
        breach(syscall.clone(), Some("getpid")),
        breach(syscall.clone(), Some("no_such_call")),
        breach(syscall, None),
        breach(CauseDetail::Plain(Cause::Reschedule), None),
    ];
    let before = ALLOCATIONS.get();
    let kept = Box::new(0_u64);
    assert_eq!(ALLOCATIONS.get(), before + 1, "the allocator counts");
    drop(kept);
    let before = ALLOCATIONS.get();
    let found = breaches.each_ref().map(|breach| {
        let rule = rules.find(breach);
        rule.map(|rule| rule.id.clone())
    });
    assert_eq!(ALLOCATIONS.get(), before);
    let names = found.each_ref().map(|id| id.as_ref().map(RuleId::as_str));
    assert_eq!(
        names,
        [
            Some("syscall-identity"),
            Some("syscall"),
            Some("syscall"),
            Some("reschedule")
        ]
    );
}
