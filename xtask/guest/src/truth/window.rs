//! Some time from one quiet moment to the next, and what `/proc/interrupts` counted in it.

use anyhow::Result;

use super::{
    guest::Guest,
    interrupts::Interrupts,
    log::{Breach, Log},
    sys,
};

/// The time in which something happened.
#[derive(Debug)]
pub struct Window {
    /// Its ends, nanoseconds.
    pub time: (u64, u64),
    /// `/proc/interrupts` at its ends.
    pub interrupts: (Interrupts, Interrupts),
}

impl Window {
    /// Around what `happens`, with what comes of it.
    pub fn around<R>(guest: &Guest, happens: impl FnOnce() -> Result<R>) -> Result<(Self, R)> {
        guest.wait_quiet()?;
        let (from, before) = (sys::now(), Interrupts::read()?);
        let result = happens()?;
        guest.wait_quiet()?;
        let (until, after) = (sys::now(), Interrupts::read()?);
        let window = Self {
            time: (from, until),
            interrupts: (before, after),
        };
        Ok((window, result))
    }

    /// The breaches that a CPU had in it.
    #[must_use]
    pub fn breaches<'log>(&self, log: &'log Log, cpu: u32) -> Vec<&'log Breach> {
        let (from, until) = self.time;
        log.window(cpu, from, until)
    }

    /// How often a line of `/proc/interrupts` counted in it.
    #[must_use]
    pub fn count(&self, line: &str, cpu: u32) -> u64 {
        let (before, after) = &self.interrupts;
        before.delta(after, line, cpu)
    }
}
