//! A work item queued on the watched CPU.

use std::{fs, time::Duration};

use anyhow::{Context, Result};

use super::{
    super::{
        expect::{Sender, one_of},
        sys,
    },
    Partner, Trigger, sent_by_director,
};

/// The rows.
pub const ALL: &[Trigger] = &[Trigger {
    name: "work_queued",
    about: "the memory statistics folded on every CPU: schedule_on_each_cpu(refresh_vm_stats)",
    act: |actor| {
        // Whoever wakes up runs at once, instead of at some later tick.
        sys::set_policy(0, libc::SCHED_IDLE, 0)?;
        actor.perform_after(|| (), Duration::from_millis(300), || actor.await_partner())
    },
    partner: Some(|_| Ok(Box::new(Refresh))),
    expect: |_| {
        let queued = one_of(&["reschedule", "call_function_single"])
            .does("switch", &[])
            .does("work", &["refresh_vm_stats"])
            .asked_by(Sender {
                kind: "kernel",
                process: Some(std::process::id()),
                callback: Some("refresh_vm_stats"),
                through: "read",
            })
            .end("return");
        Ok(vec![
            sent_by_director(queued, "read"),
            // Two runnable tasks bring the tick back until it has seen that one is left.
            one_of(&["local_timer", "irq_work"]).any_number(),
        ])
    },
}];

#[derive(Debug)]
struct Refresh;

impl Partner for Refresh {
    fn prepare(&mut self) -> Result<()> {
        // The last idle worker of a CPU makes another one before it works
        // (kernel/workqueue.c, worker_thread, v6.12): after this there are two.
        for _ in 0..2 {
            self.act()?;
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(())
    }

    fn act(&mut self) -> Result<()> {
        fs::read("/proc/sys/vm/stat_refresh").context("stat_refresh")?;
        Ok(())
    }
}
