//! What the BPF programs do with the machine, done here by hand: `span.rs`, `off_cpu.rs`, `derived.rs`,
//! `activity.rs` and `probe/` of `isol-trace-ebpf/src`. Change both together.

use std::boxed::Box;

use super::{
    super::{
        NOTE_FILTERED, NOTE_OWN, Phase, TASK_FILTERED, TASK_IN_SECTION, TASK_OWN,
        away::Away,
        entry::UserExit,
        life::{PF_EXITING, has_user_mode},
    },
    sim::{Op, Reading, Record, Sim},
    truth::Span,
};
use crate::{
    activity::Activity,
    cause::Cause,
    ledger::add,
    record::{ACTIVITY_IS_CAUSE, End, FLAG_LATE_SYSCALL, FLAG_SECTION, FullEntry, Kind},
};

/// Tasks whose number ends in this are left out by a filter.
pub(super) const FILTERED: u32 = 5;
/// The tracer.
pub(super) const OWN: u32 = 6;
/// The task that is in an isolated section.
pub(super) const IN_SECTION: u32 = 3;

/// What `tasks::look_up` finds out.
pub(super) fn task_flags(tid: u32) -> u32 {
    match tid {
        FILTERED => TASK_FILTERED,
        OWN => TASK_OWN,
        IN_SECTION => TASK_IN_SECTION,
        _ => 0,
    }
}

impl Sim {
    /// `user_exit`.
    pub(super) fn enter_kernel(&self, tid: u32, syscall: Option<u32>) {
        self.runs(tid);
        let at = self.read().at;
        match self.state.phase() {
            Phase::Closed => {}
            Phase::Settling => self.flush(),
            Phase::Open => self.close_on_switch(at, tid),
            Phase::Busy => return,
        }
        self.open(tid, at, syscall);
    }

    pub(super) fn open(&self, tid: u32, at: u64, syscall: Option<u32>) {
        assert!(!self.dying.get(), "the dead leave no user mode");
        self.state.claim();
        self.nmi_window();
        if self.state.task.tid.get() != tid {
            self.state.task.flags.set(task_flags(tid));
            self.state.task.tid.set(tid);
        }
        self.state.open(&UserExit {
            at_ns: at,
            tid,
            ip: u64::from(tid) << 12,
            sp: u64::from(tid) << 20,
            syscall,
        });
        let cause = if syscall.is_some() {
            Cause::Syscall
        } else {
            Cause::Unknown
        };
        let mut span = Span::new(tid, at, cause, syscall.unwrap_or(0));
        span.born = self.born(tid);
        span.filtered = tid == FILTERED;
        span.own = tid == OWN;
        span.flags = if tid == IN_SECTION { FLAG_SECTION } else { 0 };
        *self.span.borrow_mut() = Some(span);
        let notes = self.state.notes.get();
        assert_eq!(notes & NOTE_FILTERED != 0, tid == FILTERED);
        assert_eq!(notes & NOTE_OWN != 0, tid == OWN);
    }

    /// `user_enter`; `hidden` is a system call's number that only shows now.
    pub(super) fn exit_to_user(&self, tid: u32, hidden: Option<u32>) {
        self.runs(tid);
        let at = self.read().at;
        self.nmi_window();
        match self.state.phase() {
            Phase::Open => {}
            Phase::Closed => return self.back(at, tid),
            Phase::Settling | Phase::Busy => return,
        }
        let end = self.state.end_for(tid);
        assert_eq!(end, self.true_end(tid), "end for task {tid}");
        if self.state.cause() != Cause::Syscall as u8
            && end != End::Switched
            && let Some(number) = hidden
        {
            if self.state.cause() != Cause::Unknown as u8 {
                self.state.demote_cause();
            }
            self.state.late_syscall(number);
            self.with_span(|span| {
                span.cause = Cause::Syscall;
                span.number = number;
                span.flags |= FLAG_LATE_SYSCALL;
                span.begun.values_mut().for_each(|of| of.is_cause = false);
            });
        }
        self.nmi_window();
        self.close(at, end);
        if end == End::Switched {
            self.remember_away();
            self.back(at, tid);
        }
        self.state.release();
    }

    /// Closes the open span and compares what comes out.
    fn close(&self, at: u64, end: End) {
        let (kind, call) = self.call(0, || self.state.close(self, at, end));
        assert_eq!(
            self.state.phase(),
            Phase::Busy,
            "closing is not interrupted"
        );
        self.nmi_window();
        let mut span = self.span.borrow_mut().take().expect("an entry");
        span.end_all(&call.finished);
        self.posted(kind, &span, end);
    }

