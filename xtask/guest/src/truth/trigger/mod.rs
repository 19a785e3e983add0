//! Triggers: how each cause is brought about, and what the log must then say.
//!
//! One trigger is one row of [`all`]. Its *actor* is a process of its own
//! that sits on the watched CPU; its *partner* is what the driver does from a
//! housekeeping CPU, where the trigger comes from outside.

pub mod actor;
pub mod call;
pub mod exception;
pub mod exit;
pub mod fault;
pub mod inject;
pub mod irq;
pub mod load;
pub mod mended;
pub mod nmi;
pub mod sched;
pub mod signal;
pub mod syscall;
pub mod tick;
pub mod timer;
pub mod tlb;
pub mod work;

use anyhow::Result;

use self::actor::Actor;
use super::{
    expect::{Expect, Sender, one},
    guest::Guest,
    shared_page::{Fact, MappedPage},
};

/// What the driver knows while a trigger is on.
#[derive(Debug)]
pub struct Scenario<'a> {
    /// The machine.
    pub guest: &'a Guest,
    /// What it shares with the actor.
    pub shared_page: &'a MappedPage,
}

impl Scenario<'_> {
    /// A fact that must have been noted.
    pub fn fact(&self, fact: Fact) -> Result<u64> {
        self.shared_page
            .get(fact)
            .ok_or_else(|| anyhow::anyhow!("nobody noted {fact:?}"))
    }
}

/// The same breach, sent by the driver, in a call whose name has this in it.
fn sent_by_director(expect: Expect, through: &'static str) -> Expect {
    expect.sent_by(Sender {
        kind: "remote",
        process: Some(std::process::id()),
        callback: None,
        through,
    })
}

/// The same breach, sent by another thread of the actor, with the function that it asked for.
fn sent_by_sibling(expect: Expect, callback: &'static str, through: &'static str) -> Expect {
    expect.sent_by(Sender {
        kind: "remote",
        process: None,
        callback: Some(callback),
        through,
    })
}

/// What the threads of a `PREEMPT_RT` kernel bring with them. Interrupt handlers and timers run in
/// threads of the CPU, warnings are printed by one that an `irq_work` wakes, and two runnable tasks
/// bring the tick back until it has seen that one is left.
fn realtime_threads(scenario: &Scenario<'_>) -> Vec<Expect> {
    if !scenario.guest.realtime {
        return Vec::new();
    }
    vec![
        one("irq_work")
            .does("irq_work", &["nbcon_irq_work"])
            .any_number(),
        one("local_timer").does("tick", &[]).any_number(),
    ]
}

/// The driver's part. What it changed is put back when it is dropped.
pub trait Partner {
    /// Done when the actor is on its CPU, before that CPU is quiet again.
    fn prepare(&mut self) -> Result<()> {
        Ok(())
    }

    /// Done between the marks.
    fn act(&mut self) -> Result<()>;
}

/// Makes the driver's part ready, before the actor starts.
pub type MakePartner = for<'a> fn(&'a Scenario<'a>) -> Result<Box<dyn Partner + 'a>>;

/// One way to enter the kernel.
#[derive(Clone, Copy, Debug)]
pub struct Trigger {
    /// Its name; the test is `truth/NAME`.
    pub name: &'static str,
    /// What it does, for people.
    pub about: &'static str,
    /// The actor's part, in its own process.
    pub act: fn(&Actor) -> Result<()>,
    /// The driver's part.
    pub partner: Option<MakePartner>,
    /// What the log must say.
    pub expect: fn(&Scenario<'_>) -> Result<Vec<Expect>>,
}

/// Every trigger, in the order in which they are run.
#[must_use]
pub fn all() -> Vec<Trigger> {
    [
        syscall::ALL,
        fault::ALL,
        exception::ALL,
        tlb::ALL,
        call::ALL,
        irq::ALL,
        timer::ALL,
        tick::ALL,
        work::ALL,
        sched::ALL,
        signal::ALL,
        nmi::ALL,
        inject::ALL,
        exit::ALL,
    ]
    .concat()
}

/// The trigger, load or mended actor with this name.
#[must_use]
pub fn find(name: &str) -> Option<Trigger> {
    all()
        .into_iter()
        .chain(load::ALL.iter().copied())
        .chain(mended::all())
        .find(|one| one.name == name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_lead_back() {
        let all = all();
        let names: BTreeSet<_> = all.iter().map(|one| one.name).collect();
        assert_eq!(names.len(), all.len());
        for name in names {
            assert_eq!(find(name).unwrap().name, name);
        }
        assert!(find("").is_none());
    }
}
