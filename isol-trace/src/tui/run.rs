//! The loop between a terminal and the [`App`].
//!
//! It draws at most ten times a second, only when there is something new, and sleeps
//! otherwise: a dashboard over quiet CPUs wakes once a second to move its clock on.

use std::{
    future::{Future, poll_fn},
    io,
    pin::{Pin, pin},
    time::Duration,
};

use crossterm::event::{Event as TerminalEvent, EventStream};
use futures_core::Stream;
use ratatui::{Terminal, backend::Backend};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};

use super::{
    App, Update,
    app::Action,
    extent::Extent,
    input,
    term::{TerminalGuard, require_sense},
    theme::Theme,
    view,
};
use crate::event::ids::MonoNanos;

/// Between two drawings.
const FRAME: Duration = Duration::from_millis(100);
/// Between two looks at the clock.
const SECOND: Duration = Duration::from_secs(1);
/// Updates taken before keys and the screen get their turn.
const BATCH: usize = 256;

/// Why the dashboard was left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The user asked for it.
    Quit,
    /// The `stop` future was ready.
    Stopped,
    /// The sender is gone without having sent an end: the session has failed, and why
    /// is for the caller to say.
    Closed,
}

/// Shows the dashboard until the user leaves it, `stop` is ready or the session fails.
///
/// After [`Update::Ended`] the last state stays on the screen until the user leaves.
/// The terminal is restored when this returns or is dropped, and on a panic. A thread
/// that reads the terminal is started here and inherits the caller's CPU affinity,
/// which must exclude the watched CPUs.
pub async fn run(
    updates: mpsc::Receiver<Update>,
    stop: impl Future<Output = ()>,
) -> io::Result<Outcome> {
    let theme = Theme::from_environment(|name| std::env::var(name).ok());
    let guard = TerminalGuard::take()?;
    let mut screen = guard.screen()?;
    screen.clear()?;
    drive(
        &mut screen,
        EventStream::new(),
        updates,
        stop,
        theme,
        monotonic,
        || guard.holds(),
    )
    .await
}

/// The loop itself, over any terminal, input and clock.
async fn drive<B>(
    screen: &mut Terminal<B>,
    input: impl Stream<Item = io::Result<TerminalEvent>>,
    mut updates: mpsc::Receiver<Update>,
    stop: impl Future<Output = ()>,
    theme: Theme,
    clock: impl Fn() -> MonoNanos,
    holds: impl Fn() -> bool,
) -> io::Result<Outcome>
where
    B: Backend,
    B::Error: Send + Sync + 'static,
{
    let (mut input, mut stop) = (pin!(input), pin!(stop));
    let mut app = App::new();
    let mut ended = false;
    let mut batch = Vec::with_capacity(BATCH);
    // In the past: the first drawing is due at once.
    let mut next_frame = Instant::now();
    let mut next_second = next_frame + SECOND;
    loop {
        app.tick(clock());
        let now = Instant::now();
        if app.is_dirty() && now >= next_frame {
            if !holds() {
                return Ok(Outcome::Closed);
            }
            if let Ok(size) = screen.size() {
                require_sense(size.width, size.height)?;
            }
            app.take_dirty();
            let mut extent = Extent::default();
            screen
                .draw(|frame| extent = view::draw(frame, &app, theme))
                .map_err(io::Error::other)?;
            app.drawn(extent);
            next_frame = now + FRAME;
        }
        let wake = if app.is_dirty() {
            next_frame
        } else {
            next_second
        };
        tokio::select! {
            biased;
            () = &mut stop => return Ok(Outcome::Stopped),
            event = next(input.as_mut()) => match event {
                Some(event) => match terminal_event(&mut app, &event?) {
                    Action::Quit => return Ok(Outcome::Quit),
                    Action::Repaint => screen.clear().map_err(io::Error::other)?,
                    // A key is answered at once, whenever the last frame was.
                    Action::Continue => next_frame = Instant::now(),
                },
                // The terminal is gone.
                None => return Ok(Outcome::Quit),
            },
            taken = updates.recv_many(&mut batch, BATCH), if !ended => {
                if taken == 0 {
                    return Ok(Outcome::Closed);
                }
                for update in batch.drain(..) {
                    app.apply(update);
                }
                ended = app.ended();
            }
            () = sleep_until(wake) => {}
        }
        let now = Instant::now();
        if now >= next_second {
            next_second = now + SECOND;
        }
    }
}

fn terminal_event(app: &mut App, event: &TerminalEvent) -> Action {
    match event {
        TerminalEvent::Key(event) => match input::key(*event) {
            Some(key) => app.key(key),
            None => Action::Continue,
        },
        TerminalEvent::Resize(..) => {
            app.resized();
            Action::Continue
        }
        _ => Action::Continue,
    }
}

/// The next item of a stream.
async fn next<S: Stream>(mut stream: Pin<&mut S>) -> Option<S::Item> {
    poll_fn(|context| stream.as_mut().poll_next(context)).await
}

/// `CLOCK_MONOTONIC`, which BPF reads too.
fn monotonic() -> MonoNanos {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let part = |part: i64| u64::try_from(part).unwrap_or(0);
    MonoNanos(part(time.tv_sec) * 1_000_000_000 + part(time.tv_nsec))
}

#[cfg(test)]
mod tests;
