//! The driver's side of a load: on its CPU before the tracer comes, let go, and ended.

use anyhow::{Context, Result};

use super::{
    driver::Actor,
    guest::Guest,
    shared_page::{Fact, MappedPage, Phase},
};

/// A load that sits on a CPU in user mode.
#[derive(Debug)]
pub struct Load {
    // Before the shared page: it ends before its memory goes.
    actor: Actor,
    shared_page: MappedPage,
}

impl Load {
    /// Starts a load and waits until it spins on its CPU, and the CPU is quiet.
    pub fn start(guest: &Guest, name: &str, cpu: u32, count: u64) -> Result<Self> {
        let shared_page = MappedPage::create()?;
        shared_page.set(Fact::Count, count);
        let actor = Actor::start_on(guest, name, &shared_page, cpu, None)?;
        let mut load = Self { actor, shared_page };
        load.actor.until(&load.shared_page, Phase::Ready)?;
        guest.wait_quiet_on(&[cpu])?;
        Ok(load)
    }

    /// Its process, which has one thread.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.actor.pid()
    }

    /// Lets it begin, and waits until it has.
    pub fn begin(&mut self) -> Result<()> {
        self.shared_page.enter(Phase::Go);
        self.actor.until(&self.shared_page, Phase::Begun)
    }

    /// Waits until it has done what it was told, and spins again; answers how often it did it.
    pub fn done(&mut self) -> Result<u64> {
        self.actor.until(&self.shared_page, Phase::Acted)?;
        self.shared_page
            .get(Fact::Done)
            .context("the load does not say how much it did")
    }

    /// Tells it to stop, and waits until it has; answers how often it did what it does.
    pub fn stop(&mut self) -> Result<u64> {
        self.shared_page
            .partner
            .store(1, std::sync::atomic::Ordering::Release);
        self.done()
    }

    /// Begins and waits.
    pub fn perform(&mut self) -> Result<u64> {
        self.begin()?;
        self.done()
    }
}
