//! `top`: the dashboard.

use std::{
    io::{self, IsTerminal as _},
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use tokio::{
    sync::{mpsc, oneshot},
    time::sleep,
};

use super::{
    progress::{Attaching, Detaching},
    session::{FOLLOW, Pace, Session},
    signals::{self, Signals},
    ticks,
};
use crate::{
    error::Error,
    event::model::Event,
    host::Host,
    plan::TopPlan,
    tui::{self, Outcome, Update},
};

/// How often totals go to the screen.
const EVERY: Duration = Duration::from_millis(250);

/// Updates that may wait for the screen. Breaches beyond that are left out, and said so.
const WAITING: usize = 4096;

/// How often the thread looks that ends a stuck screen.
const LOOK: Duration = Duration::from_millis(100);

/// How long leaving the screen may take.
const STUCK: Duration = Duration::from_millis(800);

/// Room in the channel that breaches leave to everything else.
const RESERVED: usize = 64;

/// Runs a valid `top`.
pub fn run(plan: TopPlan) -> Result<ExitCode, Error> {
    let _huge_pages = Session::prepare(&plan.trace)?;
    super::runtime()?.block_on(top(plan))
}

async fn top(plan: TopPlan) -> Result<ExitCode, Error> {
    let mut signals = Signals::new()?;
    // A person waits: attaching takes a second or two.
    super::say_elsewhere(&plan.trace);
    let mut attaching = Attaching::begin(&plan.trace.watched, io::stderr().is_terminal());
    let session = Session::attach(&plan.trace, false, Host::of_this_process(), |step| {
        attaching.step(step)
    })?;
    drop(attaching);
    signals::require_none()?;
    let (updates, shown) = mpsc::channel(WAITING);
    let (leave, left) = oneshot::channel();
    let stop = async move {
        signals.next().await;
    };
    let trace = feed(session, updates, left);
    let is_left = Arc::new(AtomicBool::new(false));
    leave_stuck_terminal(Arc::clone(&is_left)).map_err(Error::Runtime)?;
    let screen = async {
        let outcome = tui::run(shown, stop).await;
        is_left.store(true, Ordering::Relaxed);
        // The trace may have ended by itself.
        let _ = leave.send(());
        outcome
    };
    let (outcome, traced) = tokio::join!(screen, trace);
    let outcome = outcome.map_err(Error::Terminal)?;
    traced?;
    match outcome {
        Outcome::Quit | Outcome::Stopped | Outcome::Closed => Ok(ExitCode::SUCCESS),
    }
}

/// Ends the process where a signal asks for it and the terminal takes nothing, so that the screen cannot be left in good
/// order: drawing waits for the terminal, and the loop for the drawing. The kernel detaches the probes then.
#[expect(
    clippy::exit,
    reason = "the thread that could return is the one that waits for the terminal"
)]
fn leave_stuck_terminal(is_left: Arc<AtomicBool>) -> io::Result<()> {
    let wait = move || {
        let mut asked = None;
        while !is_left.load(Ordering::Relaxed) {
            thread::sleep(LOOK);
            let Err(error) = signals::require_none() else {
                continue;
            };
            let asked: &Instant = asked.get_or_insert_with(Instant::now);
            if asked.elapsed() >= STUCK && !is_left.load(Ordering::Relaxed) {
                // Does not wait for what has been written (TCSANOW).
                let _ = crossterm::terminal::disable_raw_mode();
                std::process::exit(i32::from(error.exit_status()));
            }
        }
    };
    thread::Builder::new().spawn(wait)?;
    Ok(())
}

/// Traces until `left`, and tells the screen.
async fn feed(
    mut session: Session,
    updates: mpsc::Sender<Update>,
    mut left: oneshot::Receiver<()>,
) -> Result<(), Error> {
    session.arm()?;
    let mut feed = Feed {
        updates,
        skipped: 0,
    };
    feed.must(Update::Header(session.header())).await;
    let mut report = ticks(EVERY);
    let mut look = ticks(FOLLOW);
    let mut pause = Duration::ZERO;
    let mut tracer = None;
    loop {
        tokio::select! {
            biased;
            _ = &mut left => break,
            _ = look.tick() => {
                if let Some(change) = session.follow(|event| feed.may(event))? {
                    feed.must(Update::Event(change)).await;
                }
            }
            _ = report.tick() => {
                let (totals, lost) = session.totals()?;
                for event in lost {
                    feed.must(Update::Event(event)).await;
                }
                feed.must(Update::Totals(totals)).await;
                let now = session.tracer_summary()?;
                if tracer.as_ref() != Some(&now) {
                    feed.must(Update::Tracer(now.clone())).await;
                    tracer = Some(now);
                }
                feed.skipped().await;
                // Names that are missing are plain to see here: nothing is said over the screen.
                drop(session.complaints());
            }
            () = sleep(pause) => {
                pause = match session.drain(|event| feed.may(event)) {
                    Pace::Storm => Duration::ZERO,
                    Pace::Calm(pause) => pause,
                };
            }
        }
    }
    // The screen is left: a person waits for the shell.
    let detaching = Detaching::begin(io::stderr().is_terminal());
    session.finish(drop, |_| false)?;
    drop(detaching);
    Ok(())
}

/// The way to the screen.
struct Feed {
    updates: mpsc::Sender<Update>,
    skipped: u64,
}

impl Feed {
    /// Sends what the screen must have. A screen that is gone needs nothing.
    async fn must(&self, update: Update) {
        let _ = self.updates.send(update).await;
    }

    /// Sends an event if there is room for it.
    fn may(&mut self, event: Event) {
        if self.updates.capacity() <= RESERVED
            || self.updates.try_send(Update::Event(event)).is_err()
        {
            self.skipped += 1;
        }
    }

    /// Says how many events were left out.
    async fn skipped(&mut self) {
        let skipped = std::mem::take(&mut self.skipped);
        if skipped > 0 {
            self.must(Update::Skipped(skipped)).await;
        }
    }
}
