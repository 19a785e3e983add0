//! The loop: it reads the rings as fast as they fill, follows the host, and hands on what comes of that.

use std::{future::Future, time::Duration};

use tokio::time::{Interval, MissedTickBehavior, interval, sleep};

use super::session::{FOLLOW, Pace, Session};
use crate::{
    consume::{Consumer, Demand},
    error::Error,
};

/// How long nothing is read from the rings where a consumer has no room.
const REST: Duration = Duration::from_millis(2);

/// What ends a trace, and what else its owner does while it runs.
pub trait Control {
    /// Why it ended.
    type End;

    /// How often totals are read and handed on.
    const EVERY: Duration;

    /// Waits for the end. May be given up and begun again.
    fn ended(&mut self) -> impl Future<Output = Result<Self::End, Error>>;

    /// Looks, after each totals, whether this is the end. Given what the consumers still take.
    fn look(&mut self, _: Demand) -> Option<Self::End> {
        None
    }

    /// Other CPUs are watched from here on.
    fn watched_changed(&mut self) {}
}

/// Traces until `control` says that it is over. The session is armed, and the header was heard.
pub async fn run<C: Control>(
    session: &mut Session,
    consumer: &mut dyn Consumer,
    control: &mut C,
) -> Result<C::End, Error> {
    let mut report = ticks(C::EVERY);
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
                if let Some(end) = control.look(consumer.demand()) {
                    return Ok(end);
                }
            }
            () = sleep(pause) => {
                pause = if consumer.demand() == Demand::Later {
                    // The kernel counts what the rings cannot take meanwhile.
                    REST
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

/// Ticks at once and then so often; a tick that comes late moves those after it.
fn ticks(period: Duration) -> Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}
