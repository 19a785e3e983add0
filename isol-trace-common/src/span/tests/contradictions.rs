//! Stories of causes that come late, of clocks that go back, and of programs that fall
//! into one another's work.

use std::vec;

use super::{
    super::{CpuState, Phase, entry::UserExit},
    scenes::still,
    sim::{Op, Sim},
};
use crate::{
    activity::Activity,
    cause::Cause,
    record::{ACTIVITY_IS_CAUSE, End, FLAG_LATE_SYSCALL, FLAG_NO_DURATION},
};

fn back(sim: &Sim, by: u64) {
    sim.clock.set(sim.clock.get() - by);
}

fn tainted(sim: &Sim) -> u64 {
    sim.state.ledger.tainted.get()
}

/// Opens an entry without the driver, whose reference believes in clocks.
fn open(state: &CpuState, at_ns: u64) {
    state.claim();
    state.open(&UserExit {
        at_ns,
        tid: 1,
        ip: 0,
        sp: 0,
        syscall: None,
    });
}

#[test]
fn an_entry_that_ends_before_it_begins_is_tainted() {
    let sim = still();
    open(&sim.state, 1_000);
    assert!(sim.state.close(&sim, 999, End::Return).is_some());
    assert_eq!(sim.state.entry.duration_ns.get(), 0);
    assert_eq!(tainted(&sim), 1);
    sim.state.release();

    open(&sim.state, 1_000);
    assert!(sim.state.close(&sim, 1_000, End::Return).is_some());
    assert_eq!(tainted(&sim), 1, "no time at all is none");
}

#[test]
fn a_settling_entry_whose_clock_goes_back_is_tainted() {
    let sim = still();
    open(&sim.state, 1_000);
    sim.state.settle(999);
    assert_eq!(tainted(&sim), 1);
    assert_eq!(sim.state.entry.duration_ns.get(), 0);
}

#[test]
fn an_activity_whose_clock_goes_back_is_tainted() {
    let sim = still();
    open(&sim.state, 0);
    sim.state.begin(&sim, Activity::Irq, 0, 1, [0; 2]);
    back(&sim, 1);
    sim.state.end(&sim, Activity::Irq);
    assert_eq!(tainted(&sim), 1);
    assert_eq!(sim.state.entry.activities[0].net_ns.get(), 0);

    // More inside than there was room for.
    sim.state.begin(&sim, Activity::Irq, 0, 1, [0; 2]);
    sim.pass(10);
    sim.state.record(&sim, Activity::Nmi, 0, [0; 2], 11);
    sim.state.end(&sim, Activity::Irq);
    assert_eq!(tainted(&sim), 2);
    assert_eq!(sim.state.entry.activities[1].net_ns.get(), 0);
}

#[test]
fn idling_longer_than_the_whole_is_tainted() {
    let sim = still();
    open(&sim.state, 1_000);
    sim.state.entry.idle_ns.set(50);
    assert!(sim.state.close(&sim, 1_049, End::Return).is_some());
    assert_eq!(tainted(&sim), 1);
    assert_eq!(sim.ledger().kernel_ns, 0);
}

#[test]
fn the_first_cause_stays() {
    let sim = still();
    open(&sim.state, 0);
    assert!(sim.state.attribute(Cause::LocalTimer, 1, 2));
    assert!(!sim.state.attribute(Cause::Reschedule, 3, 4));
    assert_eq!(sim.state.cause(), Cause::LocalTimer as u8);
    assert_eq!(sim.state.entry.number.get(), 1);
    assert_eq!(sim.state.entry.subject.get(), 2);
    assert!(sim.state.attribute_late(Cause::Exception, 6));
    assert_eq!(sim.state.cause(), Cause::Exception as u8);
    assert_eq!(sim.state.entry.number.get(), 6);
    assert_eq!(sim.state.entry.subject.get(), 0);
}

