//! Loads: actors that are no tests of their own, but what other tests measure.

use anyhow::Result;

use super::{
    super::{shared_page::Fact, sys},
    Trigger,
    actor::Actor,
    signal,
};

/// Burns time in user mode and does nothing else; takes SIGUSR1.
pub const SPIN: &str = "load_spin";
/// Calls getppid as often as it is told, or for three seconds, whichever comes first.
pub const CALLS: &str = "load_calls";
/// The same under another name.
pub const NAMED_CALLS: &str = "load_named_calls";
/// That name.
pub const NAME: &str = "walrus";

/// Calls getppid five thousand times a second until it is told to stop. Each call has its number,
/// from 0, for an argument that the kernel does not look at.
pub const PACED_CALLS: &str = "load_paced_calls";

/// How long a load of calls lasts at most, nanoseconds.
const LIMIT: u64 = 3_000_000_000;
/// How long a paced load lasts at most, and its pace, nanoseconds.
const PACED_LIMIT: u64 = 60_000_000_000;
const PACE: u64 = 200_000;
/// Calls between two looks at the clock.
const CHUNK: u64 = 100;

/// The rows. They expect nothing: whoever starts them looks at the whole log.
pub const ALL: &[Trigger] = &[
    Trigger {
        name: SPIN,
        about: "a loop in user mode",
        act: |actor| {
            signal::handle(libc::SIGUSR1)?;
            actor.perform(|| actor.await_partner())
        },
        partner: None,
        expect: |_| Ok(Vec::new()),
    },
    Trigger {
        name: CALLS,
        about: "a loop of getppid",
        act: calls,
        partner: None,
        expect: |_| Ok(Vec::new()),
    },
    Trigger {
        name: PACED_CALLS,
        about: "getppid, five thousand times a second",
        act: paced_calls,
        partner: None,
        expect: |_| Ok(Vec::new()),
    },
    Trigger {
        name: NAMED_CALLS,
        about: "a loop of getppid under another name",
        act: |actor| {
            sys::rename(c"walrus")?;
            calls(actor)
        },
        partner: None,
        expect: |_| Ok(Vec::new()),
    },
];

fn paced_calls(actor: &Actor) -> Result<()> {
    actor.perform(|| {
        let end = sys::now() + PACED_LIMIT;
        let mut count = 0;
        while !actor.partner_has_acted() && sys::now() < end {
            // SAFETY: takes nothing, changes nothing.
            unsafe { libc::syscall(libc::SYS_getppid, count) };
            count += 1;
            let next = sys::now() + PACE;
            while sys::now() < next {
                std::hint::spin_loop();
            }
        }
        actor.shared_page.set(Fact::Done, count);
    })
}

fn calls(actor: &Actor) -> Result<()> {
    let wanted = actor.shared_page.get(Fact::Count).unwrap_or(0);
    actor.perform(|| {
        let end = sys::now() + LIMIT;
        let mut count = 0;
        while count < wanted && (count % CHUNK != 0 || sys::now() < end) {
            // SAFETY: takes nothing, changes nothing.
            unsafe { libc::syscall(libc::SYS_getppid) };
            count += 1;
        }
        actor.shared_page.set(Fact::Done, count);
    })
}