    /// Something was posted: the totals and, if there is one, the record.
    fn posted(&self, kind: Option<Kind>, span: &Span, end: End) {
        let duration = self.state.entry.duration_ns.get();
        assert!(
            span.opened + duration <= self.clock.get(),
            "the entry is over"
        );
        self.totals.borrow_mut().add(span, Some(duration));
        assert_eq!(
            kind.is_none(),
            span.filtered,
            "a filtered entry has no record"
        );
        let Some(kind) = kind else { return };
        // SAFETY: the cells are in the record's layout, which `span` asserts.
        let record = unsafe {
            core::ptr::from_ref(&self.state.entry)
                .cast::<FullEntry<16>>()
                .read()
        };
        assert_eq!(self.state.accounted_ns.get(), span.accounted(), "sum");
        span.check(kind, &record, end);
        if !self.write(Record::Entry(Box::new(record))) {
            add(&self.state.ledger.lost, 1);
        }
    }

    fn write(&self, record: Record) -> bool {
        let mut ring = self.ring.borrow_mut();
        let fits = ring.len() < self.room.get();
        if fits {
            ring.push(record);
        }
        fits
    }

    pub(super) fn close_on_switch(&self, at: u64, tid: u32) {
        let end = self.state.end_for(tid);
        assert_eq!(end, self.true_end(tid), "end for task {tid}");
        self.close(at, end);
        if end == End::Switched {
            self.remember_away();
        }
        self.state.release();
    }

    /// Ends an NMI's entry.
    pub(super) fn flush(&self) {
        let kind = self.state.close_settled(End::Return);
        let span = self.span.borrow_mut().take().expect("a settling entry");
        self.posted(kind, &span, End::Return);
        self.state.release();
    }

    /// `sched_process_exit`.
    pub(super) fn exit(&self) {
        let tid = self.current.get();
        self.dying.set(true);
        if self.state.task.tid.get() == tid {
            self.state.task.tid.set(0);
        }
        if self.state.is_owner(tid) {
            match self.state.phase() {
                Phase::Open => {
                    let at = self.read().at;
                    self.nmi_window();
                    self.close(at, End::Exited);
                    self.state.release();
                }
                Phase::Settling => self.flush(),
                Phase::Closed | Phase::Busy => {}
            }
        }
        self.away.borrow_mut().remove(&tid);
    }

    /// `sched_process_exit` on another CPU.
    pub(super) fn exit_elsewhere(&self, tid: u32) {
        self.away.borrow_mut().remove(&tid);
    }

    fn remember_away(&self) {
        if self.state.migrated.get() != 0 {
            return;
        }
        let away = Away::left(&self.state, 1);
        if away.is_forgettable() {
            return;
        }
        self.away
            .borrow_mut()
            .insert(self.state.entry.tid.get(), away);
    }

    pub(super) fn back(&self, at: u64, tid: u32) {
        let Some(away) = self.away.borrow_mut().remove(&tid) else {
            return;
        };
        let record = away.back(tid, self.born(tid), at);
        let record = record.expect("nothing is kept of the dead, and the clock does not go back");
        add(&self.state.ledger.away_ns, record.away_ns);
        if !self.write(Record::Back(record)) {
            add(&self.state.ledger.lost_notes, 1);
        }
    }

    /// `sched_waking`.
    pub(super) fn wake(&self, tid: u32) {
        self.state.wake(tid);
        let at = self.read().at;
        if let Some(away) = self.away.borrow_mut().get_mut(&tid) {
            away.wake(at);
        }
    }

    /// `sched_migrate_task` to another CPU.
    pub(super) fn migrate(&self, tid: u32) {
        if self.state.is_owner(tid) {
            self.state.owner_migrated();
        }
        if !self.other_watched.get() {
            self.away.borrow_mut().remove(&tid);
        }
        if self.state.task.tid.get() == tid {
            self.state.task.tid.set(0);
        }
    }

    /// `sched_migrate_task` from there.
    pub(super) fn comes_back(&self, tid: u32) {
        let mut away = self.away.borrow_mut();
        if !self.other_watched.get() {
            away.remove(&tid);
        }
        if self.state.entry.tid.get() == tid {
            let kept = away.get(&tid);
            if self.state.owner_migrated_back(1, self.born(tid), kept) {
                away.remove(&tid);
            }
        }
    }

