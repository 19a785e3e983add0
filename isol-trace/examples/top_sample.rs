//! Shows the dashboard with made-up breaches, without privileges and without a trace of the kernel.
//!
//! `cargo run --example top_sample -- busy` (or `quiet`, `storm`, `many`, `degraded`,
//! `ends`, `fails`, `panics`).

use std::time::Duration;

use isol_trace::{
    event::{
        ids::MonoNanos,
        model::{Detection, Header, ProbeState, TracerSummary},
    },
    tui::{
        Update, run,
        sample::{self, Story},
    },
};
use tokio::sync::mpsc;

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let scene = std::env::args().nth(1).unwrap_or_else(|| "busy".to_owned());
    let (updates, received) = mpsc::channel(1_024);
    let session = tokio::spawn(async move { play(&scene, updates).await });
    let outcome = run(received, std::future::pending()).await?;
    session.abort();
    let mut out = std::io::stdout();
    std::io::Write::write_fmt(&mut out, format_args!("{outcome:?}\n"))
}

/// Sends the updates that a trace would send. `None`: the dashboard was left, or the scene has the trace fail.
async fn play(scene: &str, updates: mpsc::Sender<Update>) -> Option<()> {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let nanos = |part: i64| u64::try_from(part).unwrap_or(0);
    let start = MonoNanos(nanos(now.tv_sec) * 1_000_000_000 + nanos(now.tv_nsec));
    let cpus: Vec<u32> = (1..=if scene == "many" { 384 } else { 3 }).collect();
    let mut header = Header {
        at: start,
        ..sample::header(cpus.clone())
    };
    if scene == "degraded" {
        header.cpus[2].1 = Detection::Vectors;
        header.blind_spots = vec!["exceptions that the kernel fixes up silently".into()];
        header.probes[2].state = ProbeState::Failed {
            why: "the verifier refused the program".to_owned(),
        };
    }
    updates.send(Update::Header(header)).await.ok()?;
    let tracer = TracerSummary::default();
    updates.send(Update::Tracer(tracer)).await.ok()?;
    let mut story = Story::starting(cpus, 42, start);
    let mut ticks = tokio::time::interval(Duration::from_millis(250));
    for quarter in 1_u64.. {
        ticks.tick().await;
        let breaches = match scene {
            "quiet" => 0,
            "storm" => 20_000,
            "many" => 300,
            _ => quarter % 5,
        };
        for update in story.pass(250, breaches) {
            if matches!(update, Update::Event(_)) && updates.capacity() < 16 {
                updates.send(Update::Skipped(1)).await.ok()?;
            } else {
                updates.send(update).await.ok()?;
            }
        }
        match (scene, quarter) {
            ("ends", 20) => {
                let ended = Update::Ended(story.summary());
                updates.send(ended).await.ok()?;
            }
            ("fails", 8) => return None,
            #[expect(clippy::panic, reason = "shows that the terminal is restored")]
            ("panics", 8) => panic!("the session fell over"),
            _ => {}
        }
    }
    Some(())
}
