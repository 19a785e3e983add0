//! Another task woken up on the watched CPU.

use std::{
    io::{PipeReader, PipeWriter, Read, Write, pipe},
    sync::mpsc,
    thread::{self, JoinHandle},
    time::Duration,
};

use anyhow::{Context, Result};

use super::{
    super::{
        expect::{Who, one_of, syscall},
        shared_page::Fact,
        sys,
    },
    Partner, Scenario, Trigger, sent_by_director,
};

/// The rows.
pub const ALL: &[Trigger] = &[Trigger {
    name: "sched_other_task",
    about: "a real-time task woken on the CPU, which runs and sleeps again",
    act: |actor| actor.perform_after(|| (), Duration::from_millis(200), || actor.await_partner()),
    partner: Some(|scenario| Ok(Box::new(Sleeper::start(scenario, scenario.guest.cpu())?))),
    expect: |scenario| {
        let sleeper = Who::Thread(u32::try_from(scenario.fact(Fact::Helper)?)?);
        let woken = one_of(&["reschedule", "call_function_single"])
            .does("switch", &[])
            .end("switched");
        Ok(vec![
            sent_by_director(woken, "write"),
            syscall(libc::SYS_read, "read").of(sleeper).end("switched"),
        ])
    },
}];

/// A thread that sleeps on a CPU.
#[derive(Debug)]
pub(super) struct Sleeper {
    bell: Option<PipeWriter>,
    thread: Option<JoinHandle<()>>,
}

impl Sleeper {
    pub(super) fn start(scenario: &Scenario<'_>, cpu: u32) -> Result<Self> {
        let (reader, bell) = pipe()?;
        let (tell, told) = mpsc::channel();
        let thread = thread::Builder::new()
            .name("sleeper".into())
            .spawn(move || {
                let ready = sys::pin(0, &[cpu])
                    .and_then(|()| sys::set_policy(0, libc::SCHED_FIFO, 50))
                    .map(|()| sys::thread_id());
                let go = ready.is_ok();
                if tell.send(ready).is_ok() && go {
                    sleep_and_wake(reader);
                }
            })?;
        let tid = told.recv()?.context("the sleeping thread")?;
        scenario.shared_page.set(Fact::Helper, tid.into());
        let mut sleeper = Self {
            bell: Some(bell),
            thread: Some(thread),
        };
        // Once for practice: its pages are then in place.
        sleeper.act()?;
        thread::sleep(Duration::from_millis(100));
        Ok(sleeper)
    }
}

fn sleep_and_wake(mut bell: PipeReader) {
    let mut byte = [0];
    while matches!(bell.read(&mut byte), Ok(1)) {}
}

impl Partner for Sleeper {
    fn act(&mut self) -> Result<()> {
        if let Some(bell) = &mut self.bell {
            bell.write_all(b"!")?;
        }
        Ok(())
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        self.bell = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
