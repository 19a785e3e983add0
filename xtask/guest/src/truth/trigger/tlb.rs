//! A sibling thread on another CPU takes a page or its rights away: the TLB must be flushed here.

use std::{sync::Arc, thread};

use anyhow::Result;

use super::{
    super::{
        expect::{Expect, Who, one_of},
        guest::skip,
        shared_page::{Fact, Phase},
        sys::{self, Pages},
    },
    Scenario, Trigger,
    actor::Actor,
    sent_by_sibling,
};

/// The rows.
pub const ALL: &[Trigger] = &[
    Trigger {
        name: "tlb_munmap",
        about: "munmap by a sibling thread",
        act: |actor| shoot(actor, |pages| pages.unmap(1)),
        partner: None,
        expect: |scenario| Ok(vec![flush(scenario, ONE_CPU, "munmap")]),
    },
    Trigger {
        name: "tlb_mprotect",
        about: "mprotect by a sibling thread",
        act: |actor| shoot(actor, |pages| pages.protect(1, libc::PROT_READ)),
        partner: None,
        expect: |scenario| Ok(vec![flush(scenario, ONE_CPU, "mprotect")]),
    },
    Trigger {
        name: "tlb_two_cpus",
        about: "munmap by a sibling while threads of the process run on both watched CPUs",
        act: |actor| {
            let Some(second) = actor.second else {
                return skip("there is one watched CPU only");
            };
            let shared_page = Arc::clone(&actor.shared_page);
            thread::Builder::new()
                .name("second".into())
                .spawn(move || {
                    if sys::pin(0, &[second]).is_ok() {
                        shared_page.set(Fact::Helper, sys::thread_id().into());
                        sys::spin_until(&shared_page.phase, Phase::Leave as u32);
                    }
                })?;
            while actor.shared_page.get(Fact::Helper).is_none() {
                thread::yield_now();
            }
            shoot(actor, |pages| pages.unmap(1))
        },
        partner: None,
        expect: |scenario| {
            let second = scenario.guest.second().unwrap_or_default();
            let thread = u32::try_from(scenario.fact(Fact::Helper)?)?;
            Ok(vec![
                flush(scenario, &["call_function"], "munmap"),
                flush(scenario, &["call_function"], "munmap")
                    .on(second)
                    .of(Who::Thread(thread)),
            ])
        },
    },
];

fn shoot(actor: &Actor, act: fn(&Pages)) -> Result<()> {
    let pages = Arc::new(Pages::private(3)?);
    // Neighbours in place: the page table itself stays when the middle page goes.
    for page in 0..3 {
        pages.write(page);
    }
    let taken = Arc::clone(&pages);
    actor.sibling(move || act(&taken))?;
    actor.perform(|| actor.cue())
}

/// A flush that concerns this CPU. Where another CPU has the address space loaded still, the
/// kernel sends it the same multicast (`smp_call_function_many_cond`, kernel/smp.c, 6.12).
const ONE_CPU: &[&str] = &["call_function_single", "call_function"];

fn flush(scenario: &Scenario<'_>, kinds: &[&'static str], through: &'static str) -> Expect {
    let flush = sent_by_sibling(one_of(kinds).end("return"), "flush_tlb_func", through);
    if scenario.guest.names_calls() {
        flush.does("csd", &["flush_tlb_func"])
    } else {
        flush
    }
}
