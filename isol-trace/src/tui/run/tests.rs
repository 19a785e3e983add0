//! The loop over a test terminal, keys from a channel and a clock that stands still.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    task::{Context, Poll},
};

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::backend::TestBackend;

use super::*;
use crate::tui::sample::{Story, header};

/// Terminal events from a channel.
struct Keys(mpsc::UnboundedReceiver<TerminalEvent>);

impl Stream for Keys {
    type Item = io::Result<TerminalEvent>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(context).map(|event| event.map(Ok))
    }
}

struct Rig {
    keys: mpsc::UnboundedSender<TerminalEvent>,
    updates: Option<mpsc::Sender<Update>>,
}

impl Rig {
    fn press(&self, code: KeyCode) {
        let event = KeyEvent::new(code, KeyModifiers::NONE);
        self.keys
            .send(TerminalEvent::Key(event))
            .expect("the loop runs");
    }

    async fn send(&self, update: Update) {
        let updates = self.updates.as_ref().expect("not closed");
        updates.send(update).await.expect("the loop runs");
    }
}

/// Runs the loop beside a script; gives its outcome, the last screen and the number of frames.
fn play<F>(script: impl FnOnce(Rig) -> F) -> (Outcome, String, u32)
where
    F: Future<Output = Rig>,
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let (keys, typed) = mpsc::unbounded_channel();
        let (updates, received) = mpsc::channel(16);
        let frames = Arc::new(AtomicU32::new(0));
        let counter = Arc::clone(&frames);
        let mut screen = Terminal::new(TestBackend::new(80, 24)).expect("a test terminal");
        let rig = Rig {
            keys,
            updates: Some(updates),
        };
        let start = Instant::now();
        let clock = || {
            let passed = u64::try_from(start.elapsed().as_nanos()).unwrap();
            MonoNanos(crate::tui::sample::START.0 + passed)
        };
        let looped = drive(
            &mut screen,
            Keys(typed),
            received,
            std::future::pending(),
            Theme::FULL,
            clock,
            // Asked once before each frame.
            || {
                counter.fetch_add(1, Ordering::Relaxed);
                true
            },
        );
        let (outcome, _rig) = tokio::join!(looped, script(rig));
        let outcome = outcome.expect("the test terminal does not fail");
        let frames = frames.load(Ordering::Relaxed);
        (outcome, screen.backend().to_string(), frames)
    })
}

#[test]
fn the_user_leaves() {
    let (outcome, screen, _) = play(async |rig| {
        rig.send(Update::Header(header([1, 2]))).await;
        tokio::time::sleep(Duration::from_millis(250)).await;
        rig.press(KeyCode::Char('q'));
        rig
    });
    assert_eq!(outcome, Outcome::Quit);
    assert!(screen.contains("rt-box"), "{screen}");
}

#[test]
fn a_session_that_fails_ends_the_dashboard() {
    let (outcome, ..) = play(async |mut rig| {
        rig.updates = None;
        rig
    });
    assert_eq!(outcome, Outcome::Closed);
}

#[test]
fn the_last_state_stays_until_the_user_leaves() {
    let (outcome, screen, _) = play(async |mut rig| {
        rig.send(Update::Header(header([1]))).await;
        let mut story = Story::new([1], 5);
        for update in story.pass(1_000, 9) {
            rig.send(update).await;
        }
        rig.send(Update::Ended(story.summary())).await;
        rig.updates = None;
        tokio::time::sleep(Duration::from_mins(10)).await;
        rig.press(KeyCode::Esc);
        rig
    });
    assert_eq!(outcome, Outcome::Quit);
    assert!(
        screen.contains("ENDED") && screen.contains("9 kernel entries"),
        "{screen}"
    );
}

#[test]
fn a_storm_is_drawn_ten_times_a_second_and_quiet_once() {
    let (_, screen, busy) = play(async |rig| {
        rig.send(Update::Header(header([1]))).await;
        let mut story = Story::new([1], 5);
        for _ in 0..1_000 {
            for update in story.pass(1, 20) {
                rig.send(update).await;
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        rig.press(KeyCode::Char('q'));
        rig
    });
    assert!(
        (8..=14).contains(&busy),
        "{busy} frames in a second\n{screen}"
    );
    let (_, _, quiet) = play(async |rig| {
        rig.send(Update::Header(header([1]))).await;
        let mut story = Story::new([1], 5);
        for _ in 0..100 {
            for update in story.pass(100, 0) {
                rig.send(update).await;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        rig.press(KeyCode::Char('q'));
        rig
    });
    assert!((9..=14).contains(&quiet), "{quiet} frames in ten seconds");
}

#[test]
fn a_key_is_answered_at_once() {
    let (_, screen, _) = play(async |rig| {
        rig.send(Update::Header(header([1]))).await;
        tokio::time::sleep(Duration::from_millis(1)).await;
        rig.press(KeyCode::Char('?'));
        tokio::time::sleep(Duration::from_millis(1)).await;
        rig.press(KeyCode::Char('q'));
        rig
    });
    assert!(screen.contains("Help"), "{screen}");
}
