//! What must come out: a straightforward account with full knowledge.
//!
//! Every measured stretch is kept as an interval. The net time of one is its length without
//! the longest intervals inside it. There is no running sum here and no fixed number of
//! slots, so that the machine and its reference cannot be wrong in the same way.

use std::{collections::BTreeMap, vec::Vec};

use super::{
    super::{IDLE, MAX_DEPTH},
    sim::Reading,
};
use crate::{
    activity::Activity,
    cause::Cause,
    ledger::{BUCKETS, Ledger},
    record::{
        ACTIVITY_IS_CAUSE, ACTIVITY_TIMED, End, FEW_ACTIVITIES, FullEntry, Kind, MAX_ACTIVITIES,
    },
};

/// What is known of an activity from its begin on.
#[derive(Clone, Debug)]
pub(super) struct Begun {
    pub(super) kind: Activity,
    pub(super) number: u32,
    pub(super) subject: [u64; 2],
    pub(super) is_cause: bool,
}

#[derive(Clone, Debug)]
struct Frame {
    id: u32,
    kind: u32,
    start: Reading,
}

/// A stretch of time, measured from begin to end.
#[derive(Clone, Debug)]
struct Interval {
    id: u32,
    kind: u32,
    start: Reading,
    end: Reading,
}

impl Interval {
    fn length(&self) -> u64 {
        self.end.at - self.start.at
    }

    fn contains(&self, other: &Self) -> bool {
        self.start.order < other.start.order && other.end.order < self.end.order
    }
}

/// One kernel entry as it truly was.
#[derive(Clone, Debug)]
pub(super) struct Span {
    pub(super) tid: u32,
    pub(super) opened: u64,
    pub(super) cause: Cause,
    pub(super) number: u32,
    pub(super) flags: u8,
    pub(super) slept: bool,
    /// When its owner was born.
    pub(super) born: u64,
    pub(super) filtered: bool,
    pub(super) own: bool,
    /// Activities in the order in which they took their places.
    pub(super) order: Vec<u32>,
    pub(super) begun: BTreeMap<u32, Begun>,
    frames: Vec<Frame>,
    intervals: Vec<Interval>,
    /// Begun while as much as can be under way was.
    unframed: Vec<u32>,
}

impl Span {
    pub(super) fn new(tid: u32, opened: u64, cause: Cause, number: u32) -> Self {
        Self {
            tid,
            opened,
            cause,
            number,
            flags: 0,
            slept: false,
            born: 0,
            filtered: false,
            own: false,
            order: Vec::new(),
            begun: BTreeMap::new(),
            frames: Vec::new(),
            intervals: Vec::new(),
            unframed: Vec::new(),
        }
    }

    /// Something is under way that the machine has no frame for.
    pub(super) fn is_overfull(&self) -> bool {
        !self.unframed.is_empty()
    }

    /// `interrupted`: programs that this one interrupted, whose own begin or end is half done.
    pub(super) fn begin(&mut self, id: u32, kind: u32, start: Option<Reading>, interrupted: usize) {
        let depth = self.frames.len();
        let Some(start) = start else {
            assert!(depth + interrupted >= MAX_DEPTH, "{depth} are under way");
            self.unframed.push(id);
            return;
        };
        assert!(depth < MAX_DEPTH || interrupted > 0, "all frames are taken");
        self.frames.push(Frame { id, kind, start });
    }

    /// Ends the innermost `kind` of the task that runs.
    pub(super) fn end(&mut self, kind: u32, end: Option<Reading>) {
        if self.unframed.pop().is_some() {
            return;
        }
        let of_task = |frame: &Frame| frame.kind == Activity::Switch as u32 || frame.kind == IDLE;
        let bottom = if kind == Activity::Switch as u32 || kind == IDLE {
            0
        } else {
            self.frames.iter().rposition(of_task).map_or(0, |at| at + 1)
        };
        let found = self.frames[bottom..]
            .iter()
            .rposition(|frame| frame.kind == kind)
            .map(|at| at + bottom);
        let Some(at) = found else {
            assert!(end.is_none(), "nothing of kind {kind} is under way");
            return;
        };
        self.finish(at, end.expect("an end reads the clock"));
    }

    /// Ends frame `at`; those above it are never measured.
    fn finish(&mut self, at: usize, end: Reading) {
        let frame = self.frames[at].clone();
        self.frames.truncate(at);
        self.measured(frame.id, frame.kind, frame.start, end);
    }

    pub(super) fn measured(&mut self, id: u32, kind: u32, start: Reading, end: Reading) {
        self.intervals.push(Interval {
            id,
            kind,
            start,
            end,
        });
    }

    /// The entry ends: so does what is under way in it, innermost first.
    pub(super) fn end_all(&mut self, ends: &[Reading]) {
        self.unframed.clear();
        assert_eq!(ends.len(), self.frames.len(), "ends at the close");
        for &end in ends {
            self.finish(self.frames.len() - 1, end);
        }
    }

