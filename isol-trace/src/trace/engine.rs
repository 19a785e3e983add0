//! The main loop of a trace: it reads the rings as fast as they fill, follows which CPUs the host isolates,
//! and hands events, totals and warnings to the consumer.

use std::{future::Future, time::Duration};

use tokio::time::{Interval, MissedTickBehavior, interval, sleep};

use super::session::{FOLLOW, Pace, Session};
use crate::{
    consume::{Consumer, Demand},
    error::Error,
};

/// How long the loop waits, when a consumer has no room, before it asks again. Meanwhile the rings are not read.
const BACKPRESSURE_PAUSE: Duration = Duration::from_millis(2);

/// What ends a trace, and what else its owner does while it runs.
pub trait Control {
    /// Why it ended.
    type End;

    /// How often totals are read and handed on.
    const TOTALS_PERIOD: Duration;

    /// Waits for the end. Cancel-safe: the future may be dropped, and made anew.
    fn ended(&mut self) -> impl Future<Output = Result<Self::End, Error>>;

    /// Called after the totals were handed on, with what the consumers still take. Returns an end if the
    /// trace is to end.
    fn should_end(&mut self, _: Demand) -> Option<Self::End> {
        None
    }

    /// Called when the set of watched CPUs, or its state, has changed.
    fn watched_changed(&mut self) {}
}

/// Traces until `control` says that it is over. The session must be armed, and the consumer must have the header.
pub async fn run<C: Control>(
    session: &mut Session,
    consumer: &mut dyn Consumer,
    control: &mut C,
) -> Result<C::End, Error> {
    let mut report = ticks(C::TOTALS_PERIOD);
    let mut follow = ticks(FOLLOW);
    let mut pause = Duration::ZERO;
    loop {
        tokio::select! {
            biased;
            end = control.ended() => return end,
            _ = follow.tick() => {
                if let Some(change) = session.follow(|event| consumer.event(&event))? {
                    consumer.event(&change);
                    control.watched_changed();
                }
            }
            _ = report.tick() => {
                let (totals, lost) = session.totals()?;
                for event in &lost {
                    consumer.event(event);
                }
                consumer.totals(&totals);
                if consumer.wants_tracer() {
                    consumer.tracer(&session.tracer_summary()?);
                }
                for warning in session.warnings() {
                    consumer.warning(&warning);
                }
                consumer.flush();
                if let Some(end) = control.should_end(consumer.demand()) {
                    return Ok(end);
                }
            }
            () = sleep(pause) => {
                pause = if consumer.demand() == Demand::Later {
                    // Meanwhile the kernel side counts the records that do not fit the rings.
                    BACKPRESSURE_PAUSE
                } else {
                    match session.drain(|event| consumer.event(&event)) {
                        Pace::Storm => Duration::ZERO,
                        Pace::Calm(pause) => pause,
                    }
                };
            }
        }
    }
}

/// Ticks at once, and then once a `period`. A tick that comes late moves those after it.
fn ticks(period: Duration) -> Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