#[test]
fn an_exception_does_not_replace_a_system_call_or_a_fault() {
    let sim = still();
    sim.enter_kernel(1, Some(39));
    assert!(!sim.state.attribute_late(Cause::Exception, 6));
    sim.exit_to_user(1, None);
    open(&sim.state, 0);
    assert!(sim.state.attribute(Cause::PageFault, 4, 0x10));
    assert!(!sim.state.attribute_late(Cause::Exception, 14));
    assert_eq!(sim.state.entry.subject.get(), 0x10);
}

#[test]
fn a_cause_is_demoted_wherever_it_is_listed() {
    let sim = still();
    sim.enter_kernel(1, None);
    sim.nmi(40, 1, true);
    sim.interrupt_entry(Cause::LocalTimer, Activity::Vector, 0);
    sim.activity_exit(Activity::Vector);
    let listed = &sim.state.entry.activities[1].head;
    assert_ne!(listed.get() >> 8 & u32::from(ACTIVITY_IS_CAUSE), 0);
    // `int 0x80` shows only at its end.
    sim.exit_to_user(1, Some(20));
    let entry = sim.only().entry;
    assert_eq!(entry.cause, Cause::Syscall as u8);
    assert_eq!(entry.number, 20);
    assert_eq!(entry.flags, FLAG_LATE_SYSCALL);
    assert_eq!(listed.get() >> 8 & u32::from(ACTIVITY_IS_CAUSE), 0);
}

#[test]
fn the_handlers_of_one_nmi_are_one_entry() {
    let sim = still();
    sim.current.set(1);
    sim.nmi(100, 0xa, false);
    assert_eq!(sim.state.phase(), Phase::Settling);
    sim.nmi(20, 0xb, true);
    sim.nmi(3, 0xc, false);
    sim.pass(900);
    sim.nmi(50, 0xa, true);
    sim.pass(900);
    sim.enter_kernel(1, Some(39));
    sim.nmi(7, 0xa, false);
    sim.nmi(9, 0xb, false);
    sim.nmi(11, 0xc, true);
    sim.exit_to_user(1, None);
    let seen: vec::Vec<_> = sim
        .entries()
        .iter()
        .map(|of| (of.cause, of.subject, of.duration_ns, of.activities))
        .collect();
    let nmi = Cause::Nmi as u8;
    let expected = [
        (nmi, 0xb, 123, 0),
        (nmi, 0xa, 50, 0),
        (Cause::Syscall as u8, 0, 27, 2),
    ];
    assert_eq!(seen, expected);
}

#[test]
fn an_nmi_on_an_idle_cpu_is_no_entry() {
    let sim = still();
    sim.current.set(0);
    sim.nmi(100, 0xa, true);
    assert_eq!(sim.state.phase(), Phase::Closed);
    assert_eq!(sim.ledger().entries, 0);
}

#[test]
fn a_program_that_opens_or_closes_is_left_alone() {
    let sim = still();
    sim.state.claim();
    sim.nmi(100, 0xa, true);
    sim.state.begin(&sim, Activity::Irq, 0, 0, [0; 2]);
    sim.state.end(&sim, Activity::Irq);
    sim.state.mark(&sim, Activity::Fault, 0, [0; 2]);
    assert!(!sim.state.attribute(Cause::Nmi, 0, 0));
    assert_eq!(sim.state.phase(), Phase::Busy);
    assert_eq!(sim.state.slots.get(), 0);
    assert_eq!(sim.state.accounted_ns.get(), 0);
}

#[test]
fn an_entry_that_settled_goes_on_with_its_whole_time() {
    let sim = still();
    open(&sim.state, 1_000);
    assert!(sim.state.attribute(Cause::LocalTimer, 0, 0));
    sim.state.settle(1_010);
    sim.state.begin(&sim, Activity::Irq, 0, 0, [0; 2]);
    assert_eq!(
        sim.state.slots.get(),
        0,
        "nothing is added while it settles"
    );
    sim.state.resume();
    sim.state.settle(1_200);
    assert!(sim.state.close_settled(End::Return).is_some());
    sim.state.release();
    assert_eq!(
        sim.ledger().causes[Cause::LocalTimer as usize].total_ns,
        200
    );
    assert_eq!(sim.state.phase(), Phase::Closed);
}