    /// The longest intervals inside `outer`; of all where it is `None`.
    fn outermost<'a>(&'a self, outer: Option<&'a Interval>) -> impl Iterator<Item = &'a Interval> {
        let inside = move |interval: &Interval| outer.is_none_or(|outer| outer.contains(interval));
        self.intervals.iter().filter(move |interval| {
            inside(interval)
                && !self
                    .intervals
                    .iter()
                    .any(|other| inside(other) && other.contains(interval))
        })
    }

    fn net(&self, interval: &Interval) -> u64 {
        let nested: u64 = self.outermost(Some(interval)).map(Interval::length).sum();
        interval.length() - nested
    }

    /// Time of everything that was measured.
    pub(super) fn accounted(&self) -> u64 {
        self.outermost(None).map(Interval::length).sum()
    }

    pub(super) fn idle(&self) -> u64 {
        let idle = |interval: &&Interval| interval.kind == IDLE;
        self.intervals
            .iter()
            .filter(idle)
            .map(|interval| self.net(interval))
            .sum()
    }

    fn listed(&self) -> usize {
        self.order.len().min(MAX_ACTIVITIES)
    }

    fn expected_kind(&self) -> Kind {
        match self.listed() {
            0 if self.idle() == 0 && self.cause == Cause::Syscall => Kind::EntrySyscall,
            0 if self.idle() == 0 => Kind::Entry,
            listed if listed <= FEW_ACTIVITIES => Kind::EntryFew,
            _ => Kind::EntryMany,
        }
    }

    /// Compares a record with this entry.
    pub(super) fn check(&self, kind: Kind, record: &FullEntry<MAX_ACTIVITIES>, end: End) {
        let entry = &record.entry;
        assert_eq!(kind, self.expected_kind(), "record's length");
        assert_eq!(entry.kind, kind as u8);
        assert_eq!(Cause::from_wire(entry.cause), Some(self.cause), "cause");
        assert_eq!(End::from_wire(entry.end), Some(end), "end");
        assert_eq!(entry.flags, self.flags, "flags");
        assert_eq!(entry.tid, self.tid);
        assert_eq!(entry.opened_ns, self.opened);
        assert_eq!(entry.number, self.number, "number of the cause");
        assert_eq!(usize::from(entry.activities), self.listed());
        let dropped = self.order.len() - self.listed();
        assert_eq!(usize::from(entry.dropped_activities), dropped.min(255));
        assert_eq!(entry.reserved, 0);
        assert_eq!(record.idle_ns, self.idle(), "idle");
        for (id, listed) in self.order.iter().zip(&record.activities) {
            let begun = &self.begun[id];
            assert_eq!(listed.kind, begun.kind as u8, "activity {id}");
            assert_eq!(listed.number, begun.number);
            assert_eq!(listed.subject, begun.subject);
            assert_eq!(listed.reserved, 0);
            let is_cause = if begun.is_cause { ACTIVITY_IS_CAUSE } else { 0 };
            let measured = self.intervals.iter().find(|interval| interval.id == *id);
            let timed = if measured.is_some() {
                ACTIVITY_TIMED
            } else {
                0
            };
            assert_eq!(listed.flags, is_cause | timed, "flags of activity {id}");
            let net = measured.map_or(0, |interval| self.net(interval));
            assert_eq!(listed.net_ns, net, "net time of activity {id} in {self:#?}");
        }
        assert!(
            entry.duration_ns >= self.accounted(),
            "the parts ({}) are no longer than the whole ({})",
            self.accounted(),
            entry.duration_ns
        );
    }
}

/// The totals that entries must add up to.
#[derive(Clone, Debug)]
pub(super) struct Totals(pub(super) Ledger);

impl Totals {
    pub(super) fn new() -> Self {
        Self(Ledger::EMPTY)
    }

    /// Adds one entry that has ended; `duration` is the record's.
    pub(super) fn add(&mut self, span: &Span, duration: Option<u64>) {
        let Self(all) = self;
        all.entries += 1;
        all.own_entries += u64::from(span.own);
        all.unattributed += u64::from(span.cause == Cause::Unknown);
        if span.filtered {
            all.filtered += 1;
            return;
        }
        all.dropped_activities += (span.order.len() - span.listed()) as u64;
        all.idle_ns += span.idle();
        let cause = &mut all.causes[span.cause as usize];
        cause.count += 1;
        let Some(duration) = duration else {
            cause.untimed += 1;
            return;
        };
        let kernel = duration - span.idle();
        all.kernel_ns += kernel;
        all.max_ns = all.max_ns.max(kernel);
        cause.total_ns += kernel;
        cause.max_ns = cause.max_ns.max(kernel);
        let bucket = kernel.max(1).ilog2() as usize;
        cause.histogram[bucket.min(BUCKETS - 1)] += 1;
    }
}
