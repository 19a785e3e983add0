//! Threads that are at work on a watched CPU, and what they do there.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::Duration,
};

use anyhow::Result;

use crate::truth::sys;

/// A thread on one CPU that does something again and again, and computes in between.
#[derive(Debug)]
pub(super) struct Busy {
    stop: Arc<AtomicU32>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Busy {
    /// Starts it.
    pub(super) fn on(
        cpu: u32,
        pause: Duration,
        mut act: impl FnMut() + Send + 'static,
    ) -> Result<Self> {
        let stop = Arc::new(AtomicU32::new(0));
        let thread = thread::Builder::new().name("busy".into()).spawn({
            let stop = Arc::clone(&stop);
            move || {
                if sys::pin(0, &[cpu]).is_err() {
                    return;
                }
                while stop.load(Ordering::Acquire) == 0 {
                    act();
                    sys::spin(pause);
                }
            }
        })?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }

    /// One that only computes.
    pub(super) fn computing(cpu: u32) -> Result<Self> {
        Self::on(cpu, Duration::from_millis(50), || ())
    }

    /// One that touches fresh pages: the CPU then has pages to hand on, and counters to fold.
    pub(super) fn touching(cpu: u32) -> Result<Self> {
        const PAGES: usize = 512;
        let fresh = || -> Result<_> {
            let pages = sys::Pages::private(PAGES)?;
            // A huge page would be handed on at once (folio_add_lru, mm/swap.c, v6.12).
            sys::advise(&pages, libc::MADV_NOHUGEPAGE)?;
            Ok(pages)
        };
        let mut pages = fresh()?;
        let mut next = 0;
        Self::on(cpu, Duration::from_millis(40), move || {
            pages.write(next);
            next += 1;
            if next == PAGES {
                next = 0;
                if let Ok(other) = fresh() {
                    pages = other;
                }
            }
        })
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.stop.store(1, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