#[test]
fn an_end_that_was_not_seen_is_in_no_bucket() {
    let sim = still();
    open(&sim.state, 1_000);
    assert!(sim.state.attribute(Cause::PageFault, 6, 0));
    sim.state.untimed();
    sim.state.settle(9_000);
    assert!(sim.state.close_settled(End::Return).is_some());
    let [_, _, _, flags] = sim.state.entry.head.get().to_le_bytes();
    assert_eq!(flags, FLAG_NO_DURATION);
    let totals = sim.ledger().causes[Cause::PageFault as usize];
    assert_eq!((totals.count, totals.untimed, totals.total_ns), (1, 1, 0));
}

/// Interrupts that fall into every try to read clock and sum together: one of them, and
/// no more, may end up on the wrong side.
#[test]
fn a_net_time_is_off_by_one_interrupt_at_worst() {
    let sim = still();
    open(&sim.state, 0);
    sim.insistent.set(true);
    sim.state.begin(&sim, Activity::Softirq, 0, 0, [0; 2]);
    sim.pass(1_000);
    let nmi = |places| (places, Op::Nmi(10));
    *sim.pending.borrow_mut() = (0..6).map(|_| nmi(0)).collect();
    sim.state.end(&sim, Activity::Softirq);
    assert!(sim.pending.borrow().is_empty(), "all six fell into the end");
    let net = sim.state.entry.activities[0].net_ns.get();
    assert!((1_000..=1_010).contains(&net), "{net}");
    assert_eq!(tainted(&sim), 0);
}

/// Tracepoints of newer kernels can be preempted (seen on 7.2): other tasks close the entry and open others
/// before the program goes on. Its own line may then be lost, but no entry and no total is.
#[test]
fn a_program_that_is_preempted_across_entries_harms_no_total() {
    // Each place of a begin with its end, and of a mark.
    for place in 0..12 {
        let sim = still();
        sim.insistent.set(true);
        open(&sim.state, 0);
        *sim.preempting.borrow_mut() = Some((place, |sim| {
            assert!(sim.state.close(sim, 500, End::Switched).is_some());
            sim.state.release();
            open(&sim.state, 600);
        }));
        sim.state.begin(&sim, Activity::Work, 0, 0, [0; 2]);
        sim.state.mark(&sim, Activity::Fault, 0, [0; 2]);
        sim.state.end(&sim, Activity::Work);
        assert!(sim.state.close(&sim, 700, End::Return).is_some());
        sim.state.release();
        assert_eq!(sim.ledger().entries, 2, "place {place}");
        assert_eq!(sim.state.depth.get(), 0);

        open(&sim.state, 2_000);
        sim.clock.set(2_000);
        sim.state.begin(&sim, Activity::Work, 0, 0, [0; 2]);
        sim.pass(10);
        sim.state.end(&sim, Activity::Work);
        assert_eq!(sim.state.entry.activities[0].net_ns.get(), 10);
        assert_eq!(sim.state.accounted_ns.get(), 10, "the next entry is clean");
    }
}

/// The same, but the entry is closed for good: its task has died.
#[test]
fn a_program_that_outlives_its_entry_leaves_nothing_for_the_next() {
    for place in 0..12 {
        let sim = still();
        sim.insistent.set(true);
        open(&sim.state, 0);
        *sim.preempting.borrow_mut() = Some((place, |sim| {
            assert!(sim.state.close(sim, 500, End::Exited).is_some());
            sim.state.release();
        }));
        sim.state.begin(&sim, Activity::Work, 0, 0, [0; 2]);
        sim.state.mark(&sim, Activity::Fault, 0, [0; 2]);
        open(&sim.state, 2_000);
        assert_eq!(sim.state.depth.get(), 0, "place {place}");
        assert_eq!(sim.state.slots.get(), 0);
        assert_eq!(sim.state.accounted_ns.get(), 0);
        assert!(sim.state.close(&sim, 2_001, End::Return).is_some());
        assert_eq!(sim.state.entry.counts.get(), 0);
    }
}
