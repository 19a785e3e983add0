//! Isolated sections: how they begin and end.

use isol_trace_common::config::isolation;

use super::*;

/// Another task departs from and goes to the watched CPU's user mode.
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
        let mut bench = Bench::new(|request| request.section_only = section_only);
        bench.run("raw_user_enter", &[]);
        bench.tracer.arm().unwrap();
        bench.run("raw_user_exit", &[]);
        for (operation, inside) in [(isolation::ENTER, true), (isolation::LEAVE, false)] {
            bench.in_section_call(operation);
            another_task_passes(&bench);
            bench.run("raw_user_enter", &[]);
            let _before = bench.events();
            bench.run("raw_user_exit", &[]);
            bench.run("raw_user_enter", &[]);
            let sections: Vec<_> = bench.breaches().iter().map(|it| it.section).collect();
            if section_only && !inside {
                assert_eq!(sections, []);
            } else {
                assert_eq!(sections, [Some(inside)], "{section_only} {operation}");
            }
            bench.run("raw_user_exit", &[]);
        }
    }
}

/// What a filter leaves out is not away, whatever becomes of its section.
#[test]
#[ignore = "needs CAP_BPF and CAP_PERFMON"]
fn the_return_from_a_call_that_was_left_out_is_not_told() {
    for section_only in [false, true] {
        let mut bench = Bench::new(|request| request.section_only = section_only);
        bench.run("raw_user_enter", &[]);
        bench.tracer.arm().unwrap();
        bench.run("raw_user_exit", &[]);
        bench.in_section_call(isolation::ENTER);
        another_task_passes(&bench);
        bench.run("raw_user_enter", &[]);
        let events = bench.events();
        let backs = events.iter().filter(|it| matches!(it, Event::Back { .. }));
        assert_eq!(backs.count(), usize::from(!section_only), "{events:?}");
        let ledger = bench.snapshot().ledger;
        assert_eq!(ledger.away_ns == 0, section_only);
        assert_eq!(ledger.tainted, 0);
    }
}
