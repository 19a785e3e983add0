//! Isolated sections: how they begin, and what breaches them.

use isol_trace_common::config::isolation;

use super::*;
use crate::event::kill::KilledBy;

/// Modes and flags of an activation (`include/uapi/linux/task_isolation.h` of the series in `kernel/patches`).
const SIGNAL: u64 = 1;
const NMI: u64 = 1 << 2;

/// A tracer whose task has just entered the kernel.
fn in_an_entry(section_only: bool) -> Bench {
    let mut bench = Bench::new(|request| request.section_only = section_only);
    bench.run("raw_user_enter", &[]);
    bench.tracer.arm().unwrap();
    bench.run("raw_user_exit", &[]);
    bench
}

/// Another task leaves user mode on the watched CPU, and returns to it.
fn another_task_passes(bench: &Bench) {
    let [exit, enter] = ["raw_user_exit", "raw_user_enter"].map(|it| bench.descriptor(it));
    // It has the affinity of this thread.
    std::thread::scope(|scope| {
        scope.spawn(|| {
            test_run(exit, &[0]);
            test_run(enter, &[0]);
        });
    });
}

#[test]
#[ignore = "needs CAP_BPF and CAP_PERFMON"]
fn a_section_begins_and_ends_though_its_calls_outlast_their_entries() {
    for section_only in [false, true] {
        let mut bench = in_an_entry(section_only);
        for (operation, inside) in [(isolation::ENTER, true), (isolation::LEAVE, false)] {
            bench.in_section_call(operation);
            another_task_passes(&bench);
            bench.run("raw_user_enter", &[]);
            let _before = bench.events();
            bench.run("raw_user_exit", &[]);
            bench.run("raw_user_enter", &[]);
            let sections: Vec<_> = bench.breaches().iter().map(|it| it.section).collect();
            if section_only && !inside {
                assert!(sections.is_empty(), "{sections:?}");
            } else {
                assert_eq!(sections, [inside], "{section_only} {operation}");
            }
            bench.run("raw_user_exit", &[]);
        }
    }
}

/// Anybody on a watched CPU may begin sections and sleep: as many as that is, nobody else's are forgotten,
/// nor how long somebody was away.
#[test]
#[ignore = "needs CAP_BPF and CAP_PERFMON"]
fn the_sections_of_thousands_of_threads_are_followed() {
    const THREADS: usize = 5000;
    let mut bench = in_an_entry(false);
    let [exit, enter] = ["raw_user_exit", "raw_user_enter"].map(|it| bench.descriptor(it));
    let (done, is_done) = std::sync::mpsc::channel();
    let (mut backs, mut sections) = (0, Vec::new());
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                let (go, goes) = std::sync::mpsc::channel::<()>();
                let done = done.clone();
                let does = move || {
                    // In the call; back from it, and once more in the kernel, in its section.
                    for runs in [[exit].as_slice(), &[enter, exit, enter]] {
                        if goes.recv().is_err() {
                            return;
                        }
                        for &program in runs {
                            test_run(program, &[0]);
                        }
                        done.send(()).unwrap();
                    }
                };
                let builder = std::thread::Builder::new().stack_size(64 << 10);
                builder.spawn_scoped(scope, does).unwrap();
                go
            })
            .collect();
        for thread in &threads {
            thread.send(()).unwrap();
            is_done.recv().unwrap();
            bench.in_section_call(isolation::ENTER);
            let _switched = bench.events();
        }
        for thread in &threads {
            thread.send(()).unwrap();
            is_done.recv().unwrap();
            for event in bench.events() {
                match event {
                    RawEvent::Complete(Event::Back { .. }) => backs += 1,
                    RawEvent::Breach(breach) if breach.entry.end == End::Return => {
                        sections.push(breach.entry.section);
                    }
                    _ => {}
                }
            }
        }
    });
    assert_eq!((backs, bench.snapshot().ledger.lost_notes), (THREADS, 0));
    assert_eq!(sections, [true; THREADS]);
}

/// What a filter leaves out is not away, whatever becomes of its section.
#[test]
#[ignore = "needs CAP_BPF and CAP_PERFMON"]
fn the_return_from_a_call_that_was_left_out_is_not_told() {
    for section_only in [false, true] {
        let mut bench = in_an_entry(section_only);
        bench.in_section_call(isolation::ENTER);
        another_task_passes(&bench);
        bench.run("raw_user_enter", &[]);
        let events = bench.events();
        let backs = events
            .iter()
            .filter(|it| matches!(it, RawEvent::Complete(Event::Back { .. })));
        assert_eq!(backs.count(), usize::from(!section_only), "{events:?}");
        let ledger = bench.snapshot().ledger;
        assert_eq!(ledger.away_ns == 0, section_only);
        assert_eq!(ledger.tainted, 0);
    }
}

