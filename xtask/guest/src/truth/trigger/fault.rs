//! Page faults of the actor.

use super::{
    super::{
        expect::{Expect, one, syscall},
        shared_page::Fact,
        sys::{self, Pages},
    },
    Scenario, Trigger, signal,
};
use anyhow::Result;

/// The rows.
pub const ALL: &[Trigger] = &[
    Trigger {
        name: "fault_first_touch",
        about: "first write to an anonymous page",
        act: |actor| {
            let pages = Pages::private(3)?;
            pages.write(0);
            actor.shared_page.set(Fact::Address, pages.address(1));
            advise_small(&pages)?;
            actor.perform(|| pages.write(1))
        },
        partner: None,
        expect: |scenario| Ok(vec![fault(scenario, true)?]),
    },
    Trigger {
        name: "fault_first_read",
        about: "first read of an anonymous page",
        act: |actor| {
            let pages = Pages::private(3)?;
            advise_small(&pages)?;
            actor.shared_page.set(Fact::Address, pages.address(1));
            actor.perform(|| pages.read(1))
        },
        partner: None,
        expect: |scenario| Ok(vec![fault(scenario, false)?]),
    },
    Trigger {
        name: "fault_copy_on_write",
        about: "write to a page that is shared with a child",
        act: |actor| {
            let pages = Pages::private(1)?;
            pages.write(0);
            actor.shared_page.set(Fact::Address, pages.address(0));
            let child = sys::fork_sleeper()?;
            let done = actor.perform(|| pages.write(0));
            child.end();
            done
        },
        partner: None,
        expect: |scenario| Ok(vec![fault(scenario, true)?]),
    },
    Trigger {
        name: "fault_in_kernel",
        about: "a system call that fills a page nobody has touched: the kernel faults inside the call",
        act: |actor| {
            let pages = Pages::private(1)?;
            let buffer = pages.start();
            actor.perform(|| {
                // SAFETY: the page is larger than what uname writes.
                unsafe { libc::syscall(libc::SYS_uname, buffer.as_ptr()) };
            })
        },
        partner: None,
        expect: |_| {
            let call = syscall(libc::SYS_uname, "uname").end("return");
            Ok(vec![call.does("fault", &[])])
        },
    },
    Trigger {
        name: "fault_fatal_handled",
        about: "write to a read-only page, with a handler for SIGSEGV",
        act: |actor| {
            let pages = Pages::private(1)?;
            pages.write(0);
            pages.protect(0, libc::PROT_READ);
            actor.shared_page.set(Fact::Address, pages.address(0));
            let address = pages.start().as_ptr();
            signal::handle(libc::SIGSEGV)?;
            let act = || signal::store_or_skip(address);
            act();
            actor.perform(act)
        },
        partner: None,
        expect: |scenario| {
            Ok(vec![
                fault(scenario, true)?.does("signal", &[]),
                syscall(libc::SYS_rt_sigreturn, "rt_sigreturn"),
            ])
        },
    },
];

fn fault(scenario: &Scenario<'_>, write: bool) -> Result<Expect> {
    let page = scenario.fact(Fact::Address)?;
    Ok(one("page_fault")
        .fault(page, write)
        .origin("task")
        .end("return"))
}

/// Keeps the kernel from mapping the neighbour pages along.
fn advise_small(pages: &Pages) -> Result<()> {
    match sys::advise(pages, libc::MADV_NOHUGEPAGE) {
        // A kernel without huge pages, such as one with PREEMPT_RT, has none to forbid.
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => Ok(()),
        advised => Ok(advised?),
    }
}