    /// A vector or device interrupt begins.
    pub(super) fn interrupt_entry(&self, cause: Cause, kind: Activity, subject: u64) {
        let is_cause = self.state.attribute(cause, 7, subject);
        self.with_span(|span| {
            assert_eq!(is_cause, span.cause == Cause::Unknown);
            if is_cause {
                span.cause = cause;
                span.number = 7;
            }
        });
        self.nmi_window();
        self.begin(kind, Some([subject, 0]), is_cause);
    }

    /// Any activity begins.
    pub(super) fn activity_entry(&self, kind: Activity) {
        if self.state.phase() == Phase::Settling && self.state.cause() != Cause::Nmi as u8 {
            self.state.resume();
        }
        self.begin(kind, None, false);
    }

    fn begin(&self, kind: Activity, subject: Option<[u64; 2]>, is_cause: bool) {
        let (id, begun) = self.new_activity(kind, None, subject, is_cause);
        let flags = if is_cause { ACTIVITY_IS_CAUSE } else { 0 };
        let ((), call) = self.call(id, || {
            self.state
                .begin(self, kind, flags, begun.number, begun.subject);
        });
        self.with_span(|span| span.begin(id, kind as u32, call.last, self.under_way()));
    }

    /// An activity ends.
    pub(super) fn activity_exit(&self, kind: Activity) {
        let ((), call) = self.call(0, || self.state.end(self, kind));
        self.with_span(|span| span.end(kind as u32, call.finished.first().copied()));
    }

    /// Something without a length.
    pub(super) fn mark(&self, kind: Activity) {
        let (id, begun) = self.new_activity(kind, None, None, false);
        let ((), _call) = self.call(id, || {
            self.state.mark(self, kind, begun.number, begun.subject);
        });
    }

    /// `nmi_handler`: one handler of an NMI has run.
    pub(super) fn nmi(&self, length: u64, handler: u64, claimed: bool) {
        self.as_nmi(|| {
            let start = self.read();
            self.clock.set(start.at + length);
            let end = self.read();
            let end = Reading {
                at: start.at + length,
                ..end
            };
            self.nmi_handled(start, end, handler, claimed);
        });
    }

    fn nmi_handled(&self, start: Reading, end: Reading, handler: u64, claimed: bool) {
        let state = &self.state;
        let length = end.at - start.at;
        let first = state.first_nmi_handler.get();
        if first == 0 {
            state.first_nmi_handler.set(handler);
        }
        let begins = first == 0 || first == handler;
        match state.phase() {
            Phase::Open if begins || claimed => {
                let subject = [handler, 0];
                let (id, _) = self.new_activity(Activity::Nmi, Some(0), Some(subject), false);
                let ((), _call) = self.call(id, || {
                    state.record(self, Activity::Nmi, 0, subject, length);
                });
                self.with_span(|span| span.measured(id, Activity::Nmi as u32, start, end));
            }
            Phase::Closed => self.nmi_entry(end.at, handler, length),
            Phase::Settling if state.cause() == Cause::Nmi as u8 && !begins => {
                if claimed {
                    state.entry.subject.set(handler);
                }
                state.settle(self.read().at);
            }
            Phase::Settling => {
                self.flush();
                self.nmi_entry(end.at, handler, length);
            }
            Phase::Open | Phase::Busy => {}
        }
    }

    /// An NMI hit user mode.
    fn nmi_entry(&self, end: u64, handler: u64, length: u64) {
        let tid = self.current.get();
        // Only tasks with small numbers have a user mode here.
        if tid > 50 || !has_user_mode(tid, self.task_flags()) || self.is_in_call(tid) {
            return;
        }
        self.open(tid, end.saturating_sub(length), None);
        assert!(self.state.attribute(Cause::Nmi, 0, handler));
        self.with_span(|span| span.cause = Cause::Nmi);
        self.state.settle(end);
    }

    /// `maps::is_in_call`: it was switched out of a system call, whose end is to come.
    pub(super) fn is_in_call(&self, tid: u32) -> bool {
        let away = self.away.borrow();
        away.get(&tid).is_some_and(|away| away.in_call != 0)
    }

    /// `task_struct.flags` of the current task.
    pub(super) fn task_flags(&self) -> u32 {
        if self.dying.get() { PF_EXITING } else { 0 }
    }

    /// A place where only an NMI can hit: interrupts are off.
    fn nmi_window(&self) {
        if let Some(Op::Nmi(length)) = self.next_pending() {
            self.nmi(length, 1, true);
        }
    }
}
