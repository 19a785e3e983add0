//! `top`: the dashboard.

use std::{
    collections::VecDeque,
    io::{self, IsTerminal as _},
    process::ExitCode,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use tokio::sync::{
    mpsc::{self, error::TrySendError},
    oneshot,
};

use super::{
    progress::{Attaching, Detaching},
    signals::{self, Signals},
};
use crate::{
    consume::Consumer,
    error::Error,
    event::model::{Event, Totals, TracerSummary},
    host::Host,
    plan::TopPlan,
    trace::{self, Control, Session},
    tui::{self, Outcome, Update},
};

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
    signals::require_none()?;
    let _huge_pages = Session::prepare(&plan.trace)?;
    super::runtime()?.block_on(top(plan))
}

async fn top(plan: TopPlan) -> Result<ExitCode, Error> {
    let mut signals = Signals::new()?;
    // A person waits: attaching takes a second or two.
    super::say_elsewhere(&plan.trace);
    let mut attaching = Attaching::begin(&plan.trace.watched, io::stderr().is_terminal());
    let session = Session::attach(
        &plan.trace,
        false,
        Host::of_this_process(),
        |step| attaching.step(step),
        signals::require_none,
    )?;
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
    left: oneshot::Receiver<()>,
) -> Result<(), Error> {
    session.arm()?;
    let mut feed = Feed::new(updates);
    feed.event(&Event::Header(session.header()));
    trace::run(&mut session, &mut feed, &mut Left(left)).await?;
    // The screen is left: a person waits for the shell.
    let detaching = Detaching::begin(io::stderr().is_terminal());
    session.finish(drop, |_| false)?;
    drop(detaching);
    Ok(())
}

/// The trace ends when the screen is left.
struct Left(oneshot::Receiver<()>);

impl Control for Left {
    type End = ();

    const TOTALS_PERIOD: Duration = Duration::from_millis(250);

    async fn ended(&mut self) -> Result<(), Error> {
        // A screen that failed is left as well.
        let _ = (&mut self.0).await;
        Ok(())
    }
}

/// The way to the screen, which a person may hold up. Breaches that find no room are left out, and counted; everything else
/// waits here.
struct Feed {
    updates: mpsc::Sender<Update>,
    waiting: VecDeque<Update>,
    skipped: u64,
    /// What the screen was told last of the tracer.
    tracer: Option<TracerSummary>,
}

impl Feed {
    const fn new(updates: mpsc::Sender<Update>) -> Self {
        Self {
            updates,
            waiting: VecDeque::new(),
            skipped: 0,
            tracer: None,
        }
    }

    /// Sends what waits, as far as there is room. A screen that is gone needs nothing.
    fn send(&mut self) {
        while let Some(update) = self.waiting.pop_front() {
            if let Err(TrySendError::Full(update)) = self.updates.try_send(update) {
                self.waiting.push_front(update);
                return;
            }
        }
    }

    /// Sends what the screen must have.
    fn must(&mut self, update: Update) {
        self.waiting.push_back(update);
        self.send();
    }

    /// Adds records that were lost to those that wait to be told of the same CPU.
    fn add_lost(&mut self, event: &Event) -> bool {
        let Event::Lost { cpu, records, .. } = event else {
            return false;
        };
        let known = self.waiting.iter_mut().find_map(|update| match update {
            Update::Event(Event::Lost {
                cpu: of,
                records: known,
                ..
            }) if of == cpu => Some(known),
            _ => None,
        });
        let is_known = known.is_some();
        if let Some(known) = known {
            *known += records;
        }
        is_known
    }

    /// Forgets what newer figures replace, where the screen takes nothing.
    fn replace(&mut self, is_old: fn(&Update) -> bool) {
        self.waiting.retain(|update| !is_old(update));
    }
}

impl Consumer for Feed {
    fn event(&mut self, event: &Event) {
        let must_be_shown = matches!(
            event,
            Event::Header(_) | Event::Lost { .. } | Event::Watched(_)
        );
        if must_be_shown {
            if !self.add_lost(event) {
                self.must(Update::Event(event.clone()));
            }
            return;
        }
        self.send();
        let has_room = self.waiting.is_empty() && self.updates.capacity() > RESERVED;
        if !has_room || self.updates.try_send(Update::Event(event.clone())).is_err() {
            self.skipped += 1;
        }
    }

    fn totals(&mut self, totals: &Totals) {
        self.replace(|update| matches!(update, Update::Totals(_)));
        self.must(Update::Totals(totals.clone()));
        if self.skipped > 0 && self.waiting.is_empty() {
            let skipped = std::mem::take(&mut self.skipped);
            self.must(Update::Skipped(skipped));
        }
    }

    fn tracer(&mut self, tracer: &TracerSummary) {
        if self.tracer.as_ref() == Some(tracer) {
            return;
        }
        self.tracer = Some(tracer.clone());
        self.replace(|update| matches!(update, Update::Tracer(_)));
        self.must(Update::Tracer(tracer.clone()));
    }

    fn wants_tracer(&self) -> bool {
        true
    }

    // Names that are missing are plain to see here: no warning is said over the screen.
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{
        breach::tests::breach,
        ids::{Cpu, MonoNanos},
    };

    fn a_breach() -> Event {
        Event::Breach(Box::new(breach()))
    }

    fn lost(cpu: usize) -> Event {
        Event::Lost {
            cpu: Cpu(u32::try_from(cpu).expect("few")),
            records: 7,
            at: MonoNanos(3),
        }
    }

    /// What has been sent, by kind.
    fn sent(shown: &mut mpsc::Receiver<Update>) -> Vec<&'static str> {
        let mut kinds = Vec::new();
        while let Ok(update) = shown.try_recv() {
            kinds.push(match update {
                Update::Event(Event::Breach(_)) => "breach",
                Update::Event(_) => "event",
                Update::Totals(_) => "totals",
                Update::Tracer(_) => "tracer",
                Update::Skipped(8) => "8 skipped",
                _ => "other",
            });
        }
        kinds
    }

    #[test]
    fn a_screen_that_takes_nothing_misses_breaches_alone() {
        let (updates, mut shown) = mpsc::channel(RESERVED + 3);
        let mut feed = Feed::new(updates);
        for _ in 0..10 {
            feed.event(&a_breach());
        }
        for cpu in 0..2 * RESERVED {
            feed.event(&lost(cpu));
        }
        feed.event(&lost(2 * RESERVED - 1));
        for _ in 0..3 {
            feed.totals(&Totals::default());
            feed.tracer(&TracerSummary::default());
        }
        let first = sent(&mut shown);
        assert_eq!(first[..3], ["breach"; 3], "there is room for three");
        assert_eq!(first[3..], vec!["event"; RESERVED]);
        feed.event(&a_breach());
        let mut rest = vec!["event"; RESERVED];
        rest.extend(["tracer", "totals"]);
        assert_eq!(sent(&mut shown), rest, "the newest figures, each once");
        feed.totals(&Totals::default());
        assert_eq!(sent(&mut shown), ["totals", "8 skipped"]);
    }
}
