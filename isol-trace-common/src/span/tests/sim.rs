//! A CPU whose clock and interruptions the tests hold in their hands.

use core::cell::{Cell, RefCell};
use std::{
    boxed::Box,
    collections::{BTreeMap, BTreeSet, VecDeque},
    vec::Vec,
};

use super::{
    super::{CpuState, Env, IDLE, Phase, away::Away, tasks::Switch},
    truth::{Begun, Span, Totals},
};
use crate::{
    activity::Activity,
    ledger::{CauseTotals, Ledger},
    record::{Back, End, FullEntry, MAX_ACTIVITIES},
};

/// A reading of the clock, and its place among all readings.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reading {
    pub(super) order: u64,
    pub(super) at: u64,
}

/// What happens on the CPU.
#[derive(Clone, Debug)]
pub(super) enum Op {
    /// Time passes.
    Pass(u64),
    /// An activity with what happens inside it. The end of some is never seen.
    Run(Activity, Vec<Op>, bool),
    /// An end whose begin was not seen.
    StrayEnd(Activity),
    /// Something without a length.
    Mark(Activity),
    /// An NMI of this length.
    Nmi(u64),
    /// Another task (0: none, the CPU idles) runs; then the one before it again.
    Other(u32, bool, Vec<Op>),
    /// Another CPU moves this task.
    Migrate(u32),
    /// Another CPU moves this task, which dies there. Its number is another one's at once, which is
    /// born here, or else where the first one died.
    DieElsewhere(u32, bool),
}

/// A call into the machine under way.
#[derive(Debug, Default)]
pub(super) struct Call {
    id: u32,
    interrupted: u32,
    /// The clock as last read.
    pub(super) last: Option<Reading>,
    /// The clock as last read before each addition to the sum.
    pub(super) finished: Vec<Reading>,
}

/// A record that reached the ring.
#[derive(Clone, Debug)]
pub(super) enum Record {
    Entry(Box<FullEntry<MAX_ACTIVITIES>>),
    Back(Back),
}

/// After so many places where it can, another task takes over.
type Takeover = (u32, fn(&Sim));

/// Readings repeat where an interrupt falls into them, but not forever: more interrupts
/// than this in one call, and a net time may be off.
const EXACT_INTERRUPTIONS: u32 = 2;
/// Programs inside programs.
const DEEPEST: usize = 4;

pub(super) struct Sim {
    pub(super) state: CpuState,
    pub(super) clock: Cell<u64>,
    /// What reading the clock takes.
    pub(super) tick: Cell<u64>,
    readings: Cell<u64>,
    /// What falls into the machine's work, each after so many places where it could.
    pub(super) pending: RefCell<VecDeque<(u32, Op)>>,
    calls: RefCell<Vec<Call>>,
    in_nmi: Cell<bool>,
    /// Interrupts come as often as they like.
    pub(super) insistent: Cell<bool>,
    /// Another task takes over at this place.
    pub(super) preempting: RefCell<Option<Takeover>>,
    ids: Cell<u32>,
    /// The task that runs.
    pub(super) current: Cell<u32>,
    /// It is dying.
    pub(super) dying: Cell<bool>,
    /// The task that a switch is taking the CPU from: nobody moves that.
    switching: Cell<u32>,
    /// The other CPU is watched, too.
    pub(super) other_watched: Cell<bool>,
    /// Tasks that are on another CPU.
    pub(super) elsewhere: RefCell<BTreeSet<u32>>,
    /// When the tasks of these numbers were born; the others always were there.
    births: RefCell<BTreeMap<u32, u64>>,
    pub(super) span: RefCell<Option<Span>>,
    pub(super) totals: RefCell<Totals>,
    pub(super) ring: RefCell<Vec<Record>>,
    pub(super) room: Cell<usize>,
    pub(super) away: RefCell<BTreeMap<u32, Away>>,
}

impl Env for Sim {
    fn now(&self) -> u64 {
        let reading = self.read();
        if let Some(call) = self.calls.borrow_mut().last_mut() {
            call.last = Some(reading);
        }
        reading.at
    }

    fn take(&self, counter: &Cell<u32>) -> u32 {
        let id = self.calls.borrow().last().map_or(0, |call| call.id);
        if let Some(span) = self.span.borrow_mut().as_mut() {
            span.order.push(id);
        }
        counter.replace(counter.get() + 1)
    }

    fn accrue(&self, sum: &Cell<u64>, amount: u64) {
        if let Some(call) = self.calls.borrow_mut().last_mut() {
            call.finished.extend(call.last);
        }
        sum.set(sum.get().wrapping_add(amount));
    }

