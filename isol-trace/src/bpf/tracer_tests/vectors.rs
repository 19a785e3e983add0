//! Entries that are derived from vectors.

use super::*;

/// A fault of the current task at an address, by a read of user mode.
const FAULT: [u64; 3] = [0x1000, 0, 4];

fn ends(bench: &mut Bench) -> Vec<End> {
    let breaches = bench.breaches();
    breaches.iter().map(|breach| breach.end).collect()
}

/// Runs a program by the same system call as ever, from deeper in the stack.
#[inline(never)]
fn run_elsewhere(bench: &mut Bench, program: &str) {
    let deeper = std::hint::black_box([0_u8; 256]);
    bench.run(program, &[]);
    std::hint::black_box(deeper);
}

/// Nothing marks the end of a fault: a task whose registers are still those of its fault dies in it.
#[test]
#[ignore = "needs CAP_BPF and CAP_PERFMON"]
fn a_task_that_dies_where_it_left_user_mode_dies_in_that_entry() {
    let mut bench = Bench::new(|request| {
        request.watched = vec![(Cpu(CPU), Detection::Vectors)];
    });
    bench.tracer.arm().unwrap();
    for program in ["raw_page_fault_user", "raw_sched_process_exit"] {
        bench.run(program, &FAULT);
    }
    assert_eq!(ends(&mut bench), [End::Exited]);
    bench.run("raw_page_fault_user", &FAULT);
    run_elsewhere(&mut bench, "raw_sched_process_exit");
    assert_eq!(ends(&mut bench), [End::Return], "it has been back");
    for program in [
        "raw_local_timer_entry",
        "raw_local_timer_exit",
        "raw_sched_process_exit",
    ] {
        bench.run(program, &[]);
    }
    assert_eq!(ends(&mut bench), [End::Exited], "a timer's signal");
    bench.run("raw_nmi_handler", &[0xaaaa, 100, 0]);
    bench.run("raw_sched_process_exit", &[]);
    assert_eq!(ends(&mut bench), [End::Return], "an NMI delivers no signal");
    assert_eq!(bench.snapshot().ledger.tainted, 0);
}
