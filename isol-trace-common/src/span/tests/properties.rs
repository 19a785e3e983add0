//! Random stories: whatever happens, the records and the totals are right.

use std::{collections::BTreeMap, vec::Vec};

use proptest::{collection::vec, prelude::*};

use super::{
    super::Phase,
    driver::{FILTERED, IN_SECTION, OWN},
    sim::{Op, Record, Sim},
};
use crate::{activity::Activity, cause::Cause, record::End};

/// How an entry begins and gets its cause.
#[derive(Clone, Debug)]
enum How {
    Syscall(u32),
    /// A system call that shows its number at its end.
    Hidden(u32),
    Vector(Cause),
    Device,
    Fault,
    /// An exception, named late; an interrupt may have come first.
    Exception(bool),
    Silent,
}

#[derive(Clone, Debug)]
enum Ends {
    Returns,
    Exits,
    /// Another task returns to user mode.
    Switched(u32),
    /// Another task leaves user mode: that it had got there was not seen.
    LeftBehind,
}

/// A piece of a CPU's life.
#[derive(Clone, Debug)]
enum Episode {
    /// After its end, what happens while the same task still runs.
    Entry(u32, How, Vec<Op>, Ends, Vec<Op>),
    /// An NMI in user mode.
    Nmi(u32, u64),
    /// A task returns to user mode that never left it here, or did long ago.
    Resumed(u32),
    /// The CPU is not in an entry that we know of.
    Outside(Vec<Op>),
}

fn tid() -> impl Strategy<Value = u32> {
    prop_oneof![4 => 1..4_u32, 1 => Just(IN_SECTION), 1 => Just(FILTERED), 1 => Just(OWN)]
}

/// What can run inside a tracepoint's program.
fn measured() -> impl Strategy<Value = Activity> {
    use Activity::{Csd, Hrtimer, Irq, IrqWork, Softirq, Timer, Vector, Work};
    prop::sample::select(std::vec![
        Irq, Vector, Softirq, Timer, Hrtimer, Work, IrqWork, Csd
    ])
}

fn op(depth: u32) -> BoxedStrategy<Op> {
    use Activity::{Fault, Signal, Tick, TlbFlush};
    let marks = prop::sample::select(std::vec![Fault, Signal, Tick, TlbFlush]);
    let leaf = prop_oneof![
        4 => (0..5_000_u64).prop_map(Op::Pass),
        2 => marks.prop_map(Op::Mark),
        2 => (0..2_000_u64).prop_map(Op::Nmi),
        1 => measured().prop_map(Op::StrayEnd),
        1 => (1..7_u32).prop_map(Op::Migrate),
        1 => (1..7_u32, any::<bool>()).prop_map(|(tid, here)| Op::DieElsewhere(tid, here)),
    ];
    leaf.prop_recursive(depth, 40, 4, |inner| {
        let body = vec(inner, 0..4);
        let task = prop_oneof![2 => Just(0), 1 => 1..7_u32, 3 => 900..904_u32];
        prop_oneof![
            4 => (measured(), body.clone(), prop::bool::weighted(0.9))
                .prop_map(|(kind, body, ends)| Op::Run(kind, body, ends)),
            1 => (task, any::<bool>(), body)
                .prop_map(|(task, sleeps, body)| Op::Other(task, sleeps, body)),
        ]
    })
    .boxed()
}

fn how() -> impl Strategy<Value = How> {
    let vectors = prop::sample::select(std::vec![
        Cause::LocalTimer,
        Cause::Reschedule,
        Cause::CallFunction,
        Cause::IrqWork,
    ]);
    prop_oneof![
        3 => (0..400_u32).prop_map(How::Syscall),
        1 => (0..400_u32).prop_map(How::Hidden),
        3 => vectors.prop_map(How::Vector),
        1 => Just(How::Device),
        1 => Just(How::Fault),
        1 => any::<bool>().prop_map(How::Exception),
        1 => Just(How::Silent),
    ]
}

fn episode() -> impl Strategy<Value = Episode> {
    let ends = prop_oneof![
        5 => Just(Ends::Returns),
        1 => Just(Ends::Exits),
        2 => (1..7_u32).prop_map(Ends::Switched),
        1 => Just(Ends::LeftBehind),
    ];
    prop_oneof![
        6 => (tid(), how(), vec(op(6), 0..6), ends, vec(op(1), 0..3))
            .prop_map(|(tid, how, ops, ends, after)| Episode::Entry(tid, how, ops, ends, after)),
        1 => (tid(), 0..3_000_u64).prop_map(|(tid, length)| Episode::Nmi(tid, length)),
        1 => tid().prop_map(Episode::Resumed),
        1 => vec(op(2), 0..4).prop_map(Episode::Outside),
    ]
}

/// What falls into the machine's work, by place.
fn pending() -> impl Strategy<Value = Vec<(u32, Op)>> {
    vec((0..20_u32, op(3)), 0..40)
}

