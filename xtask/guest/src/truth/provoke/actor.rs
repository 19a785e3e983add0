//! The process on the watched CPU: pinned, its memory in place, silent but for the act.

use std::{sync::Arc, thread, time::Duration};

use anyhow::{Context, Result};

use super::super::{
    guest::Skip,
    stage::{Phase, SharedStage, Stage},
    sys,
};

/// Between a mark and the act, so that the clocks' rounding cannot reorder them.
const MARGIN: Duration = Duration::from_millis(5);

/// The actor's side of a provocation.
#[derive(Clone, Debug)]
pub struct Actor {
    /// What it shares with the director.
    pub stage: Arc<SharedStage>,
    /// Its CPU.
    pub cpu: u32,
    /// Another watched CPU, where there is one.
    pub second: Option<u32>,
    /// The CPU of its helpers.
    pub helper: u32,
}

impl Actor {
    /// Runs `act` between the marks, on the watched CPU, then waits for the director to end it.
    pub fn perform(&self, act: impl FnMut()) -> Result<()> {
        self.perform_after(|| (), Duration::from_millis(50), act)
    }

    /// As [`Actor::perform`]; `prelude` runs on the watched CPU just before the
    /// beginning is marked, and `settle` is how long what follows the act may take.
    pub fn perform_after(
        &self,
        mut prelude: impl FnMut(),
        settle: Duration,
        mut act: impl FnMut(),
    ) -> Result<()> {
        let stage: &Stage = &self.stage;
        stage.introduce(std::process::id(), sys::thread_id());
        sys::pin(0, &[self.cpu]).with_context(|| format!("pinned to CPU {}", self.cpu))?;
        stage.enter(Phase::Ready);
        sys::spin_until(&stage.phase, Phase::Go as u32);
        prelude();
        sys::spin(MARGIN);
        stage.mark_begin(sys::now());
        sys::spin(MARGIN);
        stage.enter(Phase::Begun);
        act();
        sys::spin(settle);
        stage.mark_end(sys::now());
        stage.enter(Phase::Acted);
        sys::spin_until(&stage.phase, Phase::Leave as u32);
        Ok(())
    }

    /// Waits, in user mode, until the director has done its part.
    pub fn await_partner(&self) {
        sys::spin_until(&self.stage.partner, 1);
    }

    /// Whether the director has done its part.
    #[must_use]
    pub fn partner_has_acted(&self) -> bool {
        self.stage
            .partner
            .load(std::sync::atomic::Ordering::Acquire)
            == 1
    }

    /// Starts a thread of this process on a housekeeping CPU that does `act` on [`Actor::cue`].
    pub fn sibling(&self, mut act: impl FnMut() + Send + 'static) -> Result<()> {
        let actor = self.clone();
        thread::Builder::new()
            .name("sibling".into())
            .spawn(move || {
                if sys::pin(0, &[actor.helper]).is_err() {
                    return;
                }
                sys::spin_until(&actor.stage.cue, 1);
                act();
                actor
                    .stage
                    .done
                    .store(1, std::sync::atomic::Ordering::Release);
                sys::spin_until(&actor.stage.phase, Phase::Leave as u32);
            })?;
        Ok(())
    }

    /// Lets the sibling act and waits for it, in user mode.
    pub fn cue(&self) {
        self.stage
            .cue
            .store(1, std::sync::atomic::Ordering::Release);
        sys::spin_until(&self.stage.done, 1);
    }
}

/// Runs the actor's part of a provocation in this process: what `truth provoke` does.
pub fn run(name: &str, actor: &Actor) -> Result<()> {
    let provocation = super::find(name).with_context(|| format!("no provocation {name}"))?;
    // Before the act maps anything: what it maps is its own business.
    sys::settle_memory()?;
    match (provocation.act)(actor) {
        Err(error) if error.is::<Skip>() => {
            actor.stage.skip(&error.to_string());
            Ok(())
        }
        other => other,
    }
}
