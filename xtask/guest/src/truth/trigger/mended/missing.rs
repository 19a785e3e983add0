//! Memory that a userfaultfd watches.

use std::sync::{Arc, atomic::Ordering};

use anyhow::{Context, Result};

use super::{
    super::{
        super::{
            guest::skip,
            sys::{self, Handler, Pages},
        },
        Trigger,
        actor::Actor,
    },
    row,
};

/// The rows.
pub(in super::super) const ROWS: &[Trigger] = &[
    row(
        "missing",
        "a write to pages that a handler on another CPU fills when they are missed",
        |actor| miss(actor, false),
        None,
    ),
    row(
        "missing_mended",
        "the same, which the handler has filled before",
        |actor| miss(actor, true),
        None,
    ),
];

/// Writes to memory that a sibling fills once it is missed, or that is filled before.
fn miss(actor: &Actor, before: bool) -> Result<()> {
    const PAGES: usize = 3;
    let pages = Arc::new(Pages::private(PAGES)?);
    let from = Pages::private(PAGES)?;
    sys::advise(&from, libc::MADV_POPULATE_WRITE)?;
    let handler = match Handler::of(&pages) {
        Ok(handler) => handler,
        Err(error) => match Handler::refusal(&error) {
            Some(why) => return skip(why),
            None => return Err(error).context("userfaultfd"),
        },
    };
    if before {
        handler.fill(&pages, &from).context("UFFDIO_COPY")?;
    }
    let its = Arc::clone(&pages);
    actor.sibling(move || {
        if !before && handler.wait().is_ok() {
            let _ = handler.fill(&its, &from);
        }
    })?;
    actor.perform(|| {
        // The sibling is to wait meanwhile.
        actor.shared_page.cue.store(1, Ordering::Release);
        (0..PAGES).for_each(|page| pages.write(page));
        sys::spin_until(&actor.shared_page.done, 1);
    })
}
