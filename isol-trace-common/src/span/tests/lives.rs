//! Random lives under `vectors` detection, where nothing marks the moment at which a task is in user
//! mode: tasks block, move, die here and elsewhere, and their numbers are used again.

use std::{collections::BTreeSet, vec::Vec};

use proptest::{collection::vec, prelude::*};

use super::{
    super::{Phase, life::has_user_mode},
    sim::{Record, Sim},
};
use crate::{activity::Activity, cause::Cause, record::End};

/// What happens next. What cannot happen is passed over.
#[derive(Clone, Debug)]
enum Step {
    Pass(u64),
    /// The current task begins a system call, or ends the one that it is in.
    Syscall,
    /// An interrupt, whatever runs.
    Interrupt(Cause),
    Nmi,
    /// Another task takes the CPU.
    Switch(u32, bool),
    /// The current task dies, after which it still runs for a while.
    Die,
    Wake(u32),
    /// Another CPU takes a task.
    Move(u32),
    /// It dies there; its successor is born here, or else there.
    DieElsewhere(u32, bool),
}

fn step() -> impl Strategy<Value = Step> {
    let task = 0..3_u32;
    prop_oneof![
        3 => (1..2_000_u64).prop_map(Step::Pass),
        4 => Just(Step::Syscall),
        4 => prop::sample::select(std::vec![Cause::LocalTimer, Cause::Reschedule])
            .prop_map(Step::Interrupt),
        1 => Just(Step::Nmi),
        4 => (task.clone(), any::<bool>()).prop_map(|(tid, sleeps)| Step::Switch(tid, sleeps)),
        2 => Just(Step::Die),
        1 => task.clone().prop_map(Step::Wake),
        2 => task.clone().prop_map(Step::Move),
        2 => (task, any::<bool>()).prop_map(|(tid, here)| Step::DieElsewhere(tid, here)),
    ]
}

/// A CPU whose entries are derived, and which of its tasks are in a system call.
struct Derived {
    sim: Sim,
    in_call: BTreeSet<u32>,
}

impl Derived {
    /// `derived::open`.
    fn enter_kernel(&self) {
        let tid = self.sim.current.get();
        if !has_user_mode(tid, self.sim.task_flags()) {
            return;
        }
        if self.sim.state.phase() == Phase::Settling {
            self.sim.flush();
        }
        self.sim.open(tid, self.sim.read().at, None);
    }

    /// `derived::settle`.
    fn settle(&self) {
        let state = &self.sim.state;
        if state.phase() == Phase::Open
            && state.depth.get() == 0
            && state.cause() != Cause::Syscall as u8
        {
            state.settle(self.sim.read().at);
        }
    }

    /// `probe::interrupt_entry`, and the interrupt's end.
    fn interrupt(&self, cause: Cause) {
        let under_way = matches!(self.sim.state.phase(), Phase::Open | Phase::Busy);
        if !under_way && !self.sim.is_in_call(self.sim.current.get()) {
            self.enter_kernel();
        }
        self.sim.interrupt_entry(cause, Activity::Vector, 0);
        self.sim.pass(50);
        self.sim.activity_exit(Activity::Vector);
        self.settle();
    }

    /// `probe::sched::switch`.
    fn switch(&self, next: u32, sleeps: bool) {
        let state = &self.sim.state;
        match state.phase() {
            Phase::Open => {}
            Phase::Settling if state.is_owner(self.sim.current.get()) => state.resume(),
            _ => {
                self.sim.runs(next);
                return self.switched_to(next);
            }
        }
        self.sim.switch(next, sleeps);
        if state.is_owner(next) {
            self.settle();
        } else {
            self.switched_to(next);
        }
    }

    fn switched_to(&self, tid: u32) {
        if !has_user_mode(tid, self.sim.task_flags()) {
            return;
        }
        let at = self.sim.read().at;
        if self.sim.state.phase() == Phase::Open {
            self.sim.close_on_switch(at, tid);
        }
        if !self.sim.is_in_call(tid) {
            self.sim.back(at, tid);
        }
    }

    fn step(&mut self, step: &Step) {
        let (tid, dying) = (self.sim.current.get(), self.sim.dying.get());
        match *step {
            Step::Pass(length) => self.sim.pass(length),
            Step::Syscall | Step::Die if tid == 0 || dying => {}
            Step::Syscall if self.in_call.remove(&tid) => self.sim.exit_to_user(tid, None),
            Step::Syscall => {
                self.in_call.insert(tid);
                self.sim.enter_kernel(tid, Some(1));
            }
            Step::Interrupt(cause) => self.interrupt(cause),
            Step::Nmi => self.sim.nmi(10, 1, true),
            Step::Switch(next, _) if next == tid => {}
            Step::Switch(next, sleeps) => {
                self.switch(next, sleeps || dying);
                if dying {
                    self.in_call.remove(&tid);
                    self.sim.is_born(tid);
                }
            }
            Step::Die => self.sim.exit(),
            Step::Wake(tid) => self.sim.wake(tid),
            Step::Move(other) if other != tid && other != 0 => self.sim.leaves(other),
            Step::Move(_) => {}
            Step::DieElsewhere(other, here) => {
                if other == tid || other == 0 {
                    return;
                }
                self.in_call.remove(&other);
                self.sim
                    .run(&super::sim::Op::DieElsewhere(other, here), true);
            }
        }
    }

    /// Nothing is kept of the dead, and no entry of theirs is under way.
    fn check(&self) {
        let sim = &self.sim;
        for (&tid, away) in sim.away.borrow().iter() {
            assert!(sim.born(tid) <= away.opened_ns, "{tid} is another task now");
            let is_dead = sim.dying.get() && sim.current.get() == tid;
            assert!(!is_dead, "{tid} is dead");
        }
        if sim.dying.get() && sim.state.phase() != Phase::Closed {
            assert!(
                !sim.state.is_owner(sim.current.get()),
                "an entry of the dead"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4096, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn nothing_is_left_of_the_dead(steps in vec(step(), 1..60), other_watched in any::<bool>()) {
        let mut derived = Derived { sim: Sim::new(), in_call: BTreeSet::new() };
        derived.sim.other_watched.set(other_watched);
        let begun = derived.sim.clock.get();
        for step in &steps {
            derived.step(step);
            derived.check();
        }
        let sim = &derived.sim;
        prop_assert_eq!(sim.state.ledger.tainted.get(), 0);
        let elapsed = sim.clock.get() - begun;
        let mut away = Vec::new();
        for record in sim.ring.borrow().iter() {
            match record {
                Record::Entry(record) if record.entry.end == End::Switched as u8 => {
                    away.push((record.entry.tid, record.entry.opened_ns));
                }
                Record::Entry(_) => {}
                Record::Back(back) => {
                    prop_assert!(back.away_ns <= elapsed);
                    let its = away.iter().position(|it| *it == (back.tid, back.opened_ns));
                    prop_assert!(its.is_some(), "a return belongs to one entry");
                    away.remove(its.unwrap());
                }
            }
        }
        // Each of the other tasks can wait all the time.
        prop_assert!(sim.ledger().away_ns <= elapsed * 2);
    }
}