    fn interruption(&self) {
        let depth = self.calls.borrow().len();
        if self.in_nmi.get() || depth > DEEPEST {
            return;
        }
        if self.is_place_of_preemption()
            && let Some((_, takes_over)) = self.preempting.take()
        {
            return takes_over(self);
        }
        let enough = |call: &Call| call.interrupted == EXACT_INTERRUPTIONS;
        if !self.insistent.get() && self.calls.borrow().last().is_some_and(enough) {
            return;
        }
        let Some(op) = self.next_pending() else {
            return;
        };
        if let Some(call) = self.calls.borrow_mut().last_mut() {
            call.interrupted += 1;
        }
        self.run(&op, true);
    }
}

impl Sim {
    pub(super) fn new() -> Self {
        Self {
            // SAFETY: all of it is plain numbers in cells; a map hands it out zeroed, too.
            state: unsafe { core::mem::zeroed() },
            clock: Cell::new(1_000),
            tick: Cell::new(1),
            readings: Cell::new(0),
            pending: RefCell::default(),
            calls: RefCell::default(),
            in_nmi: Cell::new(false),
            insistent: Cell::new(false),
            preempting: RefCell::default(),
            ids: Cell::new(100),
            current: Cell::new(0),
            dying: Cell::new(false),
            switching: Cell::new(0),
            other_watched: Cell::new(false),
            elsewhere: RefCell::default(),
            births: RefCell::default(),
            span: RefCell::new(None),
            totals: RefCell::new(Totals::new()),
            ring: RefCell::default(),
            room: Cell::new(usize::MAX),
            away: RefCell::default(),
        }
    }

    fn is_place_of_preemption(&self) -> bool {
        let mut preempting = self.preempting.borrow_mut();
        let Some((places, _)) = preempting.as_mut() else {
            return false;
        };
        *places = places.wrapping_sub(1);
        *places == u32::MAX
    }

    /// What falls into this place.
    pub(super) fn next_pending(&self) -> Option<Op> {
        let mut pending = self.pending.borrow_mut();
        let (places, _) = pending.front_mut()?;
        if *places > 0 {
            *places -= 1;
            return None;
        }
        pending.pop_front().map(|(_, op)| op)
    }

    pub(super) fn pass(&self, length: u64) {
        self.clock.set(self.clock.get() + length);
    }

    /// Reads the clock outside the machine.
    pub(super) fn read(&self) -> Reading {
        let at = self.clock.get();
        self.pass(self.tick.get());
        let order = self.readings.get() + 1;
        self.readings.set(order);
        Reading { order, at }
    }

    /// Does something in the machine and tells which readings it took.
    pub(super) fn call<R>(&self, id: u32, does: impl FnOnce() -> R) -> (R, Call) {
        self.calls.borrow_mut().push(Call {
            id,
            ..Call::default()
        });
        let result = does();
        let call = self.calls.borrow_mut().pop().expect("the call itself");
        (result, call)
    }

    /// Calls into the machine that have not returned.
    pub(super) fn under_way(&self) -> usize {
        self.calls.borrow().len()
    }

    /// Runs with the entry under way, where there is one under our eyes.
    pub(super) fn with_span(&self, does: impl FnOnce(&mut Span)) {
        if self.state.phase() == Phase::Open
            && let Some(span) = self.span.borrow_mut().as_mut()
        {
            does(span);
        }
    }

    pub(super) fn new_activity(
        &self,
        kind: Activity,
        number: Option<u32>,
        subject: Option<[u64; 2]>,
        is_cause: bool,
    ) -> (u32, Begun) {
        let id = self.ids.replace(self.ids.get() + 1);
        let begun = Begun {
            kind,
            number: number.unwrap_or(id),
            subject: subject.unwrap_or([u64::from(id) << 32, u64::from(id) | 1 << 63]),
            is_cause,
        };
        self.with_span(|span| {
            span.begun.insert(id, begun.clone());
        });
        (id, begun)
    }

    /// Runs what happens. `interrupting`: it interrupts a program, and so leaves no trace
    /// on what is under way.
    pub(super) fn run(&self, op: &Op, interrupting: bool) {
        let overfull = self.span.borrow().as_ref().is_some_and(Span::is_overfull);
        match op {
            Op::Pass(length) => self.pass(*length),
            Op::Run(kind, body, ends) => {
                self.activity_entry(*kind);
                let framed = !self.span.borrow().as_ref().is_some_and(Span::is_overfull);
                for inner in body {
                    self.run(inner, interrupting);
                }
                if *ends || interrupting || !framed {
                    self.activity_exit(*kind);
                }
            }
            Op::StrayEnd(kind) if !interrupting && !overfull => self.activity_exit(*kind),
            Op::Mark(kind) => self.mark(*kind),
            Op::Nmi(length) => self.nmi(*length, 1, true),
            Op::Other(task, sleeps, body) if !interrupting && !overfull => {
                let before = self.current.get();
                if before == *task {
                    return;
                }
                self.switch(*task, *sleeps);
                for inner in body {
                    self.run(inner, false);
                }
                // Where too much is under way, a switch would be one more.
                self.switch(before, true);
            }
            Op::Migrate(tid) => self.leaves(*tid),
            Op::DieElsewhere(tid, born_here) => self.dies_elsewhere(*tid, *born_here),
            Op::StrayEnd(_) | Op::Other(..) => {}
        }
    }

