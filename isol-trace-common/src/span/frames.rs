//! Activities of a span and their net times.

use super::{ActivityCells, CpuState, Env, IDLE, MAX_DEPTH, NO_SLOT, Phase, barrier};
use crate::{
    activity::Activity,
    ledger::add,
    record::{ACTIVITY_IS_CAUSE, ACTIVITY_TIMED, MAX_ACTIVITIES},
};

/// Tries to read clock and sum as a pair. An interrupt has to fall between them
/// this many times in a row before a net time is off by one interrupt.
const PAIR_TRIES: u32 = 3;

impl CpuState {
    /// An activity begins. `flags`: [`ACTIVITY_IS_CAUSE`] or 0.
    #[inline(always)]
    pub fn begin(&self, env: &impl Env, kind: Activity, flags: u8, number: u32, subject: [u64; 2]) {
        if self.phase() != Phase::Open {
            return;
        }
        let slot = self.take_slot(env, kind, flags, number, subject);
        self.push(env, kind as u32, slot);
    }

    /// The innermost activity of this kind ends, and with it whatever is still under way inside it.
    #[inline(always)]
    pub fn end(&self, env: &impl Env, kind: Activity) {
        if self.phase() == Phase::Open {
            self.pop(env, kind as u32);
        }
    }

    /// Something happened whose length is not measured.
    #[inline(always)]
    pub fn mark(&self, env: &impl Env, kind: Activity, number: u32, subject: [u64; 2]) {
        if self.phase() == Phase::Open {
            let _: u32 = self.take_slot(env, kind, 0, number, subject);
        }
    }

    /// Something ended that took `length`, and whose begin was not seen. What
    /// nested in it, if anything, is not taken off: NMIs, in which nothing nests.
    #[inline(always)]
    pub fn record(
        &self,
        env: &impl Env,
        kind: Activity,
        number: u32,
        subject: [u64; 2],
        length: u64,
    ) {
        if self.phase() != Phase::Open {
            return;
        }
        let slot = self.take_slot(env, kind, ACTIVITY_TIMED, number, subject);
        if let Some(cells) = self.slot(slot) {
            cells.net_ns.set(length);
        }
        env.accrue(&self.accounted_ns, length);
    }

    /// What was taken for the cause is an activity after all: the true cause came late.
    #[inline(always)]
    pub fn demote_cause(&self) {
        // Not always the first of the list: an NMI may have come before.
        let mut slot = 0;
        while slot < MAX_ACTIVITIES {
            let head = &self.entry.activities[slot].head;
            head.set(head.get() & !(u32::from(ACTIVITY_IS_CAUSE) << 8));
            slot += 1;
        }
    }

    #[inline(always)]
    fn slot(&self, slot: u32) -> Option<&ActivityCells> {
        if slot as usize >= MAX_ACTIVITIES {
            return None;
        }
        // The mask tells the verifier what the comparison told the compiler.
        Some(&self.entry.activities[slot as usize & (MAX_ACTIVITIES - 1)])
    }

    #[inline(always)]
    pub(super) fn take_slot(
        &self,
        env: &impl Env,
        kind: Activity,
        flags: u8,
        number: u32,
        subject: [u64; 2],
    ) -> u32 {
        env.interruption();
        let slot = env.take(&self.slots);
        env.interruption();
        let Some(cells) = self.slot(slot) else {
            return NO_SLOT;
        };
        cells
            .head
            .set(u32::from_le_bytes([kind as u8, flags, 0, 0]));
        cells.number.set(number);
        cells.subject[0].set(subject[0]);
        env.interruption();
        cells.subject[1].set(subject[1]);
        cells.net_ns.set(0);
        slot
    }

    /// Clock and sum, read as a pair.
    #[inline(always)]
    fn pair(&self, env: &impl Env) -> (u64, u64) {
        let mut pair = (0, 0);
        let mut tries = 0;
        while tries < PAIR_TRIES {
            let before = self.accounted_ns.get();
            env.interruption();
            let now = env.now();
            env.interruption();
            barrier();
            pair = (now, before);
            if self.accounted_ns.get() == before {
                break;
            }
            tries += 1;
        }
        pair
    }

    #[inline(always)]
    pub(super) fn push(&self, env: &impl Env, kind: u32, slot: u32) {
        let depth = self.depth.get();
        if depth as usize >= MAX_DEPTH {
            self.skipped.set(self.skipped.get() + 1);
            return;
        }
        env.interruption();
        // From here on an interrupting program takes the frame above.
        self.depth.set(depth + 1);
        barrier();
        env.interruption();
        let frame = &self.frames[depth as usize & (MAX_DEPTH - 1)];
        frame.slot.set(slot);
        frame.kind.set(kind);
        let (now, accounted) = self.pair(env);
        frame.started_ns.set(now);
        frame.accounted_ns.set(accounted);
    }

    /// Ends the innermost frame of `kind` and drops those above it. Does nothing
    /// where the task that runs has none: it began before the span did, or before the
    /// task was switched out, which ended its frame.
    #[inline(always)]
    pub(super) fn pop(&self, env: &impl Env, kind: u32) {
        let skipped = self.skipped.get();
        if skipped > 0 {
            self.skipped.set(skipped - 1);
            return;
        }
        let mut depth = self.depth.get();
        let mut steps = 0;
        while steps < MAX_DEPTH {
            if depth == 0 {
                return;
            }
            depth -= 1;
            let frame = &self.frames[depth as usize & (MAX_DEPTH - 1)];
            let under_way = frame.kind.get();
            if under_way == kind {
                break;
            }
            if is_of_task(under_way) && !is_of_task(kind) {
                return;
            }
            steps += 1;
        }
        if steps == MAX_DEPTH {
            return;
        }
        self.finish_frame(env, depth);
        barrier();
        env.interruption();
        self.depth.set(depth);
    }

    /// Ends every frame that is still under way, innermost first.
    #[inline(always)]
    pub(super) fn end_all(&self, env: &impl Env) {
        self.skipped.set(0);
        let mut steps = 0;
        while steps < MAX_DEPTH {
            let depth = self.depth.get();
            if depth == 0 {
                return;
            }
            self.finish_frame(env, depth - 1);
            barrier();
            self.depth.set(depth - 1);
            steps += 1;
        }
    }

    #[inline(always)]
    fn finish_frame(&self, env: &impl Env, index: u32) {
        let frame = &self.frames[index as usize & (MAX_DEPTH - 1)];
        let (now, accounted) = self.pair(env);
        let nested = accounted.wrapping_sub(frame.accounted_ns.get());
        let whole = now.wrapping_sub(frame.started_ns.get());
        // Negative: a clock that went back, or a sum that ran ahead. Never clamped in silence.
        let net = if whole.cast_signed() < 0 || nested > whole {
            add(&self.ledger.tainted, 1);
            0
        } else {
            whole - nested
        };
        if frame.kind.get() == IDLE {
            add(&self.entry.idle_ns, net);
        } else if let Some(cells) = self.slot(frame.slot.get()) {
            cells.net_ns.set(net);
            cells
                .head
                .set(cells.head.get() | u32::from(ACTIVITY_TIMED) << 8);
        }
        env.interruption();
        env.accrue(&self.accounted_ns, net);
    }
}

/// Whether frames of this kind hold those of another task, and are ended by a switch.
#[inline(always)]
const fn is_of_task(kind: u32) -> bool {
    kind == Activity::Switch as u32 || kind == IDLE
}