impl Sim {
    fn begin_entry(&self, tid: u32, how: &How) {
        let number = match how {
            How::Syscall(number) => Some(*number),
            _ => None,
        };
        self.enter_kernel(tid, number);
        let set = |cause: Cause, number: u32| {
            self.with_span(|span| {
                span.cause = cause;
                span.number = number;
            });
        };
        match how {
            How::Syscall(_) | How::Hidden(_) | How::Silent => {}
            How::Vector(cause) => {
                self.interrupt_entry(*cause, Activity::Vector, 0);
                self.pass(300);
                self.activity_exit(Activity::Vector);
            }
            How::Device => {
                self.interrupt_entry(Cause::DeviceIrq, Activity::Irq, 0xf00);
                self.pass(800);
                self.activity_exit(Activity::Irq);
            }
            How::Fault => {
                assert!(self.state.attribute(Cause::PageFault, 6, 0x7000));
                set(Cause::PageFault, 6);
            }
            How::Exception(interrupted) => {
                if *interrupted {
                    self.interrupt_entry(Cause::LocalTimer, Activity::Vector, 0);
                    self.activity_exit(Activity::Vector);
                }
                assert!(self.state.attribute_late(Cause::Exception, 13));
                if *interrupted {
                    self.state.demote_cause();
                }
                set(Cause::Exception, 13);
                self.with_span(|span| {
                    span.begun.values_mut().for_each(|of| of.is_cause = false);
                });
            }
        }
    }

    fn live(&self, episode: &Episode) {
        match episode {
            Episode::Entry(tid, how, ops, ends, after) => {
                self.begin_entry(*tid, how);
                for op in ops {
                    self.run(op, false);
                }
                let hidden = match how {
                    How::Hidden(number) => Some(*number),
                    _ => None,
                };
                match ends {
                    Ends::Returns => self.exit_to_user(*tid, hidden),
                    Ends::Exits => {
                        self.exit();
                        for op in after {
                            self.run(op, false);
                        }
                        // Whoever has its number next is another task.
                        self.switch(0, true);
                        self.is_born(*tid);
                    }
                    Ends::Switched(other) => {
                        if other != tid {
                            self.switch(*other, true);
                        }
                        self.exit_to_user(*other, None);
                    }
                    Ends::LeftBehind => {}
                }
            }
            Episode::Nmi(tid, length) => {
                self.runs(*tid);
                self.nmi(*length, 1, true);
            }
            Episode::Resumed(tid) => self.exit_to_user(*tid, None),
            Episode::Outside(ops) => {
                if self.state.phase() == Phase::Closed {
                    self.runs(0);
                    for op in ops {
                        self.run(op, false);
                    }
                }
            }
        }
    }

    /// The account is closed, and compared with what was expected of it.
    fn audit(&self) {
        match self.state.phase() {
            Phase::Open => {
                let tid = self.span.borrow().as_ref().map_or(0, |span| span.tid);
                self.exit_to_user(tid, None);
            }
            Phase::Settling => self.flush(),
            Phase::Closed | Phase::Busy => {}
        }
        let ledger = self.ledger();
        let mut expected = self.totals.borrow().0;
        let ring = self.ring.borrow();
        let mut records = 0;
        let mut away = BTreeMap::new();
        for record in ring.iter() {
            match record {
                Record::Entry(record) => {
                    records += 1;
                    let entry = record.entry;
                    if entry.end == End::Switched as u8 {
                        away.insert((entry.tid, entry.opened_ns), entry.duration_ns);
                    }
                }
                Record::Back(back) => {
                    expected.away_ns += back.away_ns;
                    let lasted = away.remove(&(back.tid, back.opened_ns));
                    let lasted = lasted.expect("a return belongs to one entry");
                    assert_eq!(back.opened_ns + lasted + back.away_ns, back.back_ns);
                }
            }
        }
        assert_eq!(ledger.entries, records + ledger.lost + ledger.filtered);
        if self.room.get() == usize::MAX {
            assert_eq!(ledger.lost, 0);
        } else {
            expected.away_ns = ledger.away_ns;
        }
        expected.lost = ledger.lost;
        expected.lost_notes = ledger.lost_notes;
        assert_eq!(ledger, expected, "totals");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// Every record and every total is exact, whatever interrupts whatever.
    #[test]
    fn every_record_is_exact(episodes in vec(episode(), 1..8), pending in pending()) {
        let sim = Sim::new();
        *sim.pending.borrow_mut() = pending.into();
        for episode in &episodes {
            sim.live(episode);
        }
        sim.audit();
        prop_assert_eq!(sim.state.ledger.tainted.get(), 0, "nothing contradicted the machine");
    }

    /// A clock that stands still is no contradiction.
    #[test]
    fn a_clock_may_stand_still(episodes in vec(episode(), 1..5), pending in pending()) {
        let sim = Sim::new();
        sim.tick.set(0);
        *sim.pending.borrow_mut() = pending.into();
        for episode in &episodes {
            sim.live(episode);
        }
        sim.audit();
        prop_assert_eq!(sim.state.ledger.tainted.get(), 0);
    }

    /// Totals do not depend on the ring.
    #[test]
    fn a_full_ring_changes_no_total(episodes in vec(episode(), 1..8), room in 0..6_usize) {
        let wide = Sim::new();
        let narrow = Sim::new();
        narrow.room.set(room);
        for episode in &episodes {
            wide.live(episode);
            narrow.live(episode);
        }
        wide.audit();
        narrow.audit();
        let mut ledger = narrow.ledger();
        prop_assert!(ledger.lost + ledger.lost_notes == wide.ring.borrow().len().saturating_sub(room) as u64);
        ledger.lost = 0;
        ledger.lost_notes = 0;
        prop_assert_eq!(ledger, wide.ledger());
    }
}