    /// When the task that has this number now was born.
    pub(super) fn born(&self, tid: u32) -> u64 {
        self.births.borrow().get(&tid).copied().unwrap_or(0)
    }

    /// A number is given to a new task.
    pub(super) fn is_born(&self, tid: u32) {
        self.births.borrow_mut().insert(tid, self.clock.get() + 1);
        self.pass(2);
    }

    /// Whether this is the task whose entry is under way.
    pub(super) fn owns(&self, span: &Span, tid: u32) -> bool {
        span.tid == tid && span.born == self.born(tid)
    }

    /// Another CPU moves a task that does not run.
    pub(super) fn leaves(&self, tid: u32) {
        let runs = tid == self.current.get() || tid == self.switching.get();
        if !runs && self.elsewhere.borrow_mut().insert(tid) {
            self.migrate(tid);
        }
    }

    fn dies_elsewhere(&self, tid: u32, born_here: bool) {
        self.leaves(tid);
        if !self.elsewhere.borrow().contains(&tid) {
            return;
        }
        self.exit_elsewhere(tid);
        self.is_born(tid);
        if born_here {
            self.elsewhere.borrow_mut().remove(&tid);
        }
    }

    /// A task is about to run here: if it was on another CPU, it is moved.
    pub(super) fn runs(&self, tid: u32) {
        if self.elsewhere.borrow_mut().remove(&tid) {
            self.comes_back(tid);
        }
        if self.current.replace(tid) != tid {
            self.dying.set(false);
        }
    }

    /// Whatever happens inside an NMI is not interrupted.
    pub(super) fn as_nmi(&self, does: impl FnOnce()) {
        let before = self.in_nmi.replace(true);
        does();
        self.in_nmi.set(before);
    }

    /// `sched_switch`.
    pub(super) fn switch(&self, next: u32, sleeps: bool) {
        let previous = self.current.get();
        self.runs(next);
        let is_owner = |tid: u32| {
            let span = self.span.borrow();
            span.as_ref().is_some_and(|span| self.owns(span, tid))
        };
        let (from_owner, to_owner) = (is_owner(previous), is_owner(next));
        let comm = [u64::from(next) << 8, u64::from(next)];
        let id = if next != 0 && !to_owner {
            self.new_activity(Activity::Switch, Some(next), Some(comm), false)
                .0
        } else {
            0
        };
        let switch = Switch {
            previous,
            sleeps,
            next,
            next_comm: comm,
        };
        self.switching.set(previous);
        let ((), call) = self.call(id, || self.state.switch(self, &switch));
        self.switching.set(0);
        self.with_span(|span| {
            let frame = |task: u32| {
                if task == 0 {
                    IDLE
                } else {
                    Activity::Switch as u32
                }
            };
            if from_owner {
                span.slept |= sleeps;
            } else {
                span.end(frame(previous), call.finished.first().copied());
            }
            if !to_owner {
                span.begin(id, frame(next), call.last, self.under_way());
            }
        });
    }

    /// How the entry under way ends if `tid` goes to user mode now.
    pub(super) fn true_end(&self, tid: u32) -> End {
        let span = self.span.borrow();
        let span = span.as_ref().expect("an entry");
        match () {
            () if !self.owns(span, tid) => End::Switched,
            () if span.slept => End::Blocked,
            () => End::Return,
        }
    }

    /// The kernel's totals as the reader sees them.
    pub(super) fn ledger(&self) -> Ledger {
        let from = &self.state.ledger;
        // SAFETY: a cell has the layout of its value, and the types differ in nothing else.
        let ledger = unsafe { core::ptr::from_ref(from).cast::<Ledger>().read() };
        let sum = |field: fn(&CauseTotals) -> u64| ledger.causes.iter().map(field).sum::<u64>();
        assert_eq!(
            ledger.entries,
            sum(|cause| cause.count) + ledger.filtered,
            "entries are breaches and filtered"
        );
        assert_eq!(sum(|cause| cause.total_ns), ledger.kernel_ns);
        for cause in &ledger.causes {
            assert_eq!(
                cause.histogram.iter().sum::<u64>(),
                cause.count - cause.untimed
            );
            assert!(cause.max_ns <= ledger.max_ns);
        }
        ledger
    }
}
