//! The process on the watched CPU: pinned, its memory in place, silent but for the act.

use std::{sync::Arc, thread, time::Duration};

use anyhow::{Context, Result};

use super::super::{
    guest::Skip,
    shared_page::{MappedPage, Phase, SharedPage},
    sys,
};

/// Between a mark and the act, so that the clocks' rounding cannot reorder them.
const MARGIN: Duration = Duration::from_millis(5);

/// The actor's side of a trigger.
#[derive(Clone, Debug)]
pub struct Actor {
    /// What it shares with the driver.
    pub shared_page: Arc<MappedPage>,
    /// Its CPU.
    pub cpu: u32,
    /// Another watched CPU, where there is one.
    pub second: Option<u32>,
    /// The CPU of its helpers.
    pub helper: u32,
}

impl Actor {
    /// Runs `act` between the marks, on the watched CPU, then waits for the driver to end it.
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
        let shared_page: &SharedPage = &self.shared_page;
        shared_page.introduce(std::process::id(), sys::thread_id());
        sys::pin(0, &[self.cpu]).with_context(|| format!("pinned to CPU {}", self.cpu))?;
        shared_page.enter(Phase::Ready);
        sys::spin_until(&shared_page.phase, Phase::Go as u32);
        prelude();
        sys::spin(MARGIN);
        shared_page.mark_begin(sys::now());
        sys::spin(MARGIN);
        shared_page.enter(Phase::Begun);
        act();
        sys::spin(settle);
        shared_page.mark_end(sys::now());
        shared_page.enter(Phase::Acted);
        sys::spin_until(&shared_page.phase, Phase::Leave as u32);
        Ok(())
    }

    /// Waits, in user mode, until the driver has done its part.
    pub fn await_partner(&self) {
        sys::spin_until(&self.shared_page.partner, 1);
    }

    /// Whether the driver has done its part.
    #[must_use]
    pub fn partner_has_acted(&self) -> bool {
        self.shared_page
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
                sys::spin_until(&actor.shared_page.cue, 1);
                act();
                actor
                    .shared_page
                    .done
                    .store(1, std::sync::atomic::Ordering::Release);
                sys::spin_until(&actor.shared_page.phase, Phase::Leave as u32);
            })?;
        Ok(())
    }

    /// Lets the sibling act and waits for it, in user mode.
    pub fn cue(&self) {
        self.shared_page
            .cue
            .store(1, std::sync::atomic::Ordering::Release);
        sys::spin_until(&self.shared_page.done, 1);
    }
}

/// Runs the actor's part of a trigger in this process: what `truth trigger` does.
pub fn run(name: &str, actor: &Actor) -> Result<()> {
    let trigger = super::find(name).with_context(|| format!("no trigger {name}"))?;
    // Before the act maps anything: what it maps is its own business.
    sys::settle_memory()?;
    match (trigger.act)(actor) {
        Err(error) if error.is::<Skip>() => {
            actor.shared_page.skip(&error.to_string());
            Ok(())
        }
        other => other,
    }
}