/// Task isolation tells of an NMI before any of its handlers has run, and ends the section with it.
#[test]
#[ignore = "needs CAP_BPF and CAP_PERFMON"]
fn the_signal_for_an_nmi_names_the_nmi() {
    let nmi = |bench: &mut Bench| {
        bench.run("raw_nmi_handler", &[0xaaaa, 100, 0]);
        bench.run("raw_nmi_handler", &[0xbbbb, 100, 1]);
    };
    let signal = 10;
    let mut bench = Bench::new(|_| ());
    bench.tracer.arm().unwrap();
    bench.run("raw_task_isolation_enter", &[0, SIGNAL, NMI, 0, signal]);
    // One that isolation is not told of: it still settles when the next comes.
    nmi(&mut bench);
    bench.run("raw_task_isolation_breach", &[0, 0, u64::MAX, 1]);
    bench.run("raw_task_isolation_exit", &[0, 0]);
    nmi(&mut bench);
    // The interrupt by which the signal is sent.
    bench.run("raw_user_exit", &[]);
    bench.run("raw_signal_deliver", &[signal, 0, 0]);
    bench.run("raw_user_enter", &[]);
    let (mut breaches, mut kills) = (Vec::new(), Vec::new());
    for event in bench.events() {
        match event {
            RawEvent::Breach(breach) => breaches.push(breach),
            RawEvent::Kill(kill) => kills.push(kill),
            other @ RawEvent::Complete(_) => panic!("{other:?}"),
        }
    }
    let causes: Vec<_> = breaches.iter().map(|it| it.entry.cause.cause()).collect();
    assert_eq!(causes, [Cause::Nmi, Cause::Nmi, Cause::Syscall]);
    let sections: Vec<_> = breaches.iter().map(|it| it.entry.section).collect();
    assert_eq!(sections, [true, true, false]);
    let claimed = CauseDetail::Nmi {
        handler: Some(crate::event::ids::Address(0xbbbb)),
    };
    assert_eq!(breaches[1].entry.cause, claimed);
    let [kill] = kills.as_slice() else {
        panic!("{kills:?}")
    };
    assert_eq!(kill.delivered.by, KilledBy::StrictMode);
    assert_eq!(kill.breach, Some(breaches[1].seq));
    let entry = kill.delivered.entry.as_ref().unwrap();
    assert_eq!(entry.cause.cause(), Cause::Nmi);
    assert_eq!(
        (entry.at, entry.ip),
        (breaches[1].entry.at, breaches[1].entry.ip)
    );
    assert_eq!(bench.snapshot().ledger.tainted, 0);
}

/// The signal tells of the entry that led to it, though there is no room for that entry's record.
#[test]
#[ignore = "needs CAP_BPF and CAP_PERFMON"]
fn a_signal_tells_of_its_entry_whose_record_was_lost() {
    let signal = 10;
    let mut bench = Bench::new(|request| request.ring_bytes = 4096);
    bench.tracer.arm().unwrap();
    for _ in 0..100 {
        bench.run("raw_user_exit", &[]);
        bench.run("raw_user_enter", &[]);
    }
    bench.run("raw_task_isolation_enter", &[0, SIGNAL, 0, 0, signal]);
    // Struck in one entry, and told of in it, or in the next.
    for is_in_it in [true, false] {
        bench.run("raw_user_exit", &[]);
        bench.run("raw_task_isolation_breach", &[0, 0, 0, 0]);
        if !is_in_it {
            bench.run("raw_user_enter", &[]);
            bench.run("raw_user_exit", &[]);
        }
        bench.run("raw_signal_deliver", &[signal, 0, 0]);
        bench.run("raw_user_enter", &[]);
    }
    let mut kills = Vec::new();
    for event in bench.events() {
        if let RawEvent::Kill(kill) = event {
            kills.push(kill);
        }
    }
    bench.assembler.finish(|kill| kills.push(Box::new(kill)));
    assert_eq!(kills.len(), 2, "{kills:?}");
    for kill in kills {
        assert_eq!(
            (&kill.delivered.by, kill.breach),
            (&KilledBy::StrictMode, None)
        );
        let entry = kill.delivered.entry.as_ref().unwrap();
        let CauseDetail::Syscall { number, args } = entry.cause else {
            panic!("{entry:?}")
        };
        assert_eq!(number.map(i64::from), Some(libc::SYS_bpf));
        assert!(args.is_some() && entry.ip.0 != 0 && entry.at < kill.delivered.at);
        let Nanos(lasted) = entry.duration.unwrap();
        assert!(lasted <= kill.delivered.at.0 - entry.at.0);
    }
}

/// An NMI that leads to no signal is one entry, too, whichever of its handlers claims it.
#[test]
#[ignore = "needs CAP_BPF and CAP_PERFMON"]
fn an_nmi_that_task_isolation_tells_of_is_one_entry() {
    let mut bench = Bench::new(|_| ());
    bench.tracer.arm().unwrap();
    bench.run("raw_task_isolation_enter", &[0, SIGNAL, 0, 0, 10]);
    for claims in [0, 1] {
        bench.run("raw_task_isolation_breach", &[0, 0, u64::MAX, 1]);
        bench.run("raw_nmi_handler", &[0xaaaa, 100, claims]);
        bench.run("raw_nmi_handler", &[0xbbbb, 100, 0]);
    }
    bench.run("raw_user_exit", &[]);
    bench.run("raw_signal_deliver", &[10, 0, 0]);
    bench.run("raw_user_enter", &[]);
    let breaches = bench.breaches();
    let handler = Some(crate::event::ids::Address(0xaaaa));
    let causes: Vec<_> = breaches.iter().map(|it| it.cause.clone()).collect();
    assert_eq!(
        causes[..2],
        [CauseDetail::Nmi { handler }, CauseDetail::Nmi { handler }]
    );
    assert_eq!(causes.len(), 3, "and the system call");
}
